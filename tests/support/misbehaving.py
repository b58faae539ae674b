"""What may go wrong in a guarded process, as a module that `ingest.containers.guard` can start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.containers import confined

if TYPE_CHECKING:
    from io import BufferedReader

    from ingest.containers.confined import Send

ANSWER = confined.OWN_KINDS
MODULE = "tests.support.misbehaving"


def _loop(send: Send) -> None:
    send(ANSWER, b"once")
    while True:
        pass


def _sleep(send: Send) -> None:
    send(ANSWER, b"once")
    time.sleep(600)


def _eat_memory(send: Send) -> None:
    held = []
    while True:
        held.append(b"x" * 2**24)
        send(ANSWER, b"")


def _write_endlessly(send: Send) -> None:
    while True:
        send(ANSWER, b"x" * confined.FRAME_BYTES)


def _crash(send: Send) -> None:
    send(ANSWER, b"once")
    os.kill(os.getpid(), signal.SIGSEGV)


def _be_killed(send: Send) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _recurse(send: Send) -> None:
    _recurse(send)


def _close_output(send: Send) -> None:
    os.close(1)
    time.sleep(600)


def _write_nonsense(send: Send) -> None:
    os.write(1, b"\xff" * 100)
    time.sleep(600)


def _spawn(send: Send) -> None:
    """As far as it may: an ordinary user's process may not."""
    try:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=1)
    except OSError as error:
        send(ANSWER, type(error).__name__.encode())
    else:
        send(ANSWER, str(child.pid).encode())


def _write_file(send: Send) -> None:
    fd = os.memfd_create("a")
    try:
        os.write(fd, b"x")
    except OSError as error:
        send(ANSWER, (error.strerror or "").encode())


def _tell_surroundings(send: Send) -> None:
    send(ANSWER, ",".join(sorted(os.environ)).encode())
    send(ANSWER, ",".join(sorted(path.name for path in Path("/proc/self/fd").iterdir())).encode())
    send(ANSWER, str(Path.cwd()).encode())


DEEDS = {
    "loop": _loop,
    "sleep": _sleep,
    "eat memory": _eat_memory,
    "write endlessly": _write_endlessly,
    "crash": _crash,
    "be killed": _be_killed,
    "recurse": _recurse,
    "close output": _close_output,
    "write nonsense": _write_nonsense,
    "spawn": _spawn,
    "write file": _write_file,
    "tell surroundings": _tell_surroundings,
}


def _work(file: BufferedReader, send: Send, arguments: list[str]) -> None:
    if arguments[0] == "read":
        file.seek(-3, os.SEEK_END)
        send(ANSWER, file.read())
        file.seek(1)
        send(ANSWER, file.read(2))
    else:
        DEEDS[arguments[0]](send)


if __name__ == "__main__":
    confined.run(_work)
