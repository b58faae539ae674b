"""The threads of a poller: each server gets a share of them, so that a slow one leaves room for the others."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ingest.domain.mailbox import Mailbox

# A server is slow if its polls take this many seconds on average, or if a tenth of the threads has been busy with it
# for that long.
SLOW_SECONDS = 10.0
# What one poll adds to that average at most, so that a server that has recovered does not stay slow.
LONGEST_COUNTED = 60.0
# The weight of the last poll in that average.
WEIGHT = 0.2
# One thread in this many is reserved for servers that have none.
RESERVED_OF = 10
# The bounds of the pause until a deferred mailbox is tried again, in seconds.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


@dataclass(slots=True)
class _Server:
    """How one server uses threads. Times are seconds of the monotonic clock.

    Attributes:
        started: when each running poll started, by the fencing token of its claim.
        average: duration of recent polls; None until one has ended.
        next_turn: when the mailbox that was deferred last is expected to get a thread.
    """

    started: dict[int, float] = field(default_factory=dict)
    average: float | None = None
    next_turn: float = 0.0

    def duration(self, now: float) -> float:
        """Return how long a poll takes: the recent average, or the mean age of the running ones if that is more."""
        running = sum(now - started for started in self.started.values()) / max(1, len(self.started))
        return max(running, self.average or 0.0)

    def is_slow(self, reserved: int, now: float) -> bool:
        """Return whether the recent polls were slow, or as many running ones as there are reserved threads."""
        long = sum(now - started >= SLOW_SECONDS for started in self.started.values())
        return long >= reserved or (self.average or 0.0) >= SLOW_SECONDS

    def ended(self, seconds: float) -> None:
        """Move the average."""
        counted = min(seconds, LONGEST_COUNTED)
        self.average = counted if self.average is None else self.average + WEIGHT * (counted - self.average)


class PollThreads:
    """Limits how many threads of this process the polls of one server may use at once.

    A tenth of the threads is reserved for servers that use none.

    - A server whose polls are quick may use every thread that is not reserved.
    - A server of which no poll has ended yet may use half of the threads that other servers leave, and always one.
    - A slow server may use half of the threads that other servers leave, and no reserved one.

    So of several slow servers the first may use half of the threads, the second a quarter, and so on. Nothing is
    limited where all mailboxes are on one server. Each process keeps to this, so the fleet does.
    """

    def __init__(self, threads: int | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin with all threads free.

        Args:
            threads: how many there are; None to limit nothing.
            monotonic: seconds that only grow.
        """
        self._threads = threads
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._servers: defaultdict[str, _Server] = defaultdict(_Server)
        self._mailboxes: Mapping[str, Mailbox] = {}
        self._shared = False

    def enter(self, mailbox: Mailbox, token: int, mailboxes: Mapping[str, Mailbox]) -> float:
        """Begin a poll; return 0, or in how many seconds to try again if the mailbox's server has used its share.

        Args:
            mailbox: to be polled.
            token: identifies the poll.
            mailboxes: all that are configured, the same object until the configuration changes.
        """
        with self._lock:
            server, now = self._servers[mailbox.server.label], self._monotonic()
            if self._threads is not None and self._is_shared(mailboxes):
                share = self._share(server, self._threads, now)
                if len(server.started) >= share:
                    return _pause(server, share, now)
            server.started[token] = now
            return 0.0

    def leave(self, mailbox: Mailbox, token: int, *, polled: bool) -> None:
        """End a poll. Its duration counts unless it was deferred before it connected."""
        with self._lock:
            server = self._servers[mailbox.server.label]
            seconds = self._monotonic() - server.started.pop(token)
            if polled:
                server.ended(seconds)

    def _share(self, server: _Server, threads: int, now: float) -> int:
        """Return how many threads a server may use at once, at least 1 if no other server uses any."""
        others = sum(len(one.started) for one in self._servers.values()) - len(server.started)
        left, reserved = threads - others, -(-threads // RESERVED_OF)
        if server.is_slow(reserved, now):
            return max(min(left // 2, left - reserved), 0 if others else 1)
        return max(1, left // 2 if server.average is None else left - reserved)

    def _is_shared(self, mailboxes: Mapping[str, Mailbox]) -> bool:
        """Return whether there is more than one server. Looking through all mailboxes at each poll would be slow."""
        if mailboxes is not self._mailboxes:
            self._mailboxes = mailboxes
            self._shared = len({box.server.label for box in mailboxes.values() if box.enabled}) > 1
        return self._shared


def _pause(server: _Server, share: int, now: float) -> float:
    """Return seconds until a thread is expected to be free. Each deferred mailbox gets a later turn than the last.

    Without that, thousands of mailboxes of one server would all be claimed and deferred again every moment.
    """
    apart = max(server.duration(now), 1.0) / max(1, share)
    server.next_turn = min(max(server.next_turn, now) + apart, now + LONGEST_PAUSE)
    return max(SHORTEST_PAUSE, server.next_turn - now)
