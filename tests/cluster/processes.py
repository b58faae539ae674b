"""Programs of the node, run until the block ends."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_STOP_SECONDS = 20


def run(*command: str, stdin: str | None = None) -> str:
    """Run a command to its end; return its standard output.

    Raises:
        RuntimeError: it failed; the message holds what it printed.
    """
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


@contextmanager
def running(command: Sequence[str], logs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in the background, with its output in `logs`; end it with SIGTERM, or with SIGKILL if need be."""
    name = command[0].rpartition("/")[2]
    with (logs / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
