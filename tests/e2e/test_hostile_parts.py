"""Servers that lie, stores that cut, single lost keys, and clocks that step, against `mailhaul drain`, run by run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from time import time_ns
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.cutting_s3 import cutting_proxy
from tests.support.drains import ENV, box, crash, drain, identified, stored, subjects, wait_until_deletable
from tests.support.faketime import SteppedClock
from tests.support.faulty_pop3 import faulty_server
from tests.support.service import mailhaul, write_config
from tests.support.valkey import Valkey
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.faulty_pop3 import FaultyDrop
    from tests.support.s3 import S3Server

pytestmark = pytest.mark.e2e
DAY = 86_400


def repeats_an_id(drop: FaultyDrop) -> None:
    drop.shown = dict.fromkeys((b"1", b"2"), b"same")


def leaves_rows_out(drop: FaultyDrop) -> None:
    drop.without_id, drop.without_size = {b"1"}, {b"2"}


def leaves_other_rows_out(drop: FaultyDrop) -> None:
    drop.without_id, drop.without_size = {b"2"}, {b"1"}


def crosses_ids(drop: FaultyDrop) -> None:
    drop.shown = {b"1": b"2", b"2": b"1"}


def tells_the_truth(drop: FaultyDrop) -> None:
    drop.shown, drop.without_id, drop.without_size = {}, set(), set()


def shifts_headers(drop: FaultyDrop) -> None:
    drop.numbered = drop.shifts_tops = True


def exchanges_a_message(drop: FaultyDrop) -> None:
    """Somebody else deletes one, and another one of the same size comes, which gets the header of a known one."""
    raw = drop.messages.pop(b"1")
    drop.messages[b"4"] = raw.replace(b" 1", b" 4")


def sends_neighbours(drop: FaultyDrop) -> None:
    drop.sends_instead = {b"1": b"2", b"2": b"3"}


class Lies(NamedTuple):
    """How a server lies in the first session, and in those after it; messages of one size or of several."""

    first: Callable[[FaultyDrop], None]
    then: Callable[[FaultyDrop], None] = tells_the_truth
    one_size: bool = True


LIES = {
    "repeated": Lies(repeats_an_id),
    "unlisted": Lies(leaves_rows_out, leaves_other_rows_out),
    "crossed": Lies(crosses_ids, one_size=False),
    "shifted": Lies(shifts_headers, exchanges_a_message),
    "swapped": Lies(sends_neighbours, one_size=False),
}
LIARS = {f"{lies}-{policy}": LIES[lies] for lies in LIES for policy in ("keep", "delete")}


def test_servers_whose_answers_contradict_each_other_lose_no_mail(tmp_path: Path, ledger: Valkey) -> None:
    with faulty_server(*LIARS) as server:
        drops = server.drops
        for user, lies in LIARS.items():
            texts = ("x", "x", "x") if lies.one_size else ("x", "xx", "xxx")
            drops[user].messages = {b"%d" % n: identified(f"{user} {n}", text) for n, text in enumerate(texts, 1)}
            lies.first(drops[user])
        sent = [raw for drop in drops.values() for raw in drop.messages.values()]
        config = write_config(
            tmp_path, [box(server, user, user.partition("-")[2]) for user in LIARS], ledger=ledger.url
        )
        assert "disagree" in drain(config)
        for user, lies in LIARS.items():
            lies.then(drops[user])
        sent += [drops[user].messages[b"4"] for user in ("shifted-keep", "shifted-delete")]
        wait_until_deletable()
        drain(config)
        for user in ("unlisted-keep", "unlisted-delete"):
            assert drops[user].fetched == [b"3"], "a row that only one answer has is not fetched"
            tells_the_truth(drops[user])
        for _ in range(2):
            wait_until_deletable()
            drain(config)
        assert stored(tmp_path) == set(sent)
        assert len(subjects(tmp_path)) == len(sent), "no event is repeated"
        assert {user for user, drop in drops.items() if drop.messages} == {u for u in LIARS if u.endswith("keep")}
        for drop in drops.values():
            assert set(drop.deleted) <= set(sent)


@pytest.mark.parametrize("announced", [True, False], ids=["looks complete", "breaks off"])
def test_store_whose_answers_are_cut_loses_no_mail_and_no_event(
    tmp_path: Path, ledger: Valkey, s3_server: S3Server, *, announced: bool
) -> None:
    """First while messages are processed, then while a ledger that lost everything is rebuilt, event and all."""
    bucket = s3_server.make_bucket(f"cut-{time_ns()}")
    late = tmp_path / "late"
    sinks = [{"type": "jsonl", "name": "late", "path": str(late / "events.jsonl")}]
    sent = {b"%d" % n: identified(f"number {n}", "Hello. " * 40) for n in range(2)}
    with faulty_server("one") as server, cutting_proxy(s3_server.port) as proxy:
        drop = server.drops["one"]
        drop.messages = dict(sent)
        store = {**s3_server.store(bucket), "endpoint": proxy.endpoint}
        config = write_config(tmp_path, [box(server, "one")], ledger=ledger.url, sinks=sinks, store=store)

        def run() -> None:
            mailhaul("drain", "--config", str(config), env={**ENV, **s3_server.environment})

        proxy.announced, proxy.cuts = announced, ("/raw.eml",)
        assert crash(config, "a message was registered", s3_server.environment) == -signal.SIGKILL
        run()
        assert proxy.count > 0
        proxy.cuts = ()
        ledger.flush()
        run()
        with closing(s3_server.client()) as client:
            found = [one["Key"] for one in client.list_objects_v2(Bucket=bucket)["Contents"]]
            assert sum(key.endswith("message.json") for key in found) == len(sent)
        ledger.flush()
        proxy.count, proxy.cuts = 0, ("/message.json", "/seen", "/watermark.json")
        wait_until_deletable()
        run()
        assert proxy.count > 0
        proxy.cuts = ()
        late.mkdir()
        for _ in range(2):
            run()
            wait_until_deletable()
        run()
        assert sorted(set(subjects(late))) == ["number 0", "number 1"]
        assert drop.messages == {}
        with closing(s3_server.client()) as client:
            found = [one["Key"] for one in client.list_objects_v2(Bucket=bucket)["Contents"]]
            raws = [key for key in found if key.endswith("raw.eml")]
            assert {client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in raws} == set(sent.values())


def test_clocks_that_step_by_a_day_lose_no_mail_and_no_event(tmp_path: Path) -> None:
    """Those of the ledger and of `drain`; the store's is right. At each step the ledger loses everything once."""
    clock, late = SteppedClock(tmp_path / "clock"), tmp_path / "late"
    sinks = [{"type": "jsonl", "path": str(tmp_path / "events.jsonl")}]
    sinks += [{"type": "jsonl", "name": "late", "path": str(late / "events.jsonl")}]
    sent: list[bytes] = []
    with faulty_server("one") as server, Valkey(tmp_path, environment=clock.environment) as ledger:
        drop = server.drops["one"]
        config = write_config(tmp_path, [box(server, "one")], ledger=ledger.url, sinks=sinks)

        def run() -> None:
            """In a process that was not forked: the library is loaded when a program starts."""
            command = [sys.executable, "-m", "ingest.cli", "drain", "--config", str(config)]
            environment = {**os.environ, **ENV, **clock.environment}
            subprocess.run(command, env=environment, check=False, timeout=PATIENCE, capture_output=True)

        for seconds in (DAY, 0, -DAY):
            clock.step(seconds)
            sent.append(identified(f"number {len(sent)}"))
            drop.messages[b"%d" % len(sent)] = sent[-1]
            run()
            assert stored(tmp_path) == set(sent)
            ledger.flush()
            late.mkdir()
            run()
            assert f"number {len(sent) - 1}" in subjects(late)
            late.rename(tmp_path / f"late {len(sent)}")
        clock.step(2 * DAY)  # what was registered a day ahead is old enough only now
        run()
        assert drop.messages == {}
    assert set(subjects(tmp_path)) == {f"number {n}" for n in range(len(sent))}


