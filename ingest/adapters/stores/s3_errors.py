"""Translate errors of S3 servers and botocore into store errors.

The messages name the remedy and quote only the error's code: servers put access keys and signed strings into theirs.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from typing_extensions import override

from ingest.errors import ObjectExistsError, ObjectMissingError, StoreError, StoreRefusedError, StoreUnavailableError
from ingest.ports.translation import Translation

if TYPE_CHECKING:
    from collections.abc import Iterator

_REMEDIES = {
    "NoSuchBucket": "there is no such bucket: create it, or correct `store`",
    "InvalidBucketName": "this is no bucket name: correct `store`",
    "AccessDenied": (
        "permission denied: allow s3:PutObject, s3:GetObject, s3:DeleteObject and s3:AbortMultipartUpload on the"
        " objects, s3:ListBucket on the bucket (else S3 answers 403 for missing objects), and use of the KMS key"
    ),
    "InvalidAccessKeyId": "the server does not know the access key: correct the credentials or the endpoint",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key: correct the credentials",
    "ExpiredToken": "the credentials have expired: renew them",
    "InvalidToken": "the session token is not valid: renew the credentials",
    "RequestTimeTooSkewed": "this machine's clock and the server's differ too much: set the clock",
    "PermanentRedirect": "the bucket is in another region: correct region or endpoint",
    "AuthorizationHeaderMalformed": "the bucket is in another region: correct the region",
    "IllegalLocationConstraintException": "the bucket is in another region: correct the region",
    "QuotaExceeded": "the quota is used up: raise it or free space",
    "XMinioStorageFull": "the server's disks are full: add space",
    "InsufficientStorage": "the server's disks are full: add space",
    "MethodNotAllowed": "the server does not allow this request: correct endpoint and bucket",
    "NotImplemented": "the server lacks a feature that is needed: use another server",
}
# HEAD has no body, so botocore uses the status as the code.
_ALIASES = {"403": "AccessDenied", "301": "PermanentRedirect", "AllAccessDisabled": "AccessDenied"}
_MISSING = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound"})
# AWS denies removal of a locked object; MinIO calls the request invalid.
_KEPT = frozenset({"AccessDenied", "InvalidRequest", "ObjectLocked"})
# 4xx errors that a repetition may fix: the server or the network was at fault.
_TRANSIENT = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "NoSuchUpload",
        "RequestTimeout",
        "SlowDown",
        "Throttling",
        "TooManyRequests",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)
_UNLOCKED = frozenset({"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"})
_CONFLICTS = frozenset({"ConditionalRequestConflict", "OperationAborted"})
_MD5_DEMANDED = frozenset({"InvalidRequest", "InvalidArgument", "MissingContentMD5"})
_TRANSIENT_STATUS = frozenset({408, 409, 425, 429})
_PRECONDITION_FAILED = 412
_SERVER_ERRORS = 500
# Failures without an answer; the first match counts.
_FAILURES: tuple[tuple[tuple[type[BotoCoreError], ...], type[StoreError], str], ...] = (
    (
        (NoCredentialsError, PartialCredentialsError),
        StoreRefusedError,
        "no credentials were found: configure access_key and secret_key, or a role, or an AWS profile",
    ),
    ((ProfileNotFound,), StoreRefusedError, "there is no such AWS profile: correct AWS_PROFILE"),
    ((ParamValidationError,), StoreRefusedError, "this is no name for a bucket or an object: correct `store`"),
    (
        (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError),
        StoreUnavailableError,
        "the object store cannot be reached: check endpoint, network and server",
    ),
    ((ReadTimeoutError,), StoreUnavailableError, "the object store did not answer in time"),
)


class translated(Translation):  # noqa: N801 - used like a function
    """Translate everything that boto3 raises inside the block into one of the errors of `ingest.ports.store`."""

    __slots__ = ()

    @override
    def translate(self, error: BaseException) -> StoreError | None:
        if isinstance(error, ClientError):
            return _answered(error)
        if isinstance(error, BotoCoreError):
            return _failed(error)
        return not_a_store() if isinstance(error, ResponseParserError) else None


@contextmanager
def translated_erasing() -> Iterator[None]:
    """Like `translated`, with a different message for objects that a server refuses to erase."""
    try:
        with translated():
            yield
    except StoreRefusedError as error:
        code = _code(error.__cause__) if isinstance(error.__cause__, ClientError) else ""
        if code not in _KEPT:
            raise
        raise StoreRefusedError(
            f"the object store refuses to erase ({code}): allow s3:ListBucketVersions on the bucket and"
            " s3:DeleteObject and s3:DeleteObjectVersion on the objects; what Object Lock or a legal hold protects"
            " can be erased once that has ended or was lifted"
        ) from error.__cause__


@contextmanager
def translated_locks() -> Iterator[None]:
    """Like `translated`, with a different message for locks that may not be read or written."""
    try:
        with translated():
            yield
    except StoreRefusedError as error:
        if not (isinstance(error.__cause__, ClientError) and is_denied(error.__cause__)):
            raise
        raise StoreRefusedError(
            "the object store does not say what is locked (AccessDenied): allow s3:GetBucketObjectLockConfiguration,"
            " s3:GetBucketVersioning and s3:ListBucketVersions on the bucket, s3:GetObjectRetention,"
            " s3:GetObjectLegalHold and s3:PutObjectLegalHold on the objects"
        ) from error.__cause__


def not_a_store() -> StoreUnavailableError:
    """Return the error for a success that no object store would answer like this."""
    return StoreUnavailableError(
        "the answer is not one of an object store: a proxy, a captive portal or a maintenance page may have given it;"
        " check the endpoint and what is between here and the store"
    )


def is_conflict(error: ClientError) -> bool:
    """Whether another request for the same key was in progress."""
    return _code(error) in _CONFLICTS


def demands_md5(error: ClientError) -> bool:
    """Whether the server demands a Content-MD5 header (for instance for buckets with Object Lock)."""
    return "content-md5" in _message(error) and _code(error) in _MD5_DEMANDED


def is_missing(error: ClientError) -> bool:
    """Whether the object (or, in the answer to a HEAD, the bucket) does not exist."""
    return _code(error) in _MISSING and not _is_unexplained(error)


def is_out_of_range(error: ClientError) -> bool:
    """Whether the object ends before the range that was asked for."""
    return _code(error) == "InvalidRange"


def is_unlocked(error: ClientError) -> bool:
    """Whether an object, or its bucket, has no Object Lock, or the server knows none."""
    code = _code(error)
    return (
        code in _UNLOCKED
        or not_understood(error)
        or (code in {"InvalidRequest", "MethodNotAllowed"} and "lock" in _message(error))
    )


def is_denied(error: ClientError) -> bool:
    """Whether a permission is missing."""
    return _code(error) == "AccessDenied"


def is_present(error: ClientError) -> bool:
    """Whether the request failed because `If-None-Match: *` did not hold."""
    return _status(error) == _PRECONDITION_FAILED


def not_understood(error: ClientError) -> bool:
    """Whether the server refused a header that it does not support (501, or Backblaze B2's 400)."""
    code, status = _code(error), _status(error)
    return code == "NotImplemented" or status == 501 or "unsupported header" in _message(error)  # noqa: PLR2004


def names_checksum(error: ClientError) -> bool:
    """Whether the server names the checksum header as unsupported."""
    return "checksum" in _message(error)


def _code(error: ClientError) -> str:
    code = str(error.response.get("Error", {}).get("Code", ""))
    return _ALIASES.get(code, code)


def _message(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", "")).lower()


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _is_unexplained(error: ClientError) -> bool:
    """Whether the answer holds no S3 error, so that botocore takes the status as its code, or has none.

    The answer to a HEAD never holds one.
    """
    code = str(error.response.get("Error", {}).get("Code", ""))
    return (not code or code.isdigit()) and error.operation_name not in {"HeadObject", "HeadBucket"}


def _answered(error: ClientError) -> StoreError:
    code, status = _code(error), _status(error)
    if _is_unexplained(error):
        later = status in _TRANSIENT_STATUS or status >= _SERVER_ERRORS
        kind = StoreUnavailableError if later else StoreRefusedError
        return kind(
            f"the answer (HTTP {status}) is not one of an object store: a proxy, a firewall or a web server may have"
            " given it; check the endpoint, and that nothing between here and the store refuses the request"
        )
    if is_missing(error):
        return ObjectMissingError("there is no object under this key")
    if is_present(error):
        return ObjectExistsError("there is an object under this key already")
    if code in _REMEDIES:
        return StoreRefusedError(f"the object store refuses ({code}): {_REMEDIES[code]}")
    if code in _TRANSIENT or status in _TRANSIENT_STATUS or status >= _SERVER_ERRORS:
        return StoreUnavailableError(f"the object store cannot serve the request now ({code}, HTTP {status})")
    return StoreRefusedError(f"the object store refuses ({code}, HTTP {status}): see its documentation for this code")


def _failed(error: BotoCoreError) -> StoreError:
    if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return StoreRefusedError(
            "the store's certificate is not trusted: correct the endpoint, or set AWS_CA_BUNDLE to the CA's file"
        )
    for types, kind, text in _FAILURES:
        if isinstance(error, types):
            return kind(text)
    return StoreUnavailableError(f"the connection to the object store failed ({type(error).__name__})")
