"""The port to Celery: wake-ups, which say only that there is work. They may be lost or repeated."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from typing_extensions import override


class Queue(StrEnum):
    """The three queues, one for each kind of worker."""

    POLL = "poll"
    PROCESS = "process"
    RELAY = "relay"


class Wakeups(Protocol):
    """Sends wake-ups. Never raises: the next tick replaces a wake-up that could not be sent."""

    def send(self, queue: Queue, count: int = 1) -> None:
        """Send wake-ups, each of which makes one worker claim until nothing is due."""
        ...

    def waiting(self, queue: Queue) -> int:
        """How many wake-ups are queued; 0 if the broker does not answer."""
        ...

    def oldest_age(self, queue: Queue) -> float:
        """The age of the oldest queued wake-up in seconds; 0 if there is none, or the broker does not know it."""
        ...


class NoWakeups(Wakeups):
    """For `mailhaul drain`, which runs every stage itself."""

    @override
    def send(self, queue: Queue, count: int = 1) -> None:
        pass

    @override
    def waiting(self, queue: Queue) -> int:
        return 0

    @override
    def oldest_age(self, queue: Queue) -> float:
        return 0.0
