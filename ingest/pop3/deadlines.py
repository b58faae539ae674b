"""Limits of waiting: deadlines on a monotonic clock, which a trickle of bytes cannot extend, and a minimum rate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time and the error message for when it has passed.

    Attributes:
        at: seconds on the connection's clock.
        words: the error message, a whole sentence.
    """

    at: float
    words: str

    def or_sooner(self, other: Deadline) -> Deadline:
        """Return the earlier of the two."""
        return other if other.at < self.at else self


@dataclass(slots=True)
class Pace:
    """Checks that bytes arrive fast enough while we wait for them.

    Only waiting counts: time that we spend elsewhere, for instance on a slow store, is not the server's fault.

    Attributes:
        rate: minimum bytes per second.
        window: seconds of waiting after which the rate is checked.
    """

    rate: float
    window: float
    seconds: float = 0.0
    received: int = 0

    def waited(self, seconds: float, size: int) -> bool:
        """Record a wait and the bytes it yielded; return False if too few arrived in the last window."""
        self.seconds += seconds
        self.received += size
        if self.seconds < self.window:
            return True
        enough = self.received >= self.rate * self.seconds
        self.seconds, self.received = 0.0, 0
        return enough
