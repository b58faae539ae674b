"""The inside of a guarded process: limits first, then the foreign code, then one frame that says how it ended.

Started by `ingest.containers.guard`. Imports little, since every guarded process pays for it.
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

# Frames are a kind, the payload's length in four size (big-endian), and the payload. The first says that the work
# begins, one of the other three is the last; the work has kinds of its own.
STARTED, DONE, STOPPED, BROKEN = 0, 1, 2, 3
OWN_KINDS = 16
FRAME_HEADER = 5
FRAME_BYTES = 65_536

_FILES = 32  # open at once; importing takes a few
# Whatever becomes of the process around it, which ends a guarded one much sooner.
_LIFETIME = 900


class _Input(io.RawIOBase):
    """A file read by places: the descriptor's own position is shared with whoever gave it, and stays as it is."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0
        self._size = os.fstat(descriptor).st_size

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As `io` says; a place before the beginning is none."""
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise OSError("a place before the beginning")
        self._at = at
        return at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """As `io` says."""
        view = memoryview(buffer)
        data = os.pread(self._descriptor, len(view), self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def run(work: Callable[[io.BufferedReader, Send, list[str]], None]) -> None:
    """Do work on the file that standard input is, under the limits that the arguments say, and end the process.

    Args:
        work: gets the file, what sends a frame, and the arguments after the limits'.
    """
    seconds, size = int(sys.argv[1]), int(sys.argv[2])
    _confine(seconds, size)
    _send(STARTED, b"")
    try:
        work(io.BufferedReader(_Input(0)), _send, sys.argv[3:])
    except MemoryError:
        outcome = STOPPED
    except Exception:  # noqa: BLE001 - foreign code may raise anything, and this is where the process ends
        outcome = BROKEN
    else:
        outcome = DONE
    with suppress(OSError):  # nobody waits for it any more
        _send(outcome, b"")
    os._exit(0)


def _confine(seconds: int, size: int) -> None:
    """Leave the process as little as reading a file takes."""
    with suppress(OSError):  # Linux only: where memory runs out, this is the process to end
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
