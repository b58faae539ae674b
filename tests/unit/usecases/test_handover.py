"""Raw mail is handed over in memory only where one process fetches and processes, bounded, and never altered."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from ingest.domain.record import ObjectRef
from ingest.errors import StoreUnavailableError
from ingest.usecases.handover import HandOver
from ingest.usecases.spool import MEMORY_BYTES, Spool
from tests.support.bench import bench, mail, never
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    import pytest


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


def filled(handover: HandOver) -> list[ObjectRef]:
    """Hand over eight mails of a byte each, which is all that there is room for."""
    sources = [source_of(name, name.encode()) for name in "abcdefgh"]
    for source in sources:
        keep(handover, source, source.key.encode())
    return sources


def test_poller_pauses_when_little_room_is_left_until_most_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.usecases.handover.PAUSE", PATIENCE)
    handover = HandOver()
    with handover.open(8), ThreadPoolExecutor(1) as threads:
        assert not handover.should_pause()
        sources = filled(handover)
        assert handover.should_pause()

        def take_after_pause() -> list[bytes | None]:
            next(handover.pauses())
            return [handover.take(source) for source in sources]

        taken = threads.submit(take_after_pause)
        handover.pause()
        assert not handover.should_pause()
        assert None not in taken.result(PATIENCE)


def test_poller_pauses_no_second_time_before_something_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.usecases.handover.PAUSE", 0.01)
    handover = HandOver()
    with handover.open(8):
        first, *_ = filled(handover)
        handover.pause()
        assert not handover.should_pause()
        handover.take(first)
        assert handover.should_pause()


def test_drain_does_not_read_back_more_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.usecases.handover.PAUSE", PATIENCE)
    raw = [mail(f"{number:03d}") for number in range(150)]
    monkeypatch.setattr("ingest.admin.drain.HANDOVER_BYTES", 48 * len(raw[0]))  # a quarter: more than are uploaded
    with bench() as b:
        b.maildrops["a"].messages = {b"u%d" % number: content for number, content in enumerate(raw)}
        read: list[str] = []
        b.store.fault = lambda operation, key: read.append(key) if operation == "get" else None
        report = b.drain.run(b.schedule(), never)
        assert (report.processed, report.pending) == (150, 0)
        assert [key for key in read if key.endswith("raw.eml")] == []


def test_messages_that_hang_processors_do_not_hold_up_fetching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.usecases.handover.PAUSE", 0.01)
    monkeypatch.setattr("ingest.admin.drain.HANDOVER_BYTES", 8 * len(mail("000")))
    with bench() as b:
        b.maildrops["a"].messages = {b"u%d" % number: mail(f"{number:03d}") for number in range(60)}
        stored: list[str] = []
        fetched = threading.Event()

        def hang(operation: str, key: str) -> None:
            if operation == "put" and key.endswith("raw.eml"):
                stored.append(key)
                if len(stored) == 60:
                    fetched.set()
            if operation == "put" and key.endswith("message.json"):
                assert fetched.wait(PATIENCE)

        b.store.fault = hang
        report = b.drain.run(b.schedule(), never)
        assert (report.processed, report.pending) == (60, 0)


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
