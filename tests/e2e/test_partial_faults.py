"""Servers, stores and ledgers that misbehave in part, against the program itself: `mailhaul drain`, run after run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.ledger.address import broker
from ingest.ports.wakeups import Queue
from tests.support.bench import mail
from tests.support.drains import ENV, box, crash, drain, identified, stored, subjects, wait_until_deletable
from tests.support.faulty_pop3 import FaultyServer, faulty_server
from tests.support.odd_s3 import OddServer, running_odd_server
from tests.support.service import mailhaul, write_config
from tests.support.valkey import PERSISTENT, Valkey
from tests.support.waiting import PATIENCE, eventually
from workers.app import make_app
from workers.wakeups import CeleryWakeups

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.s3 import S3Server

pytestmark = pytest.mark.e2e


def test_servers_that_misbehave_lose_no_mail(tmp_path: Path, ledger: Valkey) -> None:
    """Ids that are reused, renumbered or always new; a maildrop that is moved; a missing dot; deletions not made."""
    users = ("reused", "numbered", "changing", "cut", "kept", "before", "moved")
    with faulty_server(*users) as server:
        drops = server.drops
        drops["reused"].messages[b"1"] = first = mail("reused first")
        drops["numbered"].numbered = drops["changing"].changing = drops["kept"].keeps_deleted = True
        drops["numbered"].messages = {b"a": mail("numbered a"), b"b": mail("numbered b")}
        drops["changing"].messages = {b"%d" % n: mail(f"changing {n}") for n in range(3)}
        drops["cut"].dots = False
        drops["cut"].messages[b"1"] = cut = mail("cut", "Before.\r\n.\r\n" + "After.\r\n" * 500)
        drops["kept"].messages[b"1"] = identified("kept")
        drops["before"].messages = {b"%d" % n: mail(f"before {n}") for n in range(3)}
        drops["moved"].messages = {b"%d" % n: mail(f"moved_ {n}") for n in range(3)}
        policies = {"numbered": "keep", "changing": "keep"}
        boxes = [box(server, user, policies.get(user, "delete")) for user in users[:-1]]
        config = write_config(tmp_path, boxes, ledger=ledger.url)
        mailhaul("drain", "--config", str(config), env=ENV)  # the session of `cut` may end with an error
        wait_until_deletable()
        boxes[-1]["auth"]["username"] = "moved"
        write_config(tmp_path, boxes, ledger=ledger.url)
        mailhaul("drain", "--config", str(config), env=ENV)
        assert drops["moved"].deleted == [], "not deleted before it was fetched"
        assert drops["reused"].deleted == [first]

        drops["reused"].messages[b"1"] = second = mail("reused other")
        assert len(second) == len(first)
        del drops["numbered"].messages[b"a"]
        drops["numbered"].messages[b"c"] = mail("numbered c")
        for _ in range(3):
            mailhaul("drain", "--config", str(config), env=ENV)
        assert drops["reused"].fetched == [b"1"] * 2, "another message under the same id is fetched, too"
        assert drops["cut"].messages == {b"1": cut}, "what may be cut is never deleted"
        assert drops["kept"].fetched == [b"1"]
        assert drops["kept"].deleted == [identified("kept")] * 2, "confirmed, and once more when it was listed again"
    published = subjects(tmp_path)
    whole = {raw for drop in drops.values() for raw in (*drop.messages.values(), *drop.deleted)} - {cut}
    assert stored(tmp_path) >= whole
    assert {"numbered a", "numbered b", "numbered c", "reused first", "reused other"} <= set(published)
    assert len([subject for subject in published if subject != "cut"]) == len(set(published)) - 1


@pytest.mark.parametrize("how", ["answer lost", "process died"])
def test_unique_id_that_is_reused_after_a_deletion_that_nobody_confirmed_is_another_message(
    tmp_path: Path, ledger: Valkey, how: str
) -> None:
    with faulty_server("one") as server:
        drop = server.drops["one"]
        drop.messages[b"1"] = first = identified("first")
        config = write_config(tmp_path, [box(server, "one")], ledger=ledger.url)
        drain(config)
        wait_until_deletable()
        if how == "answer lost":
            drop.loses_quit = True
            drain(config)
            drop.loses_quit = False
        else:
            assert crash(config, "the session was ended with QUIT") == -signal.SIGKILL
        assert drop.deleted == [first]
        drop.messages[b"1"] = other = identified("other")
        assert len(other) == len(first)
        drain(config)
        assert drop.messages == {b"1": other}, "deleted before it was fetched"
        assert stored(tmp_path) == {first, other}
        wait_until_deletable()
        drain(config)
        assert drop.deleted == [first, other]
    assert subjects(tmp_path) == ["first", "other"]


@pytest.mark.parametrize("lost", ["haul/", "haul/one/2"], ids=["everything", "messages"])
def test_mail_is_not_deleted_but_stored_again_after_its_bucket_lost(
    tmp_path: Path, ledger: Valkey, s3_server: S3Server, lost: str
) -> None:
    """Everything, the id of the store too, as when a bucket is emptied; or old objects, as by a lifecycle rule."""
    bucket = s3_server.make_bucket(f"emptied-{time.time_ns()}")
    with faulty_server("one") as server, closing(s3_server.client()) as client:
        drop = server.drops["one"]
        drop.messages = {b"%d" % n: mail(f"number {n}") for n in range(3)}
        config = write_config(tmp_path, [box(server, "one")], ledger=ledger.url, store=s3_server.store(bucket))

        def keys() -> list[str]:
            return [found["Key"] for found in client.list_objects_v2(Bucket=bucket).get("Contents", [])]

        drain(config, s3_server.environment)
        for key in filter(lambda key: key.startswith(lost), keys()):
            client.delete_object(Bucket=bucket, Key=key)
        assert not any(key.endswith("raw.eml") for key in keys())
        wait_until_deletable()
        drain(config, s3_server.environment)
        drain(config, s3_server.environment)
        assert drop.deleted == []
        assert sum(key.endswith("raw.eml") for key in keys()) == 3


def test_store_that_answers_everything_with_a_page_holds_nothing(tmp_path: Path, ledger: Valkey) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    with faulty_server("one") as server, running_odd_server(OddServer()) as s3:
        drop = server.drops["one"]
        drop.messages[b"1"] = mail("first")
        store = {"endpoint": f"http://127.0.0.1:{s3.server_port}", "region": "us-east-1", "path_style": True}
        config = write_config(
            tmp_path, [box(server, "one")], ledger=ledger.url, store={"url": "s3://bucket/haul", **store}
        )
        s3.quirks |= {"page with an ETag", "page"}
        drain(config, keys, 1)
        assert subjects(tmp_path) == []
        assert drop.messages == {b"1": mail("first")}


def test_empty_object_under_the_key_is_not_taken_for_the_message(tmp_path: Path, ledger: Valkey) -> None:
    with faulty_server("one") as server:
        server.drops["one"].messages[b"1"] = mail("first")
        config = write_config(tmp_path, [box(server, "one")], ledger=ledger.url)
        drain(config)
        (raw,) = (tmp_path / "store").rglob("raw.eml")
        raw.write_bytes(b"")
        (raw.parent / "message.json").unlink()
        (tmp_path / "events.jsonl").unlink()
        ledger.flush()
        for _ in range(2):
            drain(config, code=1)
        assert subjects(tmp_path) == []
        assert server.drops["one"].deleted == []


@pytest.mark.parametrize("altered", [lambda raw: raw.replace(b"first", b"other"), lambda _: b""])
def test_mail_that_was_altered_in_the_store_is_not_processed_but_fetched_again(
    tmp_path: Path, ledger: Valkey, altered: Callable[[bytes], bytes]
) -> None:
    """It is altered between its storing and its processing, and moved away when the alert was seen."""
    with faulty_server("one") as server:
        drop = server.drops["one"]
        drop.messages[b"1"] = first = identified("first")
        config = write_config(tmp_path, [box(server, "one")], ledger=ledger.url)
        assert crash(config, "a message was registered") == -signal.SIGKILL
        (raw,) = (tmp_path / "store").rglob("raw.eml")
        raw.write_bytes(altered(first))
        wait_until_deletable()
        for _ in range(2):
            drain(config, code=1)
        assert not list((tmp_path / "store").rglob("message.json"))
        assert subjects(tmp_path) == []
        assert drop.messages == {b"1": first}
        raw.unlink()
        eventually(lambda: mailhaul("drain", "--config", str(config), env=ENV).returncode == 0)
        assert subjects(tmp_path) == ["first"]
        assert stored(tmp_path) == {first}
        wait_until_deletable()
        drain(config)
        assert drop.deleted == [first]


def with_sink_that_is_late(tmp_path: Path, server: FaultyServer, url: str, late: str = "late") -> Path:
    """A configuration whose sink cannot write until its folder is there."""
    sinks = [{"type": "jsonl", "name": "late", "path": str(tmp_path / late / "events.jsonl")}]
    return write_config(tmp_path, [box(server, "one", "keep")], ledger=url, sinks=sinks)


def test_evicted_keys_lose_no_event(tmp_path: Path, ledger: Valkey) -> None:
    with faulty_server("one") as server, closing(ledger.client()) as client:
        server.drops["one"].messages = {b"%d" % n: mail(f"number {n}") for n in range(20)}
        config = with_sink_that_is_late(tmp_path, server, ledger.url)
        mailhaul("drain", "--config", str(config), env=ENV)
        before = client.dbsize()
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 200_000)
        for number in range(400):
            client.set(f"other:{number}", b"x" * 10_000)
        others = sum(1 for _ in client.scan_iter("other:*", count=1000))
        assert client.dbsize() - others < before, "some of our keys are gone"
        assert "noeviction" in drain(config, code=2)
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")
        (tmp_path / "late").mkdir()
        drain(config)
    assert sorted(set(subjects(tmp_path / "late"))) == sorted(f"number {n}" for n in range(20))


@pytest.mark.parametrize("key", ["events", "sinks:due"])
def test_single_lost_keys_lose_no_event(tmp_path: Path, ledger: Valkey, key: str) -> None:
    with faulty_server("one") as server, closing(ledger.client()) as client:
        server.drops["one"].messages = {b"%d" % n: mail(f"number {n}") for n in range(3)}
        config = with_sink_that_is_late(tmp_path, server, ledger.url)
        mailhaul("drain", "--config", str(config), env=ENV)
        assert client.delete(f"{{mailhaul}}:{key}")
        (tmp_path / "late").mkdir()
        drain(config)
    assert sorted(subjects(tmp_path / "late")) == [f"number {n}" for n in range(3)]


def test_event_of_the_lost_last_second_is_published_although_the_next_poll_is_seven_minutes_later(
    tmp_path: Path,
) -> None:
    """Meanwhile relays write the delivery watermark. The store is made older, in place of the minutes."""
    with faulty_server("one") as server, Valkey(tmp_path, PERSISTENT) as ledger:
        drop = server.drops["one"]
        drop.messages[b"1"] = mail("number 0")
        config = write_config(tmp_path, [box(server, "one", "keep")], ledger=ledger.url, workers={"processes": 1})
        drain(config)
        (log,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
        kept = log.stat().st_size
        drop.messages[b"2"] = mail("number 1")
        late = with_sink_that_is_late(tmp_path, server, ledger.url)
        mailhaul("drain", "--config", str(late), env=ENV)
        ledger.kill()
        os.truncate(log, kept)
        ledger.start()
        make_older(tmp_path / "store", 420.0)
        write_watermark(late, ledger)
        (tmp_path / "late").mkdir()
        drain(late)
    assert "number 1" in subjects(tmp_path / "late")


def make_older(store: Path, seconds: float) -> None:
    """Shift all times that a folder store holds."""
    for path in store.rglob("*"):
        if path.is_file():
            modified = path.stat().st_mtime - seconds
            if path.name == "watermark.json":
                until = json.loads(path.read_bytes())["published_until"]
                path.write_text(json.dumps({"published_until": until - seconds}))
            os.utime(path, (modified, modified))


def write_watermark(config: Path, ledger: Valkey) -> None:
    """Let a relay do what it does each minute, while nothing polls."""
    with closing(ledger.client()) as client:
        client.delete("{mailhaul}:throttle:published")
        worker = subprocess.Popen(
            [sys.executable, "-m", "ingest.cli", "worker", "relay", "--config", str(config)],
            env={**os.environ, **ENV},
        )
        try:
            CeleryWakeups(make_app(broker(ledger.url))).send(Queue.RELAY)
            eventually(lambda: client.exists("{mailhaul}:throttle:published"))
        finally:
            worker.terminate()
            assert worker.wait(PATIENCE) == 0


def test_replica_that_takes_over_without_the_last_writes_loses_no_event(tmp_path: Path, ledger: Valkey) -> None:
    (folder := tmp_path / "replica").mkdir()
    with faulty_server("one") as server, Valkey(folder) as replica, closing(replica.client()) as client:
        drop = server.drops["one"]
        drop.messages[b"1"] = mail("number 0")
        drain(write_config(tmp_path, [box(server, "one", "keep")], ledger=ledger.url))
        client.replicaof("127.0.0.1", str(ledger.port))
        eventually(lambda: client.info("replication")["master_link_status"] == "up")
        client.replicaof("NO", "ONE")
        drop.messages[b"2"] = mail("number 1")
        mailhaul("drain", "--config", str(with_sink_that_is_late(tmp_path, server, ledger.url)), env=ENV)
        (tmp_path / "late").mkdir()
        drain(with_sink_that_is_late(tmp_path, server, replica.url))
    assert "number 1" in subjects(tmp_path / "late")


def test_process_with_an_older_configuration_takes_no_event_from_a_new_sink(tmp_path: Path, ledger: Valkey) -> None:
    with faulty_server("one") as server:
        server.drops["one"].messages = {b"%d" % n: mail(f"number {n}") for n in range(3)}
        (old := tmp_path / "old").mkdir()
        store = f"file://{tmp_path / 'store'}"
        older = write_config(old, [box(server, "one", "keep")], ledger=ledger.url, store=store)
        newer = with_sink_that_is_late(tmp_path, server, ledger.url)
        mailhaul("drain", "--config", str(newer), env=ENV)
        drain(older)
        (tmp_path / "late").mkdir()
        drain(newer)
    assert sorted(subjects(tmp_path / "late")) == [f"number {n}" for n in range(3)]


def test_processor_that_was_stopped_while_its_message_was_purged_leaves_nothing_of_it(
    tmp_path: Path, ledger: Valkey
) -> None:
    with faulty_server("one") as server:
        server.drops["one"].messages[b"1"] = identified("confidential", "A secret.")
        config = write_config(tmp_path, [box(server, "one")], ledger=ledger.url)
        stopped = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.support.crashing",
                "before the manifest is stored",
                "--config",
                str(config),
            ],
            env={**os.environ, **ENV, "SIGNAL": "SIGSTOP"},
        )
        try:
            os.waitid(os.P_PID, stopped.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            (raw,) = (tmp_path / "store").rglob("raw.eml")
            manifest = raw.parent / "message.json"
            assert not manifest.exists()
            drain(config)
            assert b"confidential" in manifest.read_bytes()
            purged = mailhaul("purge", "message", raw.parent.name, "--yes", "--config", str(config), env=ENV)
            assert purged.returncode == 0, purged.stdout + purged.stderr
            os.kill(stopped.pid, signal.SIGCONT)
            stopped.wait(PATIENCE)
        finally:
            stopped.kill()
            stopped.wait(PATIENCE)
    left = {path: path.read_bytes() for path in raw.parent.rglob("*") if path.is_file()}
    assert b'"purged"' in left[manifest]
    assert not [path for path, content in left.items() if b"confidential" in content or b"secret" in content]
