"""Processes whose wall clock a test steps, by libfaketime. Monotonic clocks and the times of files stay real."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.servers import missing

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib")


def find_library() -> Path:
    """Where libfaketime is, for programs with threads."""
    for folder in _FOLDERS:
        for found in Path(folder).glob("**/faketime/libfaketimeMT.so.1"):
            return found
    return missing("faketime", "libfaketime")


@dataclass
class SteppedClock:
    """A clock of processes that get `environment`.

    Args:
        file: tells the processes how far it is ahead; they read it again at each call.
    """

    file: Path

    def __post_init__(self) -> None:
        self._library = find_library()
        self.step(0)

    def step(self, seconds: int) -> None:
        """Set it so many seconds ahead of the real one; negative: behind."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self.file)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process needs in its environment."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
