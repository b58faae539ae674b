"""Events as lines of a file, one JSON text each.

Several processes may append to one file, and it may be rotated by renaming or by truncating: each batch is written
under a lock, to the file that has the name at that moment, and synced before it is confirmed.

A crash may leave an incomplete last line. Its event was not confirmed and is delivered again; before the next batch
the incomplete line is cut off, or completed if only the newline is missing. So no event is lost, and every line can
be parsed.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.errors import SinkUnavailableError
from ingest.ports.sink import Outcome, Sink, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ingest.domain.events import Event

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_MODE = 0o600  # events quote mail
_LOOK_BACK = 64 * 1024
_PAUSE = 0.02

# Reason codes and remedies.
_REMEDIES = {
    errno.ENOENT: ("not_found", "its folder does not exist: make it, or choose another path"),
    errno.ENOTDIR: ("not_found", "a file is where its folder should be: choose another path"),
    errno.EISDIR: ("not_a_file", "it is a folder: choose the path of a file"),
    errno.EACCES: ("permission_denied", "permission denied: let the service's user write here"),
    errno.EROFS: ("permission_denied", "the file system is read-only: mount it for writing"),
    errno.ENOSPC: ("disk_full", "the disk is full: free or add space"),
    errno.EDQUOT: ("disk_full", "the disk quota is used up: free space or raise the quota"),
    errno.ENXIO: ("not_a_file", "it is not a file: choose another path"),
}


class JsonLinesSink(Sink):
    """A `Sink` that appends to a file, which is created with the first event.

    Args:
        name: unique among the sinks.
        path: path of the file; its folder has to exist.
        patience: seconds to wait for another process that is writing.
    """

    def __init__(self, name: str, path: Path, *, patience: float = 10.0) -> None:
        self.name = name
        self._path = path
        self._patience = patience
        self._file: int | None = None
        self._is_new = False  # whether its name may not be durable yet
        # The file lock works between processes; this one between threads that share the descriptor.
        self._lock = threading.Lock()

    @override
    def deliver(self, events: Sequence[Event]) -> list[Outcome]:
        """All or nothing."""
        if events:
            with self._lock, self._translated(), self._locked() as file:
                _repair_last_line(file)
                _append(file, b"\n".join([*[event.body for event in events], b""]))
        return [Outcome(Verdict.DELIVERED)] * len(events)

    @override
    def check(self) -> None:
        """Opens the file, or checks whether it could be created."""
        with self._lock, self._translated():
            if self._path.exists():
                with self._locked():
                    return
            if not self._path.parent.is_dir():
                raise FileNotFoundError(errno.ENOENT, "")
            if not os.access(self._path.parent, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "")

    @override
    def close(self) -> None:
        with self._lock:
            self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Yield the locked descriptor of the file that currently has the name."""
        ends = time.monotonic() + self._patience
        while True:
            file = self._open()
            self._wait_for_lock(file, ends)
            if self._is_current(file):
                break
            self._close_file()  # which unlocks it
        try:
            yield file
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

    def _open(self) -> int:
        if self._file is not None:
            return self._file
        try:
            self._file = os.open(self._path, _FLAGS)
        except FileNotFoundError:
            self._file = os.open(self._path, _FLAGS | os.O_CREAT, _MODE)
            self._is_new = True
        if self._is_new:  # also if that failed when it was made: it is confirmed in no other way
            _synchronise_folder(self._path.parent)
            self._is_new = False
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            self._close_file()
            raise OSError(errno.ENXIO, "")
        return self._file

    def _wait_for_lock(self, file: int, ends: float) -> None:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= ends:
                    raise SinkUnavailableError(
                        f"{self._path}: another process has kept it locked for {self._patience:g} s; "
                        "find the process with `lsof`, or choose another path",
                        "locked",
                    ) from None
                time.sleep(_PAUSE)
            else:
                return

    def _is_current(self, file: int) -> bool:
        """Whether the path still names this file; if not, it was rotated."""
        ours = os.fstat(file)
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        return (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._close_file()
            unknown = ("file_error", f"{error.strerror}; check the disk, or choose another path")
            reason, remedy = _REMEDIES.get(error.errno or 0, unknown)
            raise SinkUnavailableError(f"{self._path}: events cannot be appended: {remedy}", reason) from error


def _append(file: int, lines: bytes) -> None:
    """Append all lines durably, or none of them if the file can still be truncated."""
    start = os.fstat(file).st_size
    try:
        rest = memoryview(lines)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    except OSError:
        os.ftruncate(file, start)
        raise


def _repair_last_line(file: int) -> None:
    """Make the file end with a complete line."""
    size = os.fstat(file).st_size
    if size == 0 or os.pread(file, 1, size - 1) == b"\n":
        return
    start = _start_of_last_line(file, size)
    if _is_json(os.pread(file, size - start, start)):
        os.write(file, b"\n")
    else:
        os.ftruncate(file, start)


def _start_of_last_line(file: int, size: int) -> int:
    end = size
    while end > 0:
        begin = max(0, end - _LOOK_BACK)
        found = os.pread(file, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _synchronise_folder(folder: Path) -> None:
    """Sync a folder, which makes the name of a new file durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
