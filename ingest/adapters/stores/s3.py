"""Objects in a bucket of any server with the S3 API.

Optional features are detected at run time, once per process: SHA-256 checksum headers and conditional creation.
botocore's newer default, CRC checksums in trailers, is off because many servers do not support it; the signature of
each request covers a SHA-256 of its bytes in any case.
"""

from __future__ import annotations

import io
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError
from typing_extensions import override

from ingest.adapters.aws_deadline import TimedBody
from ingest.adapters.deadline import RequestDeadline, limited
from ingest.adapters.stores.s3_client import Clients
from ingest.adapters.stores.s3_erase import erase, erase_versions
from ingest.adapters.stores.s3_errors import (
    is_conflict,
    is_missing,
    is_out_of_range,
    is_present,
    not_a_store,
    translated,
    translated_erasing,
    translated_locks,
)
from ingest.adapters.stores.s3_lock import BucketLocks
from ingest.adapters.stores.s3_upload import IN_MEMORY_BYTES, Dialect, PartedUpload, Target, WholeUpload
from ingest.adapters.stores.transfer import (
    Slice,
    byte_range,
    content_disposition,
    guarded,
    header_type,
    measure,
    raise_exists,
    segments,
    to_skip,
)
from ingest.domain.record import ObjectRef
from ingest.errors import ObjectExistsError
from ingest.ports.store import Protected, Store, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from types_boto3_s3 import S3Client

    from ingest.adapters.stores.s3_upload import Sent, Upload
    from ingest.adapters.stores.transfer import Readable
    from ingest.domain.retention import Lock

# Up to this size one request is used; repeating it after a failure takes seconds.
SINGLE_BYTES = 64 * 2**20
PART_BYTES = 16 * 2**20
_CONFLICT_SECONDS = 0.2


