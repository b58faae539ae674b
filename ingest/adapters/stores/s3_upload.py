"""Upload one object to a bucket, whole or in parts, with bounded memory and repeatable."""

from __future__ import annotations

import contextlib
import hashlib
import io
from binascii import b2a_base64
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError
from typing_extensions import override

from ingest.adapters.stores.s3_errors import demands_md5, names_checksum, not_a_store, not_understood
from ingest.adapters.stores.transfer import CHUNK_BYTES, mismatch, transfer
from ingest.errors import StoreCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from types_boto3_s3.type_defs import CompletedPartTypeDef

    from ingest.adapters.stores.s3_direct import DirectClient

# Up to this size an object is sent from memory, immediately; for a larger one botocore asks first
# (Expect: 100-continue), which costs a round trip but saves the transfer if the server refuses.
IN_MEMORY_BYTES = 2**20


class Sent(NamedTuple):
    """The parts of a server's answer to a put that are recorded."""

    etag: str | None
    version_id: str | None


class Upload(Protocol):
    """An object that can be sent, repeatedly if necessary. Raises what boto3 raises."""

    def send(self, *, checksums: bool, md5: bool, conditional: bool) -> Sent:
        """Send it.

        Args:
            checksums: send its SHA-256 in a header, which the server compares and keeps.
            md5: send its MD5 in a header (Content-MD5), which the server compares.
            conditional: only if there is no object under the key (`If-None-Match: *`).
        """
        ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """Optional features that the server supports.

    Attributes:
        checksums: `x-amz-checksum-sha256`; Backblaze B2 refuses it.
        md5: send Content-MD5; instead of a checksum that the server refuses, or because it demands one, as for
            buckets with Object Lock.
        conditional: `If-None-Match: *` in a put; None until tried. Some servers refuse it (501) and some, which is
            worse, ignore it.
    """

    checksums: bool = True
    md5: bool = False
    conditional: bool | None = None

    def reduced(self, error: ClientError, *, conditional: bool) -> Dialect | None:
        """Return the features to try next after a refusal, None if it was not about one of our headers."""
        if demands_md5(error):
            return None if self.md5 else replace(self, md5=True)
        if not not_understood(error):
            return None
        if conditional and not names_checksum(error):
            return replace(self, conditional=False)
        return replace(self, checksums=False, md5=True) if self.checksums else None


class Target(NamedTuple):
    """The destination of an object.

    Attributes:
        attributes: boto3's arguments for content type, disposition, metadata and encryption.
    """

    client: DirectClient
    bucket: str
    key: str
    attributes: dict[str, Any]


class WholeUpload(Upload):
    """One `PutObject` request.

    Raises:
        StoreUnavailableError: the body does not have the announced size and hash.
    """

    def __init__(self, target: Target, body: BinaryIO, size: int, sha256: str) -> None:
        self._target = target
        self._sha256 = sha256
        self._body: bytes | BinaryIO
        if size <= IN_MEMORY_BYTES:
            self._body = content = _read_all(body, size)
            if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
                raise mismatch()
        else:
            self._body = window(body, body.tell(), size)
            transfer(body, len, size=size, sha256=sha256)

    @override
    def send(self, *, checksums: bool, md5: bool, conditional: bool) -> Sent:
        target, extra = self._target, dict(self._target.attributes)
        checksum = b2a_base64(bytes.fromhex(self._sha256), newline=False).decode() if checksums else None
        if checksum is not None:
            extra["ChecksumSHA256"] = checksum
        if md5 or "ObjectLockMode" in extra:  # some servers take no checksum instead
            extra["ContentMD5"] = self._md5()
        if conditional:
            extra["IfNoneMatch"] = "*"
        answer: Mapping[str, Any]
        if isinstance(self._body, bytes):
            answer = target.client.put_object(target.key, self._body, self._sha256, extra)
        else:
            self._body.seek(0)
            answer = target.client.boto.put_object(Bucket=target.bucket, Key=target.key, Body=self._body, **extra)
        require_stored(answer, checksum)
        return _sent(answer["ETag"], answer.get("VersionId"))

    def _md5(self) -> str:
        body = io.BytesIO(self._body) if isinstance(self._body, bytes) else self._body
        body.seek(0)
        digest = hashlib.md5(usedforsecurity=False)
        while chunk := body.read(CHUNK_BYTES):
            digest.update(chunk)
        return _base64(digest.digest())


def _read_all(body: BinaryIO, size: int) -> bytes:
    """Return the rest of a body, which is usually one piece of the announced size, neither copied nor joined."""
    first = body.read(size + 1)
    if not (second := body.read(size + 1)):
        return first
    return b"".join([first, second, *iter(lambda: body.read(size + 1), b"")])


