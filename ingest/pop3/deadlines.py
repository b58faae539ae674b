"""When waiting ends: points on a monotonic clock, so that no trickle of octets can move them."""

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
