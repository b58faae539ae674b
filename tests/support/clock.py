"""A clock that stands still until a test moves it, and a stop signal that does not wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

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


@dataclass
class Waits:
    """A stop signal whose `wait` takes no time: it records the seconds and calls `meanwhile`."""

    asked: bool = False
    seconds: list[float] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def wait(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.meanwhile()
