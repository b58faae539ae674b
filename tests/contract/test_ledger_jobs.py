"""Long work that a person started, on the twin and on Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.ports.jobs import JOBS_KEPT, JobOrder

if TYPE_CHECKING:
    from tests.support.valkey import LedgerBench

LONG = 600.0


def test_one_job_of_a_kind_is_active_at_a_time(bench: LedgerBench) -> None:
    ledger = bench.ledger
    assert ledger.begin_job("replay", "01", b"a", LONG)
    assert not ledger.begin_job("replay", "02", b"b", LONG)
    assert ledger.begin_job("reprocess", "03", b"c", LONG)
    ledger.end_job("replay", "01", b"done")
    assert ledger.begin_job("replay", "02", b"b", LONG)
    assert [(one.id, one.body, one.active) for one in ledger.jobs("replay")] == [
        ("02", b"b", True),
        ("01", b"done", False),
    ]


def test_job_that_is_not_reported_in_time_makes_room_for_another_one(bench: LedgerBench) -> None:
    ledger = bench.ledger
    ledger.begin_job("replay", "01", b"a", 1.0)
    assert ledger.report_job("replay", "01", b"b", 1.0) is JobOrder.CONTINUE
    bench.pass_time(1.1)
    assert [(one.body, one.active) for one in ledger.jobs("replay")] == [(b"b", False)]
    assert ledger.report_job("replay", "01", b"c", LONG) is JobOrder.LOST
    assert ledger.begin_job("replay", "02", b"d", LONG)
    assert ledger.report_job("replay", "01", b"c", LONG) is JobOrder.LOST
    ledger.end_job("replay", "01", b"what was done")
    assert [(one.id, one.body, one.active) for one in ledger.jobs("replay")] == [
        ("02", b"d", True),
        ("01", b"what was done", False),
    ]


def test_active_job_is_asked_to_stop(bench: LedgerBench) -> None:
    ledger = bench.ledger
    ledger.begin_job("replay", "01", b"a", LONG)
    assert not ledger.stop_job("replay", "00")
    assert ledger.stop_job("replay", "01")
    assert ledger.jobs("replay")[0].stopping
    assert ledger.report_job("replay", "01", b"b", LONG) is JobOrder.STOP
    ledger.end_job("replay", "01", b"c")
    assert not ledger.stop_job("replay", "01")
    ledger.begin_job("replay", "02", b"a", LONG)
    assert ledger.report_job("replay", "02", b"b", LONG) is JobOrder.CONTINUE


def test_only_the_last_jobs_are_kept(bench: LedgerBench) -> None:
    ledger = bench.ledger
    for number in range(JOBS_KEPT + 3):
        ledger.begin_job("replay", f"{number:02}", b"", LONG)
        ledger.end_job("replay", f"{number:02}", b"")
    kept = [one.id for one in ledger.jobs("replay")]
    assert kept == [f"{number:02}" for number in reversed(range(3, JOBS_KEPT + 3))]
    assert ledger.report_job("replay", "00", b"", LONG) is JobOrder.LOST
    assert len(ledger.jobs("replay")) == JOBS_KEPT


def test_job_of_a_console_whose_clock_is_behind_is_kept(bench: LedgerBench) -> None:
    ledger = bench.ledger
    for number in range(JOBS_KEPT):
        ledger.begin_job("replay", f"{number + 10:02}", b"", LONG)
        ledger.end_job("replay", f"{number + 10:02}", b"")
    assert ledger.begin_job("replay", "00", b"", LONG)
    assert ledger.report_job("replay", "00", b"", LONG) is JobOrder.CONTINUE
    assert len(ledger.jobs("replay")) == JOBS_KEPT
