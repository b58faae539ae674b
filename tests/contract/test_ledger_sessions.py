"""The sessions of browsers, on the twin and on Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from tests.support.valkey import LedgerBench

LONG = 600.0


def test_session_is_there_until_it_ends(bench: LedgerBench) -> None:
    bench.ledger.put_session("a", "anna", LONG)
    bench.ledger.put_session("b", "ben", 1.0)
    assert [bench.ledger.session(one) for one in ("a", "b", "c")] == ["anna", "ben", None]
    bench.pass_time(1.1)
    assert [bench.ledger.session(one) for one in ("a", "b")] == ["anna", None]


def test_session_that_was_dropped_has_ended(bench: LedgerBench) -> None:
    bench.ledger.put_session("a", "anna", LONG)
    bench.ledger.drop_session("a")
    bench.ledger.drop_session("never there")
    assert bench.ledger.session("a") is None


def test_session_that_ends_first_is_ended_for_a_new_one(bench: LedgerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ingest.adapters.ledger.sessions", "ingest.testing.sessions"):
        monkeypatch.setattr(f"{module}.SESSIONS_KEPT", 2)
    for digest, seconds in (("a", LONG + 20), ("b", LONG), ("c", LONG + 10)):
        bench.ledger.put_session(digest, digest, seconds)
    assert [bench.ledger.session(one) for one in "abc"] == ["a", None, "c"]


def test_processes_agree_on_the_key_that_was_proposed_first(bench: LedgerBench) -> None:
    assert [bench.ledger.shared_key(one) for one in ("x", "y")] == ["x", "x"]
