"""Reading events without a group, beside a ledger that comes and goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.admin.tail import Tail
from ingest.domain.events import Event
from ingest.errors import LedgerUnavailableError
from ingest.testing.eventlog import MemoryEventLog
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.ports.eventlog import Followed


class Stream(MemoryEventLog):
    """A stream before whose reads a plan is followed, step by step; then `ended` is true."""

    def __init__(self, *plan: Callable[[Stream], object]) -> None:
        self.clock = Clock()
        super().__init__(self.clock)
        self.plan = list(plan)

    @property
    def ended(self) -> bool:
        return not self.plan

    def follow(self, behind: str, limit: int) -> Followed:
        self.plan.pop(0)(self)
        return super().follow(behind, limit)

    def wait(self, behind: str, seconds: float) -> bool:
        return False


def unavailable(_: Stream) -> None:
    raise LedgerUnavailableError("nobody answers")


def published(*ids: str) -> Callable[[Stream], None]:
    def publish(stream: Stream) -> None:
        for id_ in ids:
            stream.append(Event(id_, "received", "a", b"{}"))

    return publish


def restored(*ids: str) -> Callable[[Stream], None]:
    """The ledger comes back as another stream, which holds these events."""

    def restore(stream: Stream) -> None:
        stream.clear()
        stream.clock.time += 1
        published(*ids)(stream)

    return restore


def followed(stream: Stream) -> tuple[list[str], list[str]]:
    """Follow a stream to the end of its plan; return the ids of the events, and what was reported."""
    seen: list[str] = []
    reports: list[str] = []
    Tail(stream, sleep=lambda _: None).run(
        lambda events: seen.extend(event.id for event in events),
        lambda: stream.ended,
        follow=True,
        lost=lambda: reports.append("lost"),
        unavailable=lambda: reports.append("unavailable"),
    )
    return seen, reports


def test_ledger_that_comes_back_is_read_on_without_loss_or_repetition() -> None:
    stream = Stream(published("1", "2"), *[unavailable] * 5, published("3"), unavailable, published("4"), published())
    assert followed(stream) == (["1", "2", "3", "4"], ["unavailable", "unavailable"]), "one report for each absence"


def test_stream_that_begins_again_repeats_no_event() -> None:
    """As that of a ledger that was restored from a file, without the last second or with all it had."""
    stream = Stream(published("1", "2"), unavailable, restored("1", "2", "3"), published("4", "1"), published())
    seen, reports = followed(stream)
    assert seen == ["1", "2", "3", "4", "1"], "what is published again later is shown again"
    assert reports == ["unavailable", "lost"]


def test_ledger_that_never_answered_is_not_waited_for() -> None:
    with pytest.raises(LedgerUnavailableError):
        followed(Stream(unavailable, published("1")))
