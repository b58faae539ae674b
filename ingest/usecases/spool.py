"""Temporary storage for a message or a part: in memory at first, then in a file; hashes bytes as they are written."""

from __future__ import annotations

import hashlib
import io
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from typing_extensions import override

from ingest.domain.keys import message_key
from ingest.errors import SpoolError
from ingest.ports.translation import Translation

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from ingest.domain.keys import Hasher

# A smaller message stays in memory. Fifty pollers with four messages in progress each stay within 200 MiB.
MEMORY_BYTES = 2**20
HEAD_BYTES = 256 * 1024
CHUNK_BYTES = 256 * 1024
_BLOCK_BYTES = 64 * 1024


class Spool:
    """Write-then-read storage of one message or part.

    `size`, `sha256` and `key` describe the bytes written so far; `identity` is a second hash that gets the same bytes
    (the message key's). All methods but `close` raise `SpoolError` if the temporary folder is full.
    """

    def __init__(self, identity: Hasher | None = None, progress: Callable[[], None] | None = None) -> None:
        """Begin empty; `progress` is called whenever bytes are written, or read by a reader."""
        self._memory: io.BytesIO | None = io.BytesIO()
        self._file: BinaryIO = self._memory
        self._pending = bytearray()  # written, and neither hashed nor in the file yet
        self._sha256 = hashlib.sha256()
        self._progress = progress
        self.identity = identity
        self.size = 0

    def write(self, data: Buffer) -> int:
        """Append bytes; returns how many.

        They are hashed in blocks: each piece that is hashed alone lets another thread have the interpreter's lock.
        """
        before = len(self._pending)
        self._pending += data
        written = len(self._pending) - before
        self.size += written
        if len(self._pending) >= _BLOCK_BYTES or (self._memory is not None and self.size > MEMORY_BYTES):
            self._flush()
        if self._progress is not None:
            self._progress()
        return written

    def _flush(self) -> None:
        if not self._pending:
            return
        block, self._pending = self._pending, bytearray()
        self._sha256.update(block)
        if self.identity is not None:
            self.identity.update(block)
        with _translated():
            self._file.write(block)
            if self._memory is not None and self.size > MEMORY_BYTES:
                self._roll_over(self._memory)

    def _roll_over(self, memory: io.BytesIO) -> None:
        """Move everything from memory into a file."""
        self._file = cast("BinaryIO", tempfile.TemporaryFile(prefix="mailhaul-"))  # noqa: SIM115 - see close
        self._memory = None
        self._file.write(memory.getvalue())
        self._file.seek(memory.tell())

    @property
    def sha256(self) -> str:
        """Hex digest of all bytes written."""
        self._flush()
        return self._sha256.hexdigest()

    @property
    def key(self) -> str:
        """The message key; only for a spool with an `identity`."""
        assert self.identity is not None
        self._flush()
        return message_key(self.identity)

    def head(self, size: int = HEAD_BYTES) -> bytes:
        """Return the first bytes; the position is at the start afterwards."""
        self._flush()
        if self._memory is not None:
            self._memory.seek(0)
            return bytes(self._memory.getbuffer()[:size])
        with _translated():
            self._file.seek(0)
            first = self._file.read(size)
            self._file.seek(0)
        return first

    def reader(self) -> BinaryIO:
        """Return a reader positioned at the start; closing the spool closes it too."""
        self._flush()
        with _translated():
            self._file.seek(0)
        return (
            self._file if self._progress is None else cast("BinaryIO", _ReportingReader(self._file, self._progress))
        )

    def descriptor(self) -> int:
        """Return the descriptor of a regular file with all bytes, for another process; moves them out of memory."""
        self._flush()
        with _translated():
            if self._memory is not None:
                self._roll_over(self._memory)
            self._file.flush()
        return self._file.fileno()

    def close(self) -> None:
        """Release the memory and the file."""
        with suppress(OSError):  # closing flushes, into a file that nobody reads any more
            self._file.close()


class _ReportingReader:
    """A file that calls `progress` whenever it is read."""

    def __init__(self, file: BinaryIO, progress: Callable[[], None]) -> None:
        self._file = file
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        self._progress()
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _translated(Translation):  # noqa: N801 - used like a function
    """Translate errors of the file. Each operation may write: buffered bytes, or all when a spool leaves memory."""

    __slots__ = ()

    @override
    def translate(self, error: BaseException) -> SpoolError | None:
        if not isinstance(error, OSError):
            return None
        return SpoolError(
            f"A temporary file cannot be written ({error.strerror}): make room in {tempfile.gettempdir()}, or "
            "set TMPDIR to a folder that has some."
        )
