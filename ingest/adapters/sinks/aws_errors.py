"""Translate errors of SQS, SNS, EventBridge and botocore.

Two kinds are distinguished. An event that the service will never accept is refused by itself. A fault of the service,
throttling, and everything a person has to fix (permission, key, name) make the sink unavailable as a whole, so that
no event is skipped. An unclear answer counts as unavailable unless the service calls it the sender's fault
(`SenderFault`), because then the next event may succeed.

Sources, all below https://docs.aws.amazon.com: AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html,
sns/latest/api/API_PublishBatch.html, eventbridge/latest/APIReference/API_PutEventsResultEntry.html (which says for
each code whether to retry), and for the codes that all services share
AWSSimpleQueueService/latest/APIReference/CommonErrors.html.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from ingest.adapters.sinks.batches import BatchRefusedError, UnavailableError
from ingest.ports.sink import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

# Codes about one event, or about a batch that holds it.
_CONTENT = frozenset(
    {
        "BatchRequestTooLong",
        "InvalidArgument",
        "InvalidMessageContents",
        "InvalidParameter",
        "InvalidParameterValue",
        "MalformedDetail",
        "MissingParameter",
        "RedactionFailure",
        "RequestEntityTooLarge",
        "Validation",
        "ValidationError",
    }
)
_CREDENTIALS = "the credentials are not accepted: correct access_key and secret_key, or the role"
_EXPIRED = "the credentials have expired: renew them"
_MISSING = "there is no such queue, topic or bus: create it, or correct its name and the region"
# Codes of problems that a person has to fix, at the service or in the configuration.
_REMEDIES = {
    "AccessDenied": "permission denied: allow {actions}, and use of the KMS key where there is one",
    "AuthorizationError": "permission denied: allow {actions}, and use of the KMS key where there is one",
    "ExpiredToken": _EXPIRED,
    "IncompleteSignature": _CREDENTIALS,
    "InvalidAccountId": "the account in the name of the queue, topic or bus is not valid: correct it",
    "InvalidAddress": _MISSING,
    "InvalidAccessKeyId": _CREDENTIALS,
    "InvalidClientTokenId": _CREDENTIALS,
    "InvalidSecurity": "the service requires TLS: use an address that begins with https://",
    "KmsAccessDenied": "use of the KMS key is denied: allow kms:GenerateDataKey and kms:Decrypt on it",
    "KmsDisabled": "the KMS key is disabled: enable it",
    "KmsInvalidState": "the KMS key cannot be used in its state: check whether it is scheduled for deletion",
    "KmsNotFound": "the KMS key no longer exists: set another",
    "NonExistentQueue": _MISSING,
    "NotAuthorizedForDetailType": "permission denied: allow events with this detail type on the bus",
    "NotAuthorizedForSource": "permission denied: allow events with this source on the bus",
    "NotFound": _MISSING,
    "OptInRequired": "the account is not subscribed to the service: subscribe it",
    "QueueDeletedRecently": "the queue was deleted a moment ago: wait a minute",
    "QueueDoesNotExist": _MISSING,
    "ResourceNotFound": _MISSING,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "UnrecognizedClient": _CREDENTIALS,
}
_FAILURES: tuple[tuple[tuple[type[BotoCoreError], ...], str, str], ...] = (
    (
        (NoCredentialsError, PartialCredentialsError),
        "no_credentials",
        "no credentials were found: configure access_key and secret_key, or a role, or an AWS profile",
    ),
    ((ProfileNotFound,), "no_profile", "there is no such AWS profile: correct AWS_PROFILE"),
    ((NoRegionError,), "no_region", "no region is known: set `region`"),
    ((ConnectTimeoutError, ReadTimeoutError), "timeout", "did not answer in time; check that it can be reached"),
    ((ProxyConnectionError,), "proxy", "the proxy cannot be reached; check HTTPS_PROXY"),
    ((EndpointConnectionError,), "connect", "cannot be reached; check address, network and server"),
    ((SSLError,), "tls", "TLS failed; correct the address, or set AWS_CA_BUNDLE to the CA's file"),
)
# Parts of codes for temporary problems, or problems of the key: no single event is at fault.
_EVERYBODYS = ("Throttl", "Internal", "Unavailable", "TooManyRequests", "Timeout", "Kms")
_NOT_IN_CODES = re.compile(r"[^A-Za-z0-9_.-]")


@contextmanager
def translated(actions: str) -> Iterator[None]:
    """Translate boto3's errors into `UnavailableError`, or `BatchRefusedError` if an event may be the reason.

    Args:
        actions: the permissions needed, as policies name them.
    """
    try:
        yield
    except ParamValidationError as error:
        raise BatchRefusedError("invalid") from error
    except ClientError as error:
        raise _answered(error, actions) from error
    except BotoCoreError as error:
        for types, reason, text in _FAILURES:
            if isinstance(error, types):
                raise UnavailableError(reason, text) from error
        raise UnavailableError("connect", f"the connection failed ({type(error).__name__})") from error
    except ResponseParserError as error:
        raise UnavailableError("protocol", "does not answer like the service; correct its address") from error


def entry_outcome(code: str, *, senders_fault: bool) -> Outcome:
    """Return the outcome of one failed event in a batch that was otherwise accepted.

    Args:
        code: the service's code for this entry.
        senders_fault: whether the service says that sending it again will not help.
    """
    short = plain(code)
    affects_all = short in _REMEDIES or any(word in short for word in _EVERYBODYS)
    refused = short in _CONTENT or (senders_fault and not affects_all)
    return Outcome(Verdict.REJECTED if refused else Verdict.UNAVAILABLE, short)


def plain(code: str) -> str:
    """Return a code without the services' prefixes and suffixes, as at most 64 harmless characters.

    `AWS.SimpleQueueService.NonExistentQueue` is `NonExistentQueue`; `KMS.DisabledException` (SQS) and `KMSDisabled`
    (SNS) are `KmsDisabled`.
    """
    before, _, last = code.rpartition(".")
    last = last.removesuffix("Exception")
    last = f"Kms{last}" if before == "KMS" else last.replace("KMS", "Kms")
    return _NOT_IN_CODES.sub("_", last)[:64] or "unknown"


def _answered(error: ClientError, actions: str) -> UnavailableError | BatchRefusedError:
    code = plain(str(error.response.get("Error", {}).get("Code", "")))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _CONTENT:
        return BatchRefusedError(code)
    if code in _REMEDIES:
        return UnavailableError(code, f"refuses ({code}): {_REMEDIES[code].format(actions=actions)}")
    return UnavailableError(
        code, f"cannot accept events now ({code}, HTTP {status}); see its documentation for this code"
    )
