"""What every store asks of a key and of the bytes it is given."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, BinaryIO, Protocol

from ingest.errors import StoreRefusedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from typing_extensions import Buffer

# Amazon S3's limit for a key. Held in every store, so that objects can be moved from one to the other.
KEY_BYTES = 1024
CHUNK_BYTES = 256 * 1024


def segments(key: str) -> list[str]:
    """The parts of a key between its slashes.

    Raises:
        StoreRefusedError: a part is empty, `.` or `..`, or the key cannot be stored everywhere as it stands.
    """
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise StoreRefusedError("an object's key may not hold empty, '.' or '..' segments; look at the prefixes")
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise StoreRefusedError("an object's key must be valid Unicode") from None
    if "\0" in key:
        raise StoreRefusedError("an object's key may not hold a NUL")
    if length > KEY_BYTES:
        raise StoreRefusedError(f"an object's key may have {KEY_BYTES} bytes, this has {length}: shorten the prefix")
    return parts


def transfer(body: BinaryIO, write: Callable[[bytes], object], *, size: int, sha256: str) -> None:
    """Hand all bytes of a body to `write`, in chunks, and compare them with what the caller announced.

    Args:
        body: read from its current position to its end.
        write: takes each chunk whole.
        size: bytes expected.
        sha256: hex digest expected.

    Raises:
        StoreUnavailableError: they differ: memory or a temporary file was damaged, or the body was read before.
    """
    digest, length = hashlib.sha256(), 0
    while chunk := body.read(CHUNK_BYTES):
        digest.update(chunk)
        length += len(chunk)
        write(chunk)
    if (length, digest.hexdigest()) != (size, sha256):
        raise mismatch()


def measure(body: BinaryIO) -> tuple[int, str]:
    """Size in bytes and hex SHA-256 of what is left of a body."""
    digest, length = hashlib.sha256(), 0
    while chunk := body.read(CHUNK_BYTES):
        digest.update(chunk)
        length += len(chunk)
    return length, digest.hexdigest()


def mismatch() -> StoreUnavailableError:
    """The bytes to be stored are not those whose size or SHA-256 the caller gave."""
    return StoreUnavailableError("the bytes to be stored are not those that were announced; nothing was stored")


class Readable(Protocol):
    """What a store's own library gives to read from."""

    def readinto(self, buffer: Buffer, /) -> int | None:
        """Read some bytes."""

    def close(self) -> None:
        """Let go of file or connection."""


def guarded(source: Readable, guard: Callable[[], AbstractContextManager[None]]) -> io.BufferedReader:
    """A source whose reads each happen inside `guard()`, which translates the errors of its library.

    Only the reads: an error in what the caller does with the bytes is the caller's.
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
