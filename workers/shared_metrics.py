"""The folder in which the children of a prefork pool share their metrics."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Make sure the folder exists, wiped of what an earlier run left.

    prometheus-client decides at its import whether it shares values between processes. So where the variable is not
    set, this sets it and starts the same command over, in the same process.
    """
    if VARIABLE not in os.environ:
        environment = {**os.environ, VARIABLE: str(_own_folder())}
        os.execve(sys.executable, [sys.executable, "-m", "ingest.cli", *sys.argv[1:]], environment)  # noqa: S606
    folder = Path(os.environ[VARIABLE])
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in folder.glob("*.db"):
        old.unlink()
    try:
        yield
    finally:
        if folder == _own_folder():
            shutil.rmtree(folder, ignore_errors=True)


def _own_folder() -> Path:
    """The same before and after the start over, which keeps the process id."""
    return Path(tempfile.gettempdir()) / f"mailhaul-metrics-{os.getpid()}"