class _OutOfRangeError(Exception):
    """The object ends before the range that was asked for."""


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
        keys: returns access key and secret key, and is called for each request so that rotated keys are used at
            once; if it returns None, boto3's chain is used (environment, profile, web identity, role).
        lock: the Object Lock that raw mail, documents and statements get.
        tags: tag new objects with what they are (`mailhaul-kind`).
        now: the wall clock, from which locks count.
        max_connections: connections kept open; further threads open and close their own.
        connect_timeout: seconds for connecting, and for each piece of an upload to be accepted.
        read_timeout: seconds without a byte while an answer is awaited or read.
        piece_timeout: seconds for each 64 KiB of a body in either direction, and for the rest of a request: a server
            that sends a byte now and then would stay below `read_timeout` for ever.
        attempts: per request, with pauses of a few seconds at most; longer retries are the caller's.
        single_bytes: larger objects are sent in parts.
        part_bytes: size of each part but the last; S3 requires at least 5 MiB and at most 10,000 parts.
        sleep: waits some seconds before a creation that collided with another one is repeated.
    """

    def __init__(
        self,
        bucket: str,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        path_style: bool = False,
        kms_key: str | None = None,
        keys: Callable[[], tuple[str, str] | None] = lambda: None,
        lock: Lock | None = None,
        tags: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        max_connections: int = 64,
        connect_timeout: float = 10,
        read_timeout: float = 60,
        piece_timeout: float = 90,
        attempts: int = 3,
        single_bytes: int = SINGLE_BYTES,
        part_bytes: int = PART_BYTES,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.bucket = bucket
        self._clients = Clients(
            bucket,
            endpoint,
            region,
            path_style,
            keys,
            max_connections,
            connect_timeout,
            read_timeout,
            piece_timeout,
            attempts,
        )
        self._kms_key = kms_key
        self._locks = BucketLocks(bucket, lock, tags, now)
        self._attempts = attempts
        self._sleep = sleep
        self._piece_timeout = piece_timeout
        self._single_bytes = single_bytes
        self._memory_bytes = min(single_bytes, IN_MEMORY_BYTES)
        self._part_bytes = part_bytes
        self._dialect = Dialect()

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
        compare: bool = True,
    ) -> ObjectRef:
        segments(key)
        try:
            attributes = self._attributes(content_type, filename, sha256) | self._locks.marks(key, size)
            target = Target(self._clients.direct(), self.bucket, key, attributes)
            if size <= self._memory_bytes:
                upload = WholeUpload(target, body, size, sha256)
                sent = self._send(upload, key, only_if_absent=only_if_absent)
            else:
                with limited(self._piece_timeout):
                    sent = self._send_large(target, body, size, sha256, only_if_absent=only_if_absent)
        except Exception as error:
            failure = translated().translate(error)
            if compare and isinstance(failure or error, ObjectExistsError):
                raise_exists(self.stat(key), size=size, sha256=sha256)
            if failure is None:
                raise
            raise failure from error
        return ObjectRef(
            bucket=self.bucket, key=key, size=size, sha256=sha256, etag=sent.etag, version_id=sent.version_id
        )

    @override
    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        with self._reading(key) as (_, source), guarded(source, translated) as body:
            yield body

    @override
    @contextmanager
    def open_range(self, key: str, begin: int, end: int) -> Iterator[BinaryIO]:
        with ExitStack() as stack:
            try:
                answered, source = stack.enter_context(self._reading(key, byte_range(begin, end)))
            except _OutOfRangeError:
                yield io.BytesIO()
                return
            skip = to_skip(answered, begin)
            if skip is None:
                raise not_a_store()
            yield stack.enter_context(guarded(Slice(source, skip, end - begin), translated))

    @contextmanager
    def _reading(self, key: str, part: str | None = None) -> Iterator[tuple[str | None, TimedBody]]:
        """Begin to read an object, or a part of it; yield the value of Content-Range, and the body."""
        segments(key)
        deadline = RequestDeadline(self._piece_timeout, by_progress=True)
        with deadline.started():
            with translated(), deadline.used():
                try:
                    answer = self._clients.direct().get_object(key, part)
                except ClientError as error:
                    if part is not None and is_out_of_range(error):
                        raise _OutOfRangeError from None
                    raise
                if not answer.get("ETag"):
                    answer["Body"].close()
                    raise not_a_store()
            deadline.suspend()
            # The stubs have the type of its `readinto` wrong.
            body = TimedBody(cast("Readable", answer["Body"]), deadline)
            try:
                yield answer.get("ContentRange"), body
            finally:
                body.close()

    @override
    def stat(self, key: str) -> ObjectRef | None:
        segments(key)
        with translated():
            try:
                head = self._clients.direct().head_object(key)
            except ClientError as error:
                explained = self._explain_head_error(key, error)
                if is_missing(explained):
                    return None
                raise explained from error
        if not head.get("ETag") or "ContentLength" not in head:
            raise not_a_store()
        version = head.get("VersionId")
        return ObjectRef(
            bucket=self.bucket,
            key=key,
            size=head["ContentLength"],
            sha256=head.get("Metadata", {}).get("sha256") or self._read_sha256(key),
            etag=head["ETag"].strip('"'),
            version_id=version if version != "null" else None,
        )

    @override
    def delete(self, key: str) -> None:
        segments(key)
        with translated(), limited(self._piece_timeout):
            self._client().delete_object(Bucket=self.bucket, Key=key)

    @override
    def erase(self, folder: str, keep: Collection[str] = ()) -> int:
        segments(folder)
        with translated_erasing(), limited(self._piece_timeout):
            return erase(self._client(), self.bucket, f"{folder}/", keep)

    @override
    def erase_versions(self, key: str) -> int:
        segments(key)
        with translated_erasing(), limited(self._piece_timeout):
            return erase_versions(self._client(), self.bucket, key)

    @override
    def protected(self, folder: str) -> Sequence[Protected]:
        segments(folder)
        with translated_locks(), limited(self._piece_timeout):
            return self._locks.protected(self._client(), f"{folder}/")

    @override
    def describe_lock(self) -> str:
        with translated_locks(), limited(self._piece_timeout):
            return self._locks.describe(self._client())

    @override
    def set_legal_hold(self, folder: str, *, on: bool) -> int:
        segments(folder)
        with translated_locks(), limited(self._piece_timeout):
            return self._locks.hold(self._client(), f"{folder}/", on=on)

    @override
    def stored(self, prefix: str) -> Iterator[Stored]:
        token = ""
        while True:
            # Not by boto3's paginator, which reads its description from the disk for each listing.
            following: Any = {"ContinuationToken": token} if token else {}
            with translated(), limited(self._piece_timeout):
                page = self._client().list_objects_v2(Bucket=self.bucket, Prefix=prefix, **following)
            if "IsTruncated" not in page:  # every listing has it, an empty one too
                raise not_a_store()
            for entry in page.get("Contents", ()):
                yield Stored(entry["Key"], entry["LastModified"].timestamp(), entry["Size"])
            if not page["IsTruncated"]:
                return
            before, token = token, page.get("NextContinuationToken", "")
            if token in {"", before}:
                raise not_a_store()

    def _client(self) -> S3Client:
        return self._clients.direct().boto

    def _attributes(self, content_type: str, filename: str | None, sha256: str) -> dict[str, Any]:
        attributes: dict[str, Any] = {"ContentType": header_type(content_type), "Metadata": {"sha256": sha256}}
        if filename is not None:
            attributes["ContentDisposition"] = content_disposition(filename)
        if self._kms_key is not None:
            attributes |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self._kms_key}
        return attributes

    def _send_large(self, target: Target, body: BinaryIO, size: int, sha256: str, *, only_if_absent: bool) -> Sent:
        upload: Upload
        if size > self._single_bytes:
            if only_if_absent:  # checked first, so that no parts are sent in vain
                self._raise_if_present(target.key)
            upload = PartedUpload(target, body, size, sha256, self._part_bytes)
        else:
            upload = WholeUpload(target, body, size, sha256)
        return self._send(upload, target.key, only_if_absent=only_if_absent)

    def _send(self, upload: Upload, key: str, *, only_if_absent: bool, attempt: int = 1) -> Sent:
        """Send with the features the server supports; one that it refuses is left out from then on.

        Without conditional creation a check beforehand has to do, although another writer may come in between. If
        another request for the same key was in progress (409), the creation is repeated, as Amazon advises.
        """
        dialect = self._dialect
        conditional = only_if_absent and dialect.conditional is not False
        if only_if_absent and not conditional:
            self._raise_if_present(key)
        try:
            sent = upload.send(checksums=dialect.checksums, md5=dialect.md5, conditional=conditional)
        except ClientError as error:
            if is_conflict(error) and attempt < self._attempts:
                self._sleep(_CONFLICT_SECONDS * attempt)
                attempt += 1
            elif (reduced := dialect.reduced(error, conditional=conditional)) is not None:
                self._dialect = reduced
                attempt = 1
            else:
                raise
        else:
            if conditional and dialect.conditional is None and isinstance(upload, WholeUpload):
                self._dialect = replace(self._dialect, conditional=self._heeds_condition(upload))
            return sent
        return self._send(upload, key, only_if_absent=only_if_absent, attempt=attempt)

    def _heeds_condition(self, upload: WholeUpload) -> bool | None:
        """Whether the server refuses to create the same object again; if not, it has stored the same bytes again."""
        try:
            upload.send(checksums=self._dialect.checksums, md5=self._dialect.md5, conditional=True)
        except ClientError as error:
            return True if is_present(error) else None
        except BotoCoreError:
            return None
        return False

    def _raise_if_present(self, key: str) -> None:
        try:
            self._clients.direct().head_object(key)
        except ClientError as error:
            if is_missing(error):
                return
            raise
        raise ObjectExistsError("there is an object under this key already")

    def _explain_head_error(self, key: str, error: ClientError) -> ClientError:
        """Repeat a refused HEAD as GET, whose answer has a body: HEAD's 404 may mean the bucket, its 403 anything."""
        try:
            self._clients.direct().get_object(key)["Body"].close()
        except ClientError as explained:
            return explained
        return error

    def _read_sha256(self, key: str) -> str:
        with self.open(key) as body:
            return measure(body)[1]
