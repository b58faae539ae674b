"""The seam to Celery: wakeups that there is work. They carry no truth and may be lost or repeated."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from typing_extensions import override


class Queue(StrEnum):
    """The three queues; each process that works consumes one."""

    POLL = "poll"
    PROCESS = "process"
    RELAY = "relay"


class Wakeups(Protocol):
    """Sends wakeups. Never raises: a hint that cannot be sent is made good by the next tick."""

    def send(self, queue: Queue, count: int = 1) -> None:
        """Enqueue wakeups, each of which lets one worker claim until nothing is due."""
        ...

    def waiting(self, queue: Queue) -> int:
        """How many wakeups wait in a queue; 0 when the broker does not answer."""
        ...

    def oldest_age(self, queue: Queue) -> float:
        """Seconds that the oldest waiting hint has waited; 0 when there is none or the broker cannot tell."""
        ...


class NoWakeups(Wakeups):
    """For `mailhaul drain`, which runs every stage by itself."""

    @override
    def send(self, queue: Queue, count: int = 1) -> None:
        """Nobody listens."""

    @override
    def waiting(self, queue: Queue) -> int:
        """None ever do."""
        return 0

    @override
    def oldest_age(self, queue: Queue) -> float:
        """There is none."""
        return 0.0
