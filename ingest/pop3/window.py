"""How many commands are sent ahead of their answers."""

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
        commands: outstanding at once. Dovecot stops reading at 4 KiB of queued output; a hundred is all that any
            round trip needs.
        bytes: of listed messages outstanding at once: what is thrown away, or read in vain, when the session is
            given up.
    """

    commands: int = 100
    max_bytes: int = 8 * 2**20


LOCKSTEP = Depth(commands=1)
# Two large messages are always under way, so that the next one follows without a round trip.
_AT_LEAST = 2


class Window:
    """The messages still to be asked for, in order, and those asked for and not answered.

    It is refilled by the quarter: single commands, each in a packet of its own, cost more than they gain.
    """

    def __init__(self, wanted: Sequence[Listed], depth: Depth) -> None:
        self._waiting = deque(wanted)
        self._depth = depth
        self._sent: deque[Listed] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._sent or self._waiting)

    def refill(self) -> list[Listed]:
        """What to ask for now; nothing while more than three quarters of the window are outstanding."""
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
        """The message whose answer comes next."""
        return self._sent[0]

    def answered(self) -> None:
        """The answer for the head is complete."""
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
        """A message of unknown size may be any: it takes up the whole window."""
        return self._depth.max_bytes if listed.size is None else listed.size
