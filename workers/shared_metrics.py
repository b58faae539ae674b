"""The folder through which the children of a prefork pool share their metrics."""

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
    """Create the folder, or remove what an earlier run left in it.

    When it is imported, prometheus-client decides whether it shares values between processes. So if the variable is
    not set, this sets it and executes the same command again, in the same process.
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
    """Return the same folder before and after the exec, which keeps the process id."""
    return Path(tempfile.gettempdir()) / f"mailhaul-metrics-{os.getpid()}"
