"""The last runs of tasks, on the twin and on Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.ports.status import TaskStatus

if TYPE_CHECKING:
    from tests.support.valkey import LedgerBench


def test_no_task_is_known_before_its_first_run(bench: LedgerBench) -> None:
    assert bench.ledger.tasks() == {}


def test_run_is_unfinished_from_the_start_of_the_first_that_did_not_succeed(bench: LedgerBench) -> None:
    ledger, before = bench.ledger, bench.now()
    ledger.record_task_start("retention")
    first = ledger.tasks()["retention"]
    assert first.succeeded_at is None
    assert first.unfinished_since is not None
    assert before - 1 <= first.unfinished_since <= bench.now() + 1
    bench.pass_time(1.1)
    ledger.record_task_start("retention")
    assert ledger.tasks() == {"retention": first}


def test_success_ends_what_was_unfinished_and_is_kept_while_later_runs_fail(bench: LedgerBench) -> None:
    ledger, before = bench.ledger, bench.now()
    ledger.record_task_start("statements")
    ledger.record_task_success("statements")
    done = ledger.tasks()["statements"]
    assert done.unfinished_since is None
    assert done.succeeded_at is not None
    assert before - 1 <= done.succeeded_at <= bench.now() + 1
    ledger.record_task_start("statements")
    later = ledger.tasks()["statements"]
    assert later.succeeded_at == done.succeeded_at
    assert later.unfinished_since is not None


def test_tasks_do_not_disturb_each_other_and_are_forgotten_with_the_ledger(bench: LedgerBench) -> None:
    ledger = bench.ledger
    ledger.record_task_success("catalog")
    ledger.record_task_start("retention")
    found = ledger.tasks()
    assert found["catalog"].unfinished_since is None
    assert found["retention"] == TaskStatus(None, found["retention"].unfinished_since)
    bench.lose()
    assert ledger.tasks() == {}
