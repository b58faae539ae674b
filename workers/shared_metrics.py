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


def choose_folder() -> None:
    """Set the variable, if it is not set, to a folder of this process.

    When it is imported, prometheus-client decides by the variable whether it shares values between processes, so this
    must be called before.
    """
    assert "prometheus_client" not in sys.modules
    os.environ.setdefault(VARIABLE, str(_own_folder()))


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Create the chosen folder, or remove what an earlier run left in it; delete it at the end if it is our own."""
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
    return Path(tempfile.gettempdir()) / f"mailhaul-metrics-{os.getpid()}"
