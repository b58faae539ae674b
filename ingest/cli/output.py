"""The output of child processes: to files beside the live view, else to standard output.

Both take lines from several threads and never raise: a line that cannot be written (full disk, closed pipe) is lost,
as a child whose output nobody reads would block.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from pathlib import Path

# A larger log file is rotated: it replaces the one rotated before.
LOG_CHARACTERS = 10 * 2**20


class LogFiles:
    """`<folder>/<name>.log` for each process, and `<name>.log.1`, the log before it.

    Args:
        folder: created with its parents.
        limit: characters after which a file is rotated.

    Raises:
        OSError: the folder cannot be created.
    """

    def __init__(self, folder: Path, limit: int = LOG_CHARACTERS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._limit = folder, limit
        self._files: dict[str, TextIO] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        """Append a line."""
        with self._lock, suppress(OSError):
            file = self._file(name)
            file.write(line + "\n")
            file.flush()

    def close(self) -> None:
        """Close the files; a line that still comes opens its file again."""
        with self._lock:
            for file in self._files.values():
                with suppress(OSError):
                    file.close()
            self._files = {}

    def _file(self, name: str) -> TextIO:
        path = self._folder / f"{name}.log"
        file = self._files.get(name)
        if file is not None and file.tell() >= self._limit:
            self._files.pop(name).close()
            path.replace(path.with_suffix(".log.1"))
            file = None
        if file is None:
            file = self._files[name] = path.open("a", encoding="utf-8")
        return file


class PlainLines:
    """Each line on one stream, after the name of its process.

    Args:
        stream: written to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        """Print a line."""
        with self._lock, suppress(OSError, ValueError):  # ValueError: the stream is closed
            self._stream.write(f"{name}: {line}\n")
            self._stream.flush()
