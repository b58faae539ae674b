"""How far a long command is, for the person who waits for it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.metrics import Metrics


class DrainStage(StrEnum):
    """What a drain is doing."""

    FETCH = "fetching"
    PROCESS = "processing"
    DELIVER = "delivering"


# Results of `mailhaul_messages_total` that end a message's time in a stage.
_RESULTS = {
    DrainStage.FETCH: ("stored", "duplicate", "oversize"),
    DrainStage.PROCESS: ("processed", "failed"),
    DrainStage.DELIVER: ("published",),
}


@dataclass(frozen=True, slots=True)
class DrainState:
    """How far a drain is.

    Attributes:
        stage: what it is doing.
        done: messages, or events, that are through this stage.
        total: how many there are to do, as far as is known.
        mailboxes: how many there are to poll.
        polled: how many of them are empty, or have failed.
        fetched_bytes: of raw mail.
    """

    stage: DrainStage
    done: int
    total: int
    mailboxes: int
    polled: int
    fetched_bytes: int


class DrainProgress:
    """Collects how far a drain is; any thread may ask."""

    def __init__(self, metrics: Metrics) -> None:
        """Begin with nothing.

        Args:
            metrics: of this process, which count what is done.
        """
        self._metrics = metrics
        self._lock = threading.Lock()
        self._stage = DrainStage.FETCH
        self._before = self._total = self._mailboxes = 0
        self._registered: dict[str, int] = {}
        self._found: dict[str, int] = {}
        self._polled = 0

    def begin(self, stage: DrainStage, total: int = 0) -> None:
        """Begin a stage.

        Args:
            stage: which one.
            total: mailboxes to poll, messages to process, or events to deliver.
        """
        with self._lock:
            self._stage, self._before = stage, self._count(stage)
            if stage is DrainStage.FETCH:
                self._mailboxes = total
            else:
                self._total = total

    def listed(self, mailbox: str, new: int) -> None:
        """Note that a session has found so many messages that are to be fetched."""
        with self._lock:
            self._found[mailbox] = self._registered.get(mailbox, 0) + new

    def polled(self, mailbox: str, registered: int, *, is_last: bool) -> None:
        """Note that a poll has ended.

        Args:
            mailbox: its id.
            registered: messages that all polls of this drain have registered in it.
            is_last: whether no other poll of it follows.
        """
        with self._lock:
            self._registered[mailbox] = registered
            self._polled += is_last

    def state(self) -> DrainState:
        """Return how far the drain is now."""
        with self._lock:
            stage = self._stage
            total = sum(self._found.values()) if stage is DrainStage.FETCH else self._total
            done = self._count(stage) - self._before
            size = self._metrics.registry.get_sample_value("mailhaul_message_size_bytes_sum") or 0.0
            return DrainState(stage, done, max(done, total), self._mailboxes, self._polled, int(size))

    def _count(self, stage: DrainStage) -> int:
        value = self._metrics.registry.get_sample_value
        return int(sum(value("mailhaul_messages_total", {"result": name}) or 0.0 for name in _RESULTS[stage]))
