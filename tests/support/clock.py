"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime

START = 1_764_000_000.0


class Clock:
    """Call it for the time in seconds, for whatever wants a wall clock or a monotonic one; a test sets `time`."""

    def __init__(self, time: float = START) -> None:
        self.time = time

    def __call__(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        """Move the clock on."""
        self.time += seconds

    def now(self) -> datetime:
        """The same time as a datetime, in UTC."""
        return datetime.fromtimestamp(self.time, UTC)
