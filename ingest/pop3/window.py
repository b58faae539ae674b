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
        commands: maximum outstanding at the start. Dovecot stops reading at 4 KiB of queued output.
        most: what that may grow to: enough for small messages at any round trip, and 20 KiB of commands, which fit
            into the buffers of any connection.
        max_bytes: maximum listed size of the outstanding messages: what is wasted when the session is abandoned.
    """

    commands: int = 100
    most: int = 1600
    max_bytes: int = 8 * 2**20


LOCKSTEP = Depth(commands=1, most=1)
# Two large messages are always under way, so that the next one follows without a round trip.
_AT_LEAST = 2
# A window that is answered within so many seconds grows by this factor. Where it takes longer, the server or the
# line is the limit, not the round trip, and a larger window would only waste more.
_GROWS_WITHIN = 0.5
_GROWTH = 4


class Window:
    """The messages still to be requested, in order, and those requested but not yet answered.

    The window is refilled a quarter at a time: single commands, each in its own packet, cost more than they gain. It
    grows while the server keeps up, and returns to its first size once the server is slow or refuses a command.

    Args:
        wanted: the messages.
        depth: the bounds.
        now: monotonic, in seconds.
    """

    def __init__(self, wanted: Sequence[Listed], depth: Depth, now: float) -> None:
        self._waiting = deque(wanted)
        self._depth = depth
        self._sent: deque[Listed] = deque()
        self._bytes = 0
        self._commands = depth.commands
        self._since = now
        self._left = depth.commands  # answers until the window was answered once

    def __bool__(self) -> bool:
        return bool(self._sent or self._waiting)

    def refill(self) -> list[Listed]:
        """Return the messages to request now; none while more than three quarters of the window are outstanding."""
        if self._well_filled():
            return []
        batch: list[Listed] = []
        while self._waiting and self._fits(weight := self._weight(self._waiting[0])):
            listed = self._waiting.popleft()
            self._bytes += weight
            self._sent.append(listed)
            batch.append(listed)
        return batch

    def head(self) -> Listed:
        """Return the message whose answer comes next."""
        return self._sent[0]

    def answered(self, now: float, *, ok: bool = True) -> None:
        """Remove the head: its answer is complete. `ok` is false if the server refused the command."""
        self._bytes -= self._weight(self._sent.popleft())
        self._left -= 1
        if self._left and ok:
            return
        grows = ok and now - self._since <= _GROWS_WITHIN
        self._commands = min(self._commands * _GROWTH, self._depth.most) if grows else self._depth.commands
        self._left, self._since = self._commands, now

    def _well_filled(self) -> bool:
        count = len(self._sent)
        if count < min(_AT_LEAST, self._commands):
            return False
        return count * 4 > self._commands * 3 or self._bytes * 4 > self._depth.max_bytes * 3

    def _fits(self, size: int) -> bool:
        count = len(self._sent)
        if count >= self._commands:
            return False
        return count < _AT_LEAST or self._bytes + size <= self._depth.max_bytes

    def _weight(self, listed: Listed) -> int:
        """Return the listed size; a message of unknown size fills the whole window."""
        return self._depth.max_bytes if listed.size is None else listed.size
