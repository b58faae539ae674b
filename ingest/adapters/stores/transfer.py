"""Checks that all stores share: of keys, and of the bytes they are given."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, BinaryIO, NoReturn, Protocol
from urllib.parse import quote

from ingest.errors import ObjectExistsError, StoreCorruptError, StoreRefusedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from typing_extensions import Buffer

    from ingest.domain.record import ObjectRef

# Amazon S3's limit for a key. Enforced in every store, so that objects can be moved between them.
KEY_BYTES = 1024
CHUNK_BYTES = 256 * 1024
_NO_SEGMENTS = frozenset({"", ".", ".."})
# RFC 8187 section 3.2.1: the attr-char characters that `quote` would encode.
_ATTR_CHAR = "!#$&+^`|"


def segments(key: str) -> list[str]:
    """Return the segments of a key.

    Raises:
        StoreRefusedError: a segment is empty, `.` or `..`, or some store could not hold the key unchanged.
    """
    parts = key.split("/")
    if not _NO_SEGMENTS.isdisjoint(parts):
        raise StoreRefusedError("an object's key may not hold empty, '.' or '..' segments; check the prefixes")
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise StoreRefusedError("an object's key must be valid Unicode") from None
    if "\0" in key:
        raise StoreRefusedError("an object's key may not hold a NUL")
    if length > KEY_BYTES:
        raise StoreRefusedError(f"an object's key may have {KEY_BYTES} bytes, this has {length}: shorten the prefix")
    return parts


def header_type(content_type: str) -> str:
    """Return a content type for a header, which accepts printable ASCII; the sender's may hold anything."""
    return content_type if content_type.isascii() and content_type.isprintable() else "application/octet-stream"


def content_disposition(filename: str) -> str:
    """Return the header that makes browsers save an object under this name (RFC 6266 section 4, RFC 8187)."""
    return f"attachment; filename*=UTF-8''{quote(filename, safe=_ATTR_CHAR, errors='replace')}"


def transfer(body: BinaryIO, write: Callable[[bytes], object], *, size: int, sha256: str) -> None:
    """Pass all bytes of a body to `write`, in chunks, and compare them with the announced size and hash.

    Args:
        body: read from its current position to its end.
        write: must accept each chunk whole.
        size: expected bytes.
        sha256: expected hex digest.

    Raises:
        StoreUnavailableError: they differ: memory or a temporary file was damaged, or the body was already read.
    """
    digest, length = hashlib.sha256(), 0
    while chunk := body.read(CHUNK_BYTES):
        digest.update(chunk)
        length += len(chunk)
        write(chunk)
    if (length, digest.hexdigest()) != (size, sha256):
        raise mismatch()


def measure(body: BinaryIO) -> tuple[int, str]:
    """Return size in bytes and hex SHA-256 of the rest of a body."""
    digest, length = hashlib.sha256(), 0
    while chunk := body.read(CHUNK_BYTES):
        digest.update(chunk)
        length += len(chunk)
    return length, digest.hexdigest()


def raise_exists(found: ObjectRef | None, *, size: int, sha256: str) -> NoReturn:
    """Raise the error for an object that exists already, by comparing it with what was to be stored.

    Args:
        found: the existing object as `stat` returns it.
        size: bytes of the object to be stored.
        sha256: its hex digest.

    Raises:
        ObjectExistsError: both are the same.
        StoreCorruptError: they differ.
        StoreUnavailableError: the object has disappeared meanwhile.
    """
    if found is None:
        raise StoreUnavailableError("an object that existed disappeared meanwhile; the request is repeated later")
    if (found.size, found.sha256) != (size, sha256):
        raise StoreCorruptError(
            f"the object {found.key} ({found.size} bytes) is not the one that belongs there ({size} bytes): find out"
            " who wrote or changed it, then move it away; it is stored again if the mail server still has the message"
        )
    raise ObjectExistsError("there is an object under this key already")


def mismatch() -> StoreUnavailableError:
    """Return the error for a body that does not have the announced size and SHA-256."""
    return StoreUnavailableError("the bytes to store do not have the announced size and SHA-256; nothing was stored")


class Readable(Protocol):
    """The readable object that a store's library returns."""

    def readinto(self, buffer: Buffer, /) -> int | None:
        """Read some bytes."""

    def close(self) -> None:
        """Release the file or connection."""


def byte_range(begin: int, end: int) -> str:
    """Return the value of Range for bytes from `begin` to `end`, exclusive (RFC 9110 section 14.1.2)."""
    return f"bytes={begin}-{end - 1}"


def to_skip(content_range: str | None, begin: int) -> int | None:
    """Return how many bytes of an answer are before the range that was asked for; None if it is another one.

    Args:
        content_range: the header field of the answer; None if the server has ignored the range and sends everything.
        begin: of the range that was asked for.
    """
    if content_range is None:
        return begin
    return 0 if content_range.startswith(f"bytes {begin}-") else None


class Slice:
    """Some bytes of a source, which closes it.

    Args:
        source: at its beginning.
        skip: bytes to leave out first.
        length: bytes that follow, at most.
    """

    def __init__(self, source: Readable, skip: int, length: int) -> None:
        self._source, self._skip, self._left = source, skip, length

    def readinto(self, buffer: Buffer, /) -> int | None:
        """Read some bytes; 0 at the end."""
        while self._skip:
            skipped = self._source.readinto(bytearray(min(self._skip, CHUNK_BYTES)))
            if not skipped:
                return skipped
            self._skip -= skipped
        view = memoryview(buffer).cast("B")[: self._left]
        count = self._source.readinto(view) if view else 0
        self._left -= count or 0
        return count

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def guarded(source: Readable, guard: Callable[[], AbstractContextManager[None]]) -> io.BufferedReader:
    """Wrap a source so that each read runs inside `guard()`, which translates the errors of its library.

    Only reads are wrapped: an error while the caller handles the bytes is the caller's.
    """
    return io.BufferedReader(_Guarded(source, guard), CHUNK_BYTES)


class _Guarded(io.RawIOBase):
    def __init__(self, source: Readable, guard: Callable[[], AbstractContextManager[None]]) -> None:
        self._source = source
        self._guard = guard

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int | None:
        with self._guard():
            return self._source.readinto(buffer)

    def close(self) -> None:
        try:
            self._source.close()
        finally:
            super().close()