class PartedUpload(Upload):
    """A multipart upload, one part after the other; aborted as a whole if anything fails.

    `send` raises `StoreUnavailableError` if the body does not have the announced size and hash.
    """

    def __init__(self, target: Target, body: BinaryIO, size: int, sha256: str, part_bytes: int) -> None:
        self._target = target
        self._body = body
        self._start = body.tell()
        self._size = size
        self._sha256 = sha256
        self._part_bytes = part_bytes

    @override
    def send(self, *, checksums: bool, md5: bool, conditional: bool) -> Sent:
        target, extra = self._target, dict(self._target.attributes)
        if checksums:
            extra["ChecksumAlgorithm"] = "SHA256"
        made = target.client.boto.create_multipart_upload(Bucket=target.bucket, Key=target.key, **extra)
        if not made.get("UploadId"):
            raise not_a_store()
        place: dict[str, Any] = {"Bucket": target.bucket, "Key": target.key, "UploadId": made["UploadId"]}
        try:
            parts = list(self._send_parts(place, checksums=checksums, md5=md5))
            if conditional:
                place["IfNoneMatch"] = "*"
            answer = target.client.boto.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
            require_etag(answer)
        except BaseException:
            place.pop("IfNoneMatch", None)
            with contextlib.suppress(ClientError, BotoCoreError):  # the first error is the informative one
                target.client.boto.abort_multipart_upload(**place)
            raise
        return _sent(answer["ETag"], answer.get("VersionId"))

    def _send_parts(self, place: dict[str, Any], *, checksums: bool, md5: bool) -> Iterator[CompletedPartTypeDef]:
        whole = hashlib.sha256()
        for number, offset in enumerate(range(0, self._size, self._part_bytes), start=1):
            size = min(self._part_bytes, self._size - offset)
            part = window(self._body, self._start + offset, size)
            digest, digest5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
            while chunk := part.read(CHUNK_BYTES):
                digest.update(chunk)
                whole.update(chunk)
                if md5:
                    digest5.update(chunk)
            if part.tell() < size:  # the server would wait for the rest
                raise mismatch()
            part.seek(0)
            checksum: dict[str, Any] = {"ChecksumSHA256": _base64(digest.digest())} if checksums else {}
            headers = checksum | ({"ContentMD5": _base64(digest5.digest())} if md5 else {})
            answer = self._target.client.boto.upload_part(**place, PartNumber=number, Body=part, **headers)
            require_stored(answer, checksum.get("ChecksumSHA256"))
            yield {"PartNumber": number, "ETag": answer["ETag"], **checksum}  # type: ignore[typeddict-item]
        self._body.seek(self._start + self._size)
        if whole.hexdigest() != self._sha256 or self._body.read(1):
            raise mismatch()


def spare_round_trip(params: dict[str, Any], **_: Any) -> None:
    """Remove `Expect: 100-continue`, which botocore adds to every put, from requests with a small body."""
    if isinstance(params.get("body"), io.BytesIO):  # botocore wraps bodies sent from memory like this
        params["headers"].pop("Expect", None)


def window(body: BinaryIO, start: int, size: int) -> BinaryIO:
    """Return a slice of a seekable body as a file; botocore reads it to sign, to send, and to send again."""
    return cast("BinaryIO", _Window(body, start, size))  # it has the file methods that botocore and we use


class _Window:
    def __init__(self, body: BinaryIO, start: int, size: int) -> None:
        self._body = body
        self._start = start
        self._size = size
        self._at = 0

    def read(self, size: int | None = -1) -> bytes:
        """Like a file's."""
        rest = self._size - self._at
        self._body.seek(self._start + self._at)
        found = self._body.read(rest if size is None or size < 0 else min(size, rest))
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Like a file's."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, min(base + offset, self._size))
        return self._at

    def tell(self) -> int:
        """Like a file's."""
        return self._at


def require_stored(answer: Mapping[str, Any], checksum: str | None) -> None:
    """Check that the answer to a put is an object store's.

    A proxy, captive portal or maintenance page may answer 200 to everything. An object store answers with an ETag and
    without a document, and, if it keeps checksums, with the one that it computed.

    Raises:
        StoreUnavailableError: the answer is not one of an object store.
        StoreCorruptError: the store computed another checksum.
    """
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    page = "html" in headers.get("content-type", "").lower() and headers.get("content-length") != "0"
    if page:
        raise not_a_store()
    if not answer.get("ETag"):
        raise not_a_store()
    kept = answer.get("ChecksumSHA256")
    if checksum is not None and kept is not None and kept != checksum:
        raise StoreCorruptError(
            "the object store reports another checksum than that of the bytes sent: check the server and the proxies"
            " before it"
        )


def require_etag(answer: Mapping[str, Any]) -> None:
    """Raise `StoreUnavailableError` if an answer has no ETag, which every object store gives."""
    if not answer.get("ETag"):
        raise not_a_store()


def _sent(etag: str, version_id: str | None) -> Sent:
    # `null` is the version id of objects in buckets whose versioning is suspended.
    return Sent(etag.strip('"'), version_id if version_id != "null" else None)


def _base64(digest: bytes) -> str:
    return b2a_base64(digest, newline=False).decode()
