"""The console records in the ledger when its catalog has read all events, for an alert."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.catalog.feed import BATCH
from ingest.console.run import Feed
from ingest.errors import LedgerUnavailableError
from ingest.ports.status import TaskStatus

if TYPE_CHECKING:
    from tests.unit.console.conftest import Console


@pytest.fixture
def feed(console: Console, monkeypatch: pytest.MonkeyPatch) -> Feed:
    monkeypatch.setattr(console.feeder, "wait", lambda _seconds: None)
    return Feed(console.feeder, console.b.ledger, console.b.clock)


def test_catalog_is_unfinished_until_it_has_read_all_events(
    console: Console, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = console.b.clock.time
    with monkeypatch.context() as patched:
        patched.setattr(console.feeder, "step", lambda: BATCH)
        feed.step()
    console.b.clock.time += 5.0
    assert console.b.ledger.tasks() == {"catalog": TaskStatus(None, began)}
    feed.step()
    assert console.b.ledger.tasks() == {"catalog": TaskStatus(console.b.clock.time, None)}


def test_it_is_recorded_again_every_ten_seconds(console: Console, feed: Feed) -> None:
    first = console.b.clock.time
    for seconds, recorded in ((0.0, first), (9.0, first), (1.0, first + 10.0), (5.0, first + 10.0)):
        console.b.clock.time += seconds
        feed.step()
        assert console.b.ledger.tasks()["catalog"].succeeded_at == recorded


def test_catalog_is_read_though_the_ledger_takes_no_record(
    console: Console, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when its memory is full."""

    def full(_task: str) -> None:
        raise LedgerUnavailableError("out of memory")

    monkeypatch.setattr(console.b.ledger, "record_task_start", full)
    monkeypatch.setattr(console.b.ledger, "record_task_success", full)
    with monkeypatch.context() as patched:
        patched.setattr(console, "feed", lambda: None)
        console.haul("a", b"Subject: one\n\nbody")
    feed.step()
    assert feed.feeder.step() == 0
