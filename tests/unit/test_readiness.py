"""A process is ready once all that it needs has answered, and stays ready while something is unavailable later."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import structlog

from ingest.domain.keys import Layout
from ingest.errors import LedgerError, LedgerUnavailableError, StoreError, StoreRefusedError, StoreUnavailableError
from ingest.ports.ledger import LedgerProblem, Severity
from ingest.testing.eventlog import MemoryEventLog
from ingest.testing.ledger import MemoryLedger
from ingest.testing.store import FaultyStore
from tests.support.clock import Clock
from tests.support.waiting import PATIENCE, eventually
from workers import readiness as module
from workers.readiness import Readiness, StoreTrial, try_ledger

if TYPE_CHECKING:
    from ingest.errors import MailhaulError


class Part:
    """Works unless it has an error."""

    def __init__(self, error: MailhaulError | None = None) -> None:
        self.error = error

    def __call__(self) -> None:
        if self.error is not None:
            raise self.error


def test_process_is_ready_when_each_part_has_answered_once() -> None:
    ledger, store = Part(), Part(StoreRefusedError("no bucket named private"))
    readiness = Readiness({"ledger": ledger, "store": store})
    assert not readiness.ready
    assert readiness.report().endswith("since the start: ledger (not_tried), store (not_tried)")
    readiness.look("ledger")
    readiness.look("store")
    assert (readiness.ready, readiness.report()) == (
        False,
        f"not ready, never reached since the start: store ({StoreRefusedError.code})",
    )
    # One that has answered counts, although it does not answer now.
    ledger.error, store.error = LedgerUnavailableError("nobody answers"), None
    readiness.look("ledger")
    assert "ledger" not in readiness.report()
    readiness.look("store")
    assert readiness.ready


def test_ready_process_stays_ready_and_names_what_is_unavailable() -> None:
    store = Part()
    readiness = Readiness({"store": store})
    readiness.look("store")
    assert (readiness.ready, readiness.report()) == (True, "ready")
    store.error = StoreUnavailableError("timeout at private.example.org")
    readiness.look("store")
    assert (readiness.ready, readiness.report()) == (True, "ready; now unavailable: store (store_unavailable)")
    store.error = None
    readiness.look("store")
    assert readiness.report() == "ready"


def test_changes_are_logged_once_and_without_the_text_of_the_error() -> None:
    store = Part(StoreUnavailableError("timeout at private.example.org"))
    readiness = Readiness({"store": store})
    with structlog.testing.capture_logs() as lines:
        for error in (store.error, store.error, None, None):
            store.error = error
            readiness.look("store")
    assert [(line["event"], line.get("part"), line.get("error")) for line in lines] == [
        ("part.unavailable", "store", "store_unavailable"),
        ("part.available", "store", None),
        ("process.ready", None, None),
    ]


def test_part_that_fails_unexpectedly_has_not_answered_and_is_tried_again() -> None:
    failing = [ValueError("private")]

    def part() -> None:
        if failing:
            raise failing.pop()

    readiness = Readiness({"store": part})
    with structlog.testing.capture_logs():
        readiness.look("store")
    assert "store (ValueError)" in readiness.report()
    readiness.look("store")
    assert readiness.ready


def test_part_that_hangs_does_not_delay_the_others() -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait(PATIENCE)

    readiness = Readiness({"store": hang, "ledger": Part()})
    with readiness.watching():
        eventually(lambda: "ledger" not in readiness.report(), readiness.report)
        assert not readiness.ready
        release.set()
        eventually(lambda: readiness.ready, readiness.report)


def test_parts_are_tried_until_they_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_EVERY", 0.01)
    store = Part(StoreUnavailableError())
    readiness = Readiness({"store": store})
    with readiness.watching():
        eventually(lambda: "store_unavailable" in readiness.report(), readiness.report)
        store.error = None
        eventually(lambda: readiness.ready, readiness.report)


def test_store_is_written_once_and_only_asked_afterwards() -> None:
    store, operations = FaultyStore(), list[str]()

    def note(operation: str, _key: str) -> None:
        operations.append(operation)

    store.fault = note
    trial = StoreTrial(store, Layout("mail"))
    trial()
    assert "put" in operations
    assert store.objects == {}
    operations.clear()
    trial()
    assert operations == ["stat"]


def test_store_that_allows_no_deletion_is_ready() -> None:
    store = FaultyStore()

    def refuse(operation: str, _key: str) -> None:
        if operation == "delete":
            raise StoreRefusedError("it is locked")

    store.fault = refuse
    StoreTrial(store, Layout("mail"))()
    assert len(store.objects) == 1


def test_store_that_returns_other_bytes_is_not_ready() -> None:
    store = FaultyStore()
    store.page = b"<html>maintenance</html>"
    with pytest.raises(StoreError, match="was changed"):
        StoreTrial(store, Layout("mail"))()


@pytest.mark.parametrize(
    ("severity", "code", "usable"),
    [
        (Severity.FAILURE, "replica", False),
        (Severity.FATAL, "eviction", False),
        (Severity.WARNING, "memory_only", True),
        # What makes room in a ledger that is nearly full has to start.
        (Severity.FAILURE, "memory", True),
    ],
)
def test_ledger_that_must_not_be_used_is_not_ready(severity: Severity, code: str, usable: bool) -> None:  # noqa: FBT001
    clock = Clock()
    ledger = MemoryLedger(clock, MemoryEventLog(clock))
    ledger.found_problems = [LedgerProblem(severity, code, "words")]
    if usable:
        try_ledger(ledger)
    else:
        with pytest.raises(LedgerError, match="words"):
            try_ledger(ledger)