def test_loss_of_each_single_key_between_two_runs_loses_no_mail_and_no_event(tmp_path: Path, ledger: Valkey) -> None:
    """One key after the other, while one of two sinks has had nothing yet."""
    late = tmp_path / "late"
    sinks = [{"type": "jsonl", "path": str(tmp_path / "events.jsonl")}]
    sinks += [{"type": "jsonl", "name": "late", "path": str(late / "events.jsonl")}]
    lost: set[str] = set()
    sent: list[bytes] = []
    with faulty_server("one") as server, closing(ledger.client()) as client:
        drop = server.drops["one"]
        config = write_config(tmp_path, [box(server, "one")], ledger=ledger.url, sinks=sinks)
        while True:
            sent.append(identified(f"number {len(sent)}"))
            drop.messages[b"%d" % len(sent)] = sent[-1]
            mailhaul("drain", "--config", str(config), env=ENV)
            keys = {key.decode() for key in client.scan_iter("*", count=1000) if isinstance(key, bytes)}
            left = sorted(key for key in keys - lost if ":slots:" not in key)
            if not left:
                break
            lost.add(left[0])
            assert client.delete(left[0])
        late.mkdir()
        for _ in range(3):
            wait_until_deletable()
            drain(config)
        assert drop.messages == {}
    assert len(lost) > 20
    assert stored(tmp_path) == set(sent)
    expected = {f"number {n}" for n in range(len(sent))}
    assert set(subjects(tmp_path)) == expected
    assert set(subjects(late)) == expected
