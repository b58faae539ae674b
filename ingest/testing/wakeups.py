"""The in-memory twin of `CeleryWakeups`: counts wake-ups and runs nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from typing_extensions import override

from ingest.ports.wakeups import Queue, Wakeups


def _none() -> dict[Queue, int]:
    return dict.fromkeys(Queue, 0)


@dataclass
class MemoryWakeups(Wakeups):
    """`Wakeups` that a test looks at.

    Attributes:
        sent: how many were sent, by queue.
        queued: how many wait, by queue; set by the test.
    """

    sent: dict[Queue, int] = field(default_factory=_none)
    queued: dict[Queue, int] = field(default_factory=_none)

    @override
    def send(self, queue: Queue, count: int = 1) -> None:
        self.sent[queue] += count

    @override
    def waiting(self, queue: Queue) -> int:
        return self.queued[queue]

    @override
    def oldest_age(self, queue: Queue) -> float:
        return 0.0
