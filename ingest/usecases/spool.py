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
_BLOCK_BYTES = 256 * 1024
# A server may send two bytes at a time, each of which would be an object of fifty.
_MOST_PIECES = 256


class Spool:
    """Write-then-read storage of one message or part.

    `size`, `sha256` and `key` describe the bytes written so far; `identity` is a second hash that gets the same bytes
    (the message key's). All methods but `close` raise `SpoolError` if the temporary folder is full.
    """

    def __init__(self, identity: Hasher | None = None, progress: Callable[[], None] | None = None) -> None:
        """Begin empty; `progress` is called whenever bytes are written, or read by a reader."""
        self._pieces: list[bytes] = []  # written, and not hashed yet
        self._waiting = 0  # bytes of the pieces
        self._blocks: list[bytes] = []  # hashed, in memory
        self._file: BinaryIO | None = None  # has what was hashed, instead of the blocks
        self._closed = False
        self._sha256 = hashlib.sha256()
        self._progress = progress
        self.identity = identity
        self.size = 0

    def write(self, data: Buffer) -> int:
        """Append bytes; returns how many.

        They are hashed in blocks: each piece that is hashed alone lets another thread have the interpreter's lock.
        """
        piece = bytes(data)  # the same object if it is bytes already
        written = len(piece)
        self._pieces.append(piece)
        self._waiting += written
        self.size += written
        too_large = self._file is None and self.size > MEMORY_BYTES
        if too_large or self._waiting >= _BLOCK_BYTES or len(self._pieces) >= _MOST_PIECES:
            self._flush()
        if self._progress is not None:
            self._progress()
        return written

    def _flush(self) -> None:
        block = b"".join(self._pieces)  # one piece is not copied
        self._pieces, self._waiting = [], 0
        self._sha256.update(block)
        if self.identity is not None:
            self.identity.update(block)
        if self._file is None:
            self._blocks.append(block)
            if self.size <= MEMORY_BYTES:
                return
        with _translated():
            if self._file is None:
                self._roll_over()
            else:
                self._file.write(block)

    def _roll_over(self) -> BinaryIO:
        """Move everything from memory into a file."""
        self._file = file = cast("BinaryIO", tempfile.TemporaryFile(prefix="mailhaul-"))  # noqa: SIM115 - see close
        blocks, self._blocks = self._blocks, []
        file.write(b"".join(blocks))
        file.flush()  # what does not fit is reported now
        return file

    def _content(self) -> bytes:
        """Return all bytes of a spool that is in memory; they are joined once."""
        if self._closed:
            raise ValueError("the spool is closed")
        if len(self._blocks) != 1:
            self._blocks = [b"".join(self._blocks)]
        return self._blocks[0]

    @property
    def sha256(self) -> str:
        """Hex digest of all bytes written."""
        if self._pieces:
            self._flush()
        return self._sha256.hexdigest()

    @property
    def key(self) -> str:
        """The message key; only for a spool with an `identity`."""
        assert self.identity is not None
        if self._pieces:
            self._flush()
        return message_key(self.identity)

    def head(self, size: int = HEAD_BYTES) -> bytes:
        """Return the first bytes, without a copy if these are all and in memory; a reader in use may be reset."""
        if self._pieces:
            self._flush()
        if self._file is None:
            return self._content()[:size]
        with _translated():
            self._file.seek(0)
            first = self._file.read(size)
            self._file.seek(0)
        return first

    def reader(self) -> BinaryIO:
        """Return a reader positioned at the start; closing the spool closes it too if the bytes are in a file."""
        if self._pieces:
            self._flush()
        if self._file is None:
            file: BinaryIO = io.BytesIO(self._content())  # shares the bytes; reading them as a whole copies nothing
        else:
            file = self._file
            with _translated():
                file.seek(0)
        return file if self._progress is None else cast("BinaryIO", _ReportingReader(file, self._progress))

    def descriptor(self) -> int:
        """Return the descriptor of a regular file with all bytes, for another process; moves them out of memory."""
        if self._pieces:
            self._flush()
        with _translated():
            file = self._file or self._roll_over()
            file.flush()
        return file.fileno()

    def close(self) -> None:
        """Release the memory and the file."""
        self._closed = True
        self._pieces, self._blocks = [], []
        if self._file is not None:
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
