"""The entry point of a guarded process: apply limits, run third-party code, send one frame with the outcome.

Started by `ingest.containers.guard`. It imports little, because every guarded process pays for its imports.
"""

from __future__ import annotations

import io
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

    Send = Callable[[int, bytes], None]

# A frame is a kind (one byte), the length of the payload (four bytes, big-endian) and the payload. STARTED is the
# first frame; DONE, STOPPED or BROKEN is the last. Kinds from OWN_KINDS on belong to the reader.
STARTED, DONE, STOPPED, BROKEN = 0, 1, 2, 3
# Of readers of files: END describes the file whose BYTES came before; LIMIT reports files beyond a limit, DAMAGED one
# that is unreadable, both left out.
BYTES, END, LIMIT, DAMAGED = 8, 9, 10, 11
OWN_KINDS = 16
FRAME_HEADER = 5
FRAME_BYTES = 65_536

_WITH_SECRET = 3  # arguments of a reader of files: limits on their number and bytes, and the descriptor
_FILES = 32  # open at the same time; imports need a few
# A backstop in case the parent dies; a live parent ends the process much sooner.
_LIFETIME = 900


class _Input(io.RawIOBase):
    """A file read with pread: the descriptor's position is shared with the parent and must not move."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0
        self._size = os.fstat(descriptor).st_size

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See `io.RawIOBase.seek`; raises OSError for a negative offset."""
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise OSError("negative seek offset")
        self._at = at
        return at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """See `io.RawIOBase.readinto`."""
        view = memoryview(buffer)
        data = os.pread(self._descriptor, len(view), self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def run(work: Callable[[io.BufferedReader, Send, list[str]], None]) -> None:
    """Run `work` on the file at standard input, under the limits in the arguments, then end the process.

    Args:
        work: called with the file, a function that sends a frame, and the arguments after the limits.
    """
    seconds, size = int(sys.argv[1]), int(sys.argv[2])
    _confine(seconds, size)
    _send(STARTED, b"")
    try:
        work(io.BufferedReader(_Input(0)), _send, sys.argv[3:])
    except MemoryError:
        outcome = STOPPED
    except Exception:  # noqa: BLE001 - third-party code may raise anything, and the process ends here
        outcome = BROKEN
    else:
        outcome = DONE
    with suppress(OSError):  # the parent no longer reads
        _send(outcome, b"")
    os._exit(0)


def read_secret(arguments: list[str]) -> list[bytes]:
    """Return what NULs divide in the pipe that the last of three arguments names; nothing without it."""
    if len(arguments) < _WITH_SECRET:
        return []
    with os.fdopen(int(arguments[-1]), "rb") as pipe:
        return pipe.read().split(b"\0")


def _confine(seconds: int, size: int) -> None:
    """Drop everything that reading one file does not need."""
    with suppress(OSError):  # Linux only: the first process to kill when memory runs out
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(fd, b"1000")
        finally:
            os.close(fd)
    for number in (signal.SIGXCPU, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.setitimer(signal.ITIMER_REAL, _LIFETIME)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, _FILES),
        (resource.RLIMIT_AS, size),
        (resource.RLIMIT_CPU, seconds),
    ):
        _, most = resource.getrlimit(limit)
        less = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (less, less))


def _send(kind: int, payload: bytes) -> None:
    frame = memoryview(bytes([kind]) + len(payload).to_bytes(FRAME_HEADER - 1, "big") + payload)
    while frame:
        frame = frame[os.write(1, frame) :]
