"""When waiting ends: points on a monotonic clock, so that no trickle of bytes can move them, and a least pace."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time and what is to be said when it has passed.

    Attributes:
        at: seconds of the connection's clock.
        words: a sentence for the person at the terminal.
    """

    at: float
    words: str

    def or_sooner(self, other: Deadline) -> Deadline:
        """The earlier of the two."""
        return other if other.at < self.at else self


@dataclass(slots=True)
class Pace:
    """Whether bytes come fast enough while we wait for them.

    Only waiting counts: while we are busy, with a slow store for instance, the server may wait for us.

    Attributes:
        rate: bytes a second that are the least.
        window: seconds of waiting after which they are counted.
    """

    rate: float
    window: float
    seconds: float = 0.0
    received: int = 0

    def waited(self, seconds: float, size: int) -> bool:
        """Note a wait and what it brought; False when too little came in the last window."""
        self.seconds += seconds
        self.received += size
        if self.seconds < self.window:
            return True
        enough = self.received >= self.rate * self.seconds
        self.seconds, self.received = 0.0, 0
        return enough
