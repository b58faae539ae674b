"""Objects in a bucket of any server with the S3 API.

Optional features are detected at run time, once per process: SHA-256 checksum headers and conditional creation.
botocore's newer default, CRC checksums in trailers, is off because many servers do not support it; the signature of
each request covers a SHA-256 of its bytes in any case.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import quote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from typing_extensions import override

from ingest.adapters.stores.s3_erase import erase
from ingest.adapters.stores.s3_errors import (
    is_missing,
    is_present,
    names_checksum,
    not_understood,
    translated,
    translated_erasing,
)
from ingest.adapters.stores.s3_upload import PartedUpload, Target, WholeUpload, spare_round_trip
from ingest.adapters.stores.transfer import guarded, measure, segments
from ingest.domain.manifest import ObjectRef
from ingest.errors import ObjectExistsError, StoreRefusedError
from ingest.ports.store import Store, Stored

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from types_boto3_s3 import S3Client

    from ingest.adapters.stores.s3_upload import Sent, Upload
    from ingest.adapters.stores.transfer import Readable

# Up to this size one request is used; repeating it after a failure takes seconds.
SINGLE_BYTES = 64 * 2**20
PART_BYTES = 16 * 2**20
# RFC 8187 section 3.2.1: the attr-char characters that `quote` would encode.
_ATTR_CHAR = "!#$&+^`|"


@dataclass(frozen=True, slots=True)
class _Dialect:
    """Optional features that the server supports.

    Attributes:
        checksums: `x-amz-checksum-sha256`; Backblaze B2 refuses it.
        conditional: `If-None-Match: *` in a put; None until tried. Some servers refuse it (501) and some, which is
            worse, ignore it.
    """

    checksums: bool = True
    conditional: bool | None = None

    def reduced(self, error: ClientError, *, conditional: bool) -> _Dialect | None:
        """Return the features to try next after a refusal, None if it was not about one of our headers."""
        if not not_understood(error):
            return None
        if conditional and not names_checksum(error):
            return replace(self, conditional=False)
        return replace(self, checksums=False) if self.checksums else None


class S3Store(Store):
    """A `Store` in a bucket. Threads share its connections; a forked process makes its own.

    An object's SHA-256 is kept as metadata (`x-amz-meta-sha256`), from which `stat` takes it; an object written by
    another program is read to compute it. A body above 1 MiB has to be seekable.

    A process that is killed while it sends an object above `single_bytes` leaves parts behind, which are not listed
    but cost money; a lifecycle rule of the bucket (AbortIncompleteMultipartUpload) removes them.

    Args:
        bucket: name of an existing bucket.
        endpoint: URL of the server; AWS if None.
        region: the region for signatures; else the environment's, else us-east-1.
        path_style: put the bucket into the path (`endpoint/bucket/key`), as many servers other than AWS need.
        kms_key: id or ARN of the KMS key to encrypt with; else the bucket's default.
        access_key: with `secret_key`; else boto3's chain (environment, profile, web identity, role).
        secret_key: of `access_key`.
        max_connections: connections kept open; further threads open and close their own.
        connect_timeout: seconds for connecting, and for each piece of an upload to be accepted.
        read_timeout: seconds without a byte while an answer is awaited or read.
        attempts: per request, with pauses of a few seconds at most; longer retries are the caller's.
        single_bytes: larger objects are sent in parts.
        part_bytes: size of each part but the last; S3 requires at least 5 MiB and at most 10,000 parts.
    """

    def __init__(
        self,
        bucket: str,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        path_style: bool = False,
        kms_key: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        max_connections: int = 64,
        connect_timeout: float = 10,
        read_timeout: float = 60,
        attempts: int = 3,
        single_bytes: int = SINGLE_BYTES,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self.bucket = bucket
        self._endpoint = endpoint
        self._region = region
        self._kms_key = kms_key
        self._access_key = access_key
        self._secret_key = secret_key
        self._single_bytes = single_bytes
        self._part_bytes = part_bytes
        self._config = Config(
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            max_pool_connections=max_connections,
            retries={"mode": "standard", "total_max_attempts": attempts},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if path_style else "auto"},
        )
        self._dialect = _Dialect()
        self._lock = threading.Lock()
        self._made: tuple[int, S3Client] | None = None

    @override
    def put(
        self,
        key: str,
        body: BinaryIO,
        *,
        size: int,
        sha256: str,
        content_type: str,
        filename: str | None = None,
        only_if_absent: bool = False,
    ) -> ObjectRef:
        segments(key)
        with translated():
            target = Target(self._client(), self.bucket, key, self._attributes(content_type, filename, sha256))
            upload: Upload
            if size > self._single_bytes:
                if only_if_absent and self._has(key):  # checked first, so that no parts are sent in vain
                    raise _exists()
                upload = PartedUpload(target, body, size, sha256, self._part_bytes)
            else:
                upload = WholeUpload(target, body, size, sha256)
            sent = self._send(upload, key, only_if_absent=only_if_absent)
        return ObjectRef(
            bucket=self.bucket, key=key, size=size, sha256=sha256, etag=sent.etag, version_id=sent.version_id
        )

    @override
    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        segments(key)
        with translated():
            answer = self._client().get_object(Bucket=self.bucket, Key=key)
        # The stubs have the type of its `readinto` wrong.
        with guarded(cast("Readable", answer["Body"]), translated) as body:
            yield body

    @override
    def stat(self, key: str) -> ObjectRef | None:
        segments(key)
        with translated():
            try:
                head = self._client().head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                explained = self._explain_head_error(key, error)
                if is_missing(explained):
                    return None
                raise explained from error
        version = head.get("VersionId")
        return ObjectRef(
            bucket=self.bucket,
            key=key,
            size=head["ContentLength"],
            sha256=head["Metadata"].get("sha256") or self._read_sha256(key),
            etag=head["ETag"].strip('"'),
            version_id=version if version != "null" else None,
        )

    @override
    def delete(self, key: str) -> None:
        segments(key)
        with translated():
            self._client().delete_object(Bucket=self.bucket, Key=key)

    @override
    def erase(self, folder: str, keep: Collection[str] = ()) -> int:
        segments(folder)
        with translated_erasing():
            return erase(self._client(), self.bucket, f"{folder}/", keep)

    @override
    def stored(self, prefix: str) -> Iterator[Stored]:
        with translated():
            pages = iter(self._client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix))
        while True:
            with translated():
                page = next(pages, None)
            if page is None:
                return
            for entry in page.get("Contents", ()):
                yield Stored(entry["Key"], entry["LastModified"].timestamp(), entry["Size"])

    def _client(self) -> S3Client:
        """Return this process's client. Making one takes 0.2 s, and a fork must not use its parent's connections."""
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                self._made = (os.getpid(), self._make_client())
            return self._made[1]

    def _make_client(self) -> S3Client:
        session = boto3.session.Session()
        region = self._region or session.region_name or "us-east-1"
        try:
            client = session.client(
                "s3",
                endpoint_url=self._endpoint,
                region_name=region,
                aws_access_key_id=self._access_key,
                aws_secret_access_key=self._secret_key,
                config=self._config,
            )
        except ValueError as error:  # botocore's error for an endpoint that is no URL, or an invalid region
            raise StoreRefusedError("the store's endpoint or region is not valid: write https://host:port") from error
        client.meta.events.register_last("before-call.s3", spare_round_trip)
        return client

    def _attributes(self, content_type: str, filename: str | None, sha256: str) -> dict[str, Any]:
        # A header accepts printable ASCII; the sender's content type may hold anything.
        printable = content_type.isascii() and content_type.isprintable()
        attributes: dict[str, Any] = {
            "ContentType": content_type if printable else "application/octet-stream",
            "Metadata": {"sha256": sha256},
        }
        if filename is not None:
            attributes["ContentDisposition"] = content_disposition(filename)
        if self._kms_key is not None:
            attributes |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self._kms_key}
        return attributes

    def _send(self, upload: Upload, key: str, *, only_if_absent: bool) -> Sent:
        """Send with the features the server supports; one that it refuses is left out from then on.

        Without conditional creation a check beforehand has to do, although another writer may come in between.
        """
        dialect = self._dialect
        conditional = only_if_absent and dialect.conditional is not False
        if only_if_absent and not conditional and self._has(key):
            raise _exists()
        try:
            sent = upload.send(checksums=dialect.checksums, conditional=conditional)
        except ClientError as error:
            reduced = dialect.reduced(error, conditional=conditional)
            if reduced is None:
                raise
            self._dialect = reduced
            return self._send(upload, key, only_if_absent=only_if_absent)
        if conditional and dialect.conditional is None and isinstance(upload, WholeUpload):
            self._dialect = replace(self._dialect, conditional=self._heeds_condition(upload))
        return sent

    def _heeds_condition(self, upload: WholeUpload) -> bool | None:
        """Whether the server refuses to create the same object again; if not, it has stored the same bytes again."""
        try:
            upload.send(checksums=self._dialect.checksums, conditional=True)
        except ClientError as error:
            return True if is_present(error) else None
        except BotoCoreError:
            return None
        return False

    def _has(self, key: str) -> bool:
        try:
            self._client().head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if is_missing(error):
                return False
            raise
        return True

    def _explain_head_error(self, key: str, error: ClientError) -> ClientError:
        """Repeat a refused HEAD as GET, whose answer has a body: HEAD's 404 may mean the bucket, its 403 anything."""
        try:
            self._client().get_object(Bucket=self.bucket, Key=key)["Body"].close()
        except ClientError as explained:
            return explained
        return error

    def _read_sha256(self, key: str) -> str:
        with self.open(key) as body:
            return measure(body)[1]


def content_disposition(filename: str) -> str:
    """Return the header that makes browsers save an object under this name (RFC 6266 section 4, RFC 8187)."""
    return f"attachment; filename*=UTF-8''{quote(filename, safe=_ATTR_CHAR, errors='replace')}"


def _exists() -> ObjectExistsError:
    return ObjectExistsError("there is an object under this key already")
