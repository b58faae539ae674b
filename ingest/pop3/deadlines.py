"""When waiting ends: points on a monotonic clock, so that no trickle of octets can move them, and a least pace."""

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
    """Whether octets come fast enough while we wait for them.

    Only waiting counts: while we are busy, with a slow store for instance, the server may wait for us.

    Attributes:
        rate: octets a second that are the least.
        window: seconds of waiting after which they are counted.
    """

    rate: float
    window: float
    seconds: float = 0.0
    octets: int = 0

    def waited(self, seconds: float, octets: int) -> bool:
        """Note a wait and what it brought; False when too little came in the last window."""
        self.seconds += seconds
        self.octets += octets
        if self.seconds < self.window:
            return True
        enough = self.octets >= self.rate * self.seconds
        self.seconds, self.octets = 0.0, 0
        return enough
