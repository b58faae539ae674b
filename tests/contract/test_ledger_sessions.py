"""The sessions of browsers, on the twin and on Valkey."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from tests.support.valkey import ValkeyBench

if TYPE_CHECKING:
    import pytest
    from redis import Redis

    from tests.support.valkey import LedgerBench, Valkey

LONG = 600.0


def put(bench: LedgerBench, digest: str, *names: str, seconds: float = LONG, idle: float = LONG) -> None:
    bench.ledger.put_session(digest, f"who has {digest}", seconds, idle, names)


def kept(bench: LedgerBench, digests: str) -> str:
    """Return those of some sessions that have not ended, asked in both ways."""
    found = "".join(one for one in digests if bench.ledger.session(one) == f"who has {one}")
    assert bench.ledger.ended_sessions(list(digests)) == set(digests) - set(found)
    return found


def log_out(bench: LedgerBench, *names: str, logout: str = "", seconds: float = LONG) -> int | None:
    return bench.ledger.drop_sessions(names, logout or secrets.token_hex(), seconds)


def limit(monkeypatch: pytest.MonkeyPatch, name: str, most: int) -> None:
    for module in ("ingest.adapters.ledger.sessions", "ingest.testing.sessions"):
        monkeypatch.setattr(f"{module}.{name}", most)


def test_session_is_there_until_it_ends(bench: LedgerBench) -> None:
    put(bench, "a")
    put(bench, "b", "ben", seconds=1.0)
    assert kept(bench, "abc") == "ab"
    assert bench.ledger.ended_sessions([]) == set()
    bench.pass_time(1.1)
    assert kept(bench, "abc") == "a"


def test_use_moves_the_end_of_an_idle_session_but_not_beyond_its_last(bench: LedgerBench) -> None:
    put(bench, "a", idle=1.0)
    put(bench, "b", idle=1.0)
    put(bench, "c", seconds=1.0, idle=LONG)
    assert bench.ledger.session("a", LONG)
    assert bench.ledger.session("b")
    assert bench.ledger.session("c", LONG)
    bench.pass_time(1.1)
    assert kept(bench, "abc") == "a", "looking is no use"
    assert bench.ledger.session("a", 1.0)  # as after the clock was set back, or with a shorter option
    bench.pass_time(1.1)
    assert kept(bench, "a") == ""


def test_session_that_was_dropped_has_ended(bench: LedgerBench) -> None:
    put(bench, "a", "anna")
    bench.ledger.drop_session("a")
    bench.ledger.drop_session("never there")
    assert kept(bench, "a") == ""
    assert log_out(bench, "anna") == 0


def test_sessions_end_by_each_of_their_names(bench: LedgerBench) -> None:
    for digest, names in {"a": ("aa", "1"), "b": ("aa", "2"), "c": ("cc", "3"), "d": ("aaa", "4"), "e": ()}.items():
        put(bench, digest, *names)
    assert log_out(bench, "2") == 1
    assert kept(bench, "abcde") == "acde"
    assert log_out(bench, "aa") == 1
    assert log_out(bench, "a") == 0
    assert kept(bench, "abcde") == "cde"
    assert log_out(bench, "none", "cc", "3", "4") == 2
    assert kept(bench, "abcde") == "e"


def test_logout_ends_sessions_only_once_until_it_is_forgotten(bench: LedgerBench) -> None:
    put(bench, "a", "anna")
    assert log_out(bench, "anna", logout="x", seconds=1.0) == 1
    put(bench, "b", "anna")
    assert log_out(bench, "anna", logout="x") is None
    assert kept(bench, "b") == "b"
    assert log_out(bench, "ben", logout="y") == 0
    bench.pass_time(1.1)
    assert log_out(bench, "anna", logout="y") is None
    assert log_out(bench, "anna", logout="x") == 1


def test_no_more_logouts_are_remembered_than_the_limit(bench: LedgerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, "LOGOUTS_KEPT", 2)
    assert [log_out(bench, "anna", logout=one, seconds=LONG + ord(one)) for one in "xyz"] == [0, 0, 0]
    assert [log_out(bench, "anna", logout=one, seconds=LONG) for one in "zyx"] == [None, None, 0]


def test_user_with_too_many_sessions_loses_the_one_that_was_used_longest_ago(
    bench: LedgerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, "SESSIONS_OF_ONE", 2)
    put(bench, "x", "others")
    put(bench, "a", "anna", idle=100.0)
    put(bench, "b", "anna", idle=200.0)
    assert bench.ledger.session("a", 300.0)
    put(bench, "c", "anna")
    assert kept(bench, "abcx") == "acx"
    put(bench, "d", "anna", idle=50.0)  # it would end first, as if the clock had been set back
    assert kept(bench, "acdx") == "cdx"


def test_session_that_ends_first_is_ended_for_a_new_one(bench: LedgerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, "SESSIONS_KEPT", 2)
    put(bench, "a", seconds=LONG - 10)
    put(bench, "b", seconds=LONG - 20)
    put(bench, "c", seconds=LONG - 30)
    assert kept(bench, "abc") == "ac"


def test_logins_at_once_keep_no_more_than_the_limit(bench: LedgerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, "SESSIONS_OF_ONE", 3)
    digests = [f"{number:03}" for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda digest: put(bench, digest, "anna"), digests))
    assert len(bench.ledger.ended_sessions(digests)) == 37


def test_sessions_leave_nothing_behind_and_end_with_each_of_their_keys(valkey: Valkey, client: Redis) -> None:
    bench = ValkeyBench(valkey)
    with closing(bench):
        put(bench, "a", "anna", seconds=0.2)
        bench.pass_time(0.3)
        put(bench, "b", "ben")
        bench.ledger.drop_session("b")
        log_out(bench, "ben", seconds=0.2)
        bench.pass_time(0.3)
        assert client.keys("*console*") == []
        keys: list[bytes | str] = []
        for number in range(3):
            put(bench, "a", "anna")
            keys = sorted(client.keys("*console*"), key=str)
            client.delete(keys[number])
            assert kept(bench, "a") == "", keys[number]
        assert len(keys) == 3


def test_processes_agree_on_the_key_that_was_proposed_first(bench: LedgerBench) -> None:
    assert [bench.ledger.shared_key(one) for one in ("x", "y")] == ["x", "x"]
