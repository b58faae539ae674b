"""The seam to Celery: wakeups that there is work. They carry no truth and may be lost or repeated."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


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


class NoWakeups:
    """For `mailhaul drain`, which runs every stage by itself."""

    def send(self, queue: Queue, count: int = 1) -> None:
        """Nobody listens."""

    def waiting(self, queue: Queue) -> int:  # noqa: ARG002 - the port's signature
        """None ever do."""
        return 0

    def oldest_age(self, queue: Queue) -> float:  # noqa: ARG002 - the port's signature
        """There is none."""
        return 0.0
