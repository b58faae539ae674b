"""Raw mail is handed over in memory only where one process fetches and processes, bounded, and never altered."""

from __future__ import annotations

import hashlib
from contextlib import closing

from ingest.domain.record import ObjectRef
from ingest.errors import StoreUnavailableError
from ingest.usecases.handover import HandOver
from ingest.usecases.spool import MEMORY_BYTES, Spool
from tests.support.bench import bench, mail, never


def source_of(key: str, content: bytes) -> ObjectRef:
    return ObjectRef(bucket="b", key=key, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def keep(handover: HandOver, source: ObjectRef, content: bytes) -> None:
    with closing(Spool()) as spool:
        spool.write(content)
        handover.keep(source, spool)


def test_raw_mail_is_handed_over_once() -> None:
    handover, source = HandOver(), source_of("a", b"mail")
    with handover.open(100):
        keep(handover, source, b"mail")
        assert handover.take(source) == b"mail"
        assert handover.take(source) is None


def test_nothing_is_kept_outside_of_the_block() -> None:
    handover, source = HandOver(), source_of("a", b"mail")
    keep(handover, source, b"mail")
    assert handover.take(source) is None
    with handover.open(100):
        keep(handover, source, b"mail")
    assert handover.take(source) is None


def test_no_more_is_kept_than_there_is_room() -> None:
    handover = HandOver()
    content = {name: name.encode() * 5 for name in "abc"}
    source = {name: source_of(name, content[name]) for name in "abc"}
    with handover.open(10):
        for name in "abcb":
            keep(handover, source[name], content[name])
        assert [handover.take(source[name]) for name in "abc"] == [b"aaaaa", b"bbbbb", None]
        keep(handover, source["c"], content["c"])
        assert handover.take(source["c"]) == b"ccccc"


def test_large_mail_is_not_kept() -> None:
    handover, content = HandOver(), bytes(MEMORY_BYTES + 1)
    with handover.open(3 * MEMORY_BYTES):
        keep(handover, source_of("a", content), content)
        assert handover.take(source_of("a", content)) is None


def test_bytes_that_are_not_those_that_were_stored_are_not_handed_over() -> None:
    handover, source = HandOver(), source_of("a", b"mail")
    with handover.open(100):
        for content in (b"mial", b"mail and more", b""):
            keep(handover, source, content)
            assert handover.take(source) is None


def test_drain_does_not_read_back_what_it_fetched() -> None:
    with bench() as b:
        b.maildrops["a"].messages = {b"u1": mail("1", attachment=b"%PDF"), b"u2": mail("2")}

        def fault(operation: str, key: str) -> None:
            if operation == "get" and key.endswith("raw.eml"):
                raise StoreUnavailableError("unavailable")

        b.store.fault = fault
        assert b.drain.run(b.runtime.schedule(), never).ok
        assert len(b.published()) == 2


def test_drain_reads_what_another_process_fetched() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()
        assert b.drain.run(b.runtime.schedule(), never).ok
        assert len(b.published()) == 1


def test_drain_hands_over_nothing_that_the_store_did_not_take() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")

        def fault(operation: str, key: str) -> None:
            if operation == "put" and key.endswith("raw.eml"):
                raise StoreUnavailableError("unavailable")

        b.store.fault = fault
        b.drain.run(b.runtime.schedule(), never)
        assert b.keys("message.json") == []
        assert b.published() == []


def test_drain_reads_mail_that_an_earlier_run_has_stored() -> None:
    """Only that shows whether the store still has its bytes: comparing sizes and hashes does not read them."""
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.runtime.poller.store_identity.read()
        b.store.loses_answers = True
        b.drain.run(b.runtime.schedule(), never)
        b.store.loses_answers = False
        assert len(b.keys("raw.eml")) == 1
        read: list[str] = []
        b.store.fault = lambda operation, key: read.append(key) if operation == "get" else None
        b.clock.time += 3_600
        b.drain.run(b.runtime.schedule(), never)
        assert b.keys("raw.eml")[0] in read
        assert len(b.published()) == 1
