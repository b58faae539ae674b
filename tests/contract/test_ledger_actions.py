"""The list of what people did, on the twin and on Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.ports.actions import Action

if TYPE_CHECKING:
    import pytest

    from tests.support.valkey import LedgerBench

POLL = Action("poll", "anna@example.org", mailbox="a")
REPLAY = Action("replay", "erp", "ledger_unavailable", message="0" * 32, sink="main", event_id="1" * 32, count=3)


def test_actions_are_returned_as_they_were_recorded_the_latest_first(bench: LedgerBench) -> None:
    before = bench.now()
    for action in (POLL, REPLAY):
        bench.ledger.record_action(action)
    found = bench.ledger.actions("", 10)
    assert [one.action for one in found] == [REPLAY, POLL]
    assert all(before - 1 <= one.at <= bench.now() + 1 for one in found)


def test_page_of_actions_follows_the_position_of_the_page_before(bench: LedgerBench) -> None:
    for count in range(3):
        bench.ledger.record_action(Action("replay", "erp", count=count))
    latest, second = bench.ledger.actions("", 2)
    assert [latest.action.count, second.action.count] == [2, 1]
    assert [one.action.count for one in bench.ledger.actions(second.position, 2)] == [0]


def test_oldest_actions_are_dropped(bench: LedgerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ingest.adapters.ledger.actions", "ingest.testing.actions"):
        monkeypatch.setattr(f"{module}.ACTIONS_KEPT", 200)
    for count in range(500):
        bench.ledger.record_action(Action("replay", "erp", count=count))
    kept = [one.action.count for one in bench.ledger.actions("", 1000)]
    assert kept == list(range(499, 499 - len(kept), -1))
    assert 200 <= len(kept) < 400
