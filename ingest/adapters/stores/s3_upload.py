"""Upload one object to a bucket, whole or in parts, with bounded memory and repeatable."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError
from typing_extensions import override

from ingest.adapters.stores.transfer import CHUNK_BYTES, mismatch, transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

# Up to this size an object is sent from memory, immediately; for a larger one botocore asks first
# (Expect: 100-continue), which costs a round trip but saves the transfer if the server refuses.
IN_MEMORY_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Sent:
    """The parts of a server's answer to a put that are recorded."""

    etag: str | None
    version_id: str | None


class Upload(Protocol):
    """An object that can be sent, repeatedly if necessary. Raises what boto3 raises."""

    def send(self, *, checksums: bool, conditional: bool) -> Sent:
        """Send it.

        Args:
            checksums: send its SHA-256 in a header, which the server compares and keeps.
            conditional: only if there is no object under the key (`If-None-Match: *`).
        """
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """The destination of an object.

    Attributes:
        attributes: boto3's arguments for content type, disposition, metadata and encryption.
    """

    client: S3Client
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
            content = io.BytesIO()
            transfer(body, content.write, size=size, sha256=sha256)
            self._body = content.getvalue()
        else:
            self._body = window(body, body.tell(), size)
            transfer(body, len, size=size, sha256=sha256)

    @override
    def send(self, *, checksums: bool, conditional: bool) -> Sent:
        target, extra = self._target, dict(self._target.attributes)
        if not isinstance(self._body, bytes):
            self._body.seek(0)
        if checksums:
            extra["ChecksumSHA256"] = _base64(bytes.fromhex(self._sha256))
        if conditional:
            extra["IfNoneMatch"] = "*"
        answer = target.client.put_object(Bucket=target.bucket, Key=target.key, Body=self._body, **extra)
        return _sent(answer.get("ETag"), answer.get("VersionId"))


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
    def send(self, *, checksums: bool, conditional: bool) -> Sent:
        target, extra = self._target, dict(self._target.attributes)
        if checksums:
            extra["ChecksumAlgorithm"] = "SHA256"
        made = target.client.create_multipart_upload(Bucket=target.bucket, Key=target.key, **extra)
        place: dict[str, Any] = {"Bucket": target.bucket, "Key": target.key, "UploadId": made["UploadId"]}
        try:
            parts = list(self._send_parts(place, checksums=checksums))
            if conditional:
                place["IfNoneMatch"] = "*"
            answer = target.client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
        except BaseException:
            place.pop("IfNoneMatch", None)
            with contextlib.suppress(ClientError, BotoCoreError):  # the first error is the informative one
                target.client.abort_multipart_upload(**place)
            raise
        return _sent(answer.get("ETag"), answer.get("VersionId"))

    def _send_parts(self, place: dict[str, Any], *, checksums: bool) -> Iterator[CompletedPartTypeDef]:
        whole = hashlib.sha256()
        for number, offset in enumerate(range(0, self._size, self._part_bytes), start=1):
            size = min(self._part_bytes, self._size - offset)
            part = window(self._body, self._start + offset, size)
            digest = hashlib.sha256()
            while chunk := part.read(CHUNK_BYTES):
                digest.update(chunk)
                whole.update(chunk)
            if part.tell() < size:  # the server would wait for the rest
                raise mismatch()
            part.seek(0)
            checksum: dict[str, Any] = {"ChecksumSHA256": _base64(digest.digest())} if checksums else {}
            answer = self._target.client.upload_part(**place, PartNumber=number, Body=part, **checksum)
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


def _sent(etag: str | None, version_id: str | None) -> Sent:
    # `null` is the version id of objects in buckets whose versioning is suspended.
    return Sent((etag or "").strip('"') or None, version_id if version_id != "null" else None)


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
