"""The pipelining window: how many commands are sent ahead of their answers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.ports.maildrop import Listed


@dataclass(frozen=True, slots=True)
class Depth:
    """The bounds of a window.

    Attributes:
        commands: maximum outstanding. Dovecot stops reading at 4 KiB of queued output; a hundred hides any round
            trip.
        max_bytes: maximum listed size of the outstanding messages: what is wasted when the session is abandoned.
    """

    commands: int = 100
    max_bytes: int = 8 * 2**20


LOCKSTEP = Depth(commands=1)
# Two large messages are always under way, so that the next one follows without a round trip.
_AT_LEAST = 2


class Window:
    """The messages still to be requested, in order, and those requested but not yet answered.

    The window is refilled a quarter at a time: single commands, each in its own packet, cost more than they gain.
    """

    def __init__(self, wanted: Sequence[Listed], depth: Depth) -> None:
        self._waiting = deque(wanted)
        self._depth = depth
        self._sent: deque[Listed] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._sent or self._waiting)

    def refill(self) -> list[Listed]:
        """Return the messages to request now; none while more than three quarters of the window are outstanding."""
        if self._well_filled():
            return []
        batch: list[Listed] = []
        while self._waiting and self._fits(self._weight(self._waiting[0])):
            listed = self._waiting.popleft()
            self._bytes += self._weight(listed)
            self._sent.append(listed)
            batch.append(listed)
        return batch

    def head(self) -> Listed:
        """Return the message whose answer comes next."""
        return self._sent[0]

    def answered(self) -> None:
        """Remove the head: its answer is complete."""
        self._bytes -= self._weight(self._sent.popleft())

    def _well_filled(self) -> bool:
        count = len(self._sent)
        if count < min(_AT_LEAST, self._depth.commands):
            return False
        return count * 4 > self._depth.commands * 3 or self._bytes * 4 > self._depth.max_bytes * 3

    def _fits(self, size: int) -> bool:
        count = len(self._sent)
        if count >= self._depth.commands:
            return False
        return count < _AT_LEAST or self._bytes + size <= self._depth.max_bytes

    def _weight(self, listed: Listed) -> int:
        """Return the listed size; a message of unknown size fills the whole window."""
        return self._depth.max_bytes if listed.size is None else listed.size
