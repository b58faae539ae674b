"""Import: the same objects, manifests and events as fetching the same mail, once, however often it is begun."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from ingest.admin import imports
from ingest.admin.imports import Imported, ImportOrder
from ingest.domain import keys
from ingest.domain.mailbox import Limits
from ingest.domain.retry import Fail
from ingest.errors import LedgerUnavailableError, StoreError, StoreRefusedError, StoreUnavailableError
from ingest.mailfiles.files import find_mail
from ingest.usecases.backpressure import MemoryPressure
from ingest.usecases.process import stage
from ingest.wiring import admin
from tests.support.bench import Bench, bench, mail, mailbox, message_key, never
from tests.support.clock import Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ingest.domain.record import ObjectRef


@pytest.fixture
def b() -> Iterator[Bench]:
    with bench(mailbox("a", limits=Limits(message_bytes=50_000))) as made:
        made.ticker.tick(made.schedule())
        yield made


def write(folder: Path, *subjects: str, **mails: bytes) -> Path:
    """Write messages with LF, as most programs keep them."""
    for name, data in {**{subject: mail(subject) for subject in subjects}, **mails}.items():
        (folder / f"{name}.eml").write_bytes(data.replace(b"\r\n", b"\n"))
    return folder


def run(b: Bench, folder: Path, stop: Waits | None = None, **how: Any) -> Imported:
    order = ImportOrder(b.mailboxes["a"], find_mail([folder]), **how)
    return admin.importer(b.runtime).run(order, list(b.sinks), stop or Waits())


def subjects(b: Bench) -> list[str]:
    return sorted(event["data"]["headers"]["subject"] for event in b.published())


def test_imported_mail_becomes_what_the_same_mail_fetched_becomes(b: Bench, tmp_path: Path) -> None:
    """But for the unique-id, which only a server has."""
    mails = {"one": mail("one", attachment=b"%PDF-1.7"), "two": mail("two"), "big": mail("big", "x" * 60_000)}
    with bench(mailbox("a", limits=Limits(message_bytes=50_000))) as fetched:
        fetched.maildrops["a"].messages = {name.encode(): data for name, data in mails.items()}
        fetched.everything()
        done = run(b, write(tmp_path, **mails))
        assert (done.stored, done.oversize, done.processed, done.events, done.ok) == (2, 1, 3, {"main": 3}, True)
        objects = {key: data for key, data in b.store.objects.items() if "/_state/" not in key}
        assert objects.keys() == {key for key in fetched.store.objects if "/_state/" not in key}
        same = {key for key in objects if not key.endswith(keys.MANIFEST)}
        assert {key: b.store.objects[key].content for key in same} == {
            key: fetched.store.objects[key].content for key in same
        }
        assert {event["id"] for event in b.published()} == {event["id"] for event in fetched.published()}


def test_second_import_stores_and_publishes_nothing(b: Bench, tmp_path: Path) -> None:
    run(b, write(tmp_path, "one", "two"))
    before = dict(b.store.objects)
    done = run(b, tmp_path)
    assert (done.stored, done.known, done.processed, done.ok) == (0, 2, 0, True)
    assert b.store.objects == before
    assert subjects(b) == ["one", "two"]


def test_mail_that_is_still_on_the_server_is_recognised(b: Bench, tmp_path: Path) -> None:
    run(b, write(tmp_path, "one", "two"))
    b.maildrops["a"].messages = {b"1": mail("one"), b"2": mail("three")}
    b.everything()
    assert subjects(b) == ["one", "three", "two"]
    assert not b.resets("a"), "an import says nothing about the unique-ids of the server"


def test_mail_that_was_fetched_before_is_recognised(b: Bench, tmp_path: Path) -> None:
    b.maildrops["a"].messages = {b"1": mail("one")}
    b.everything()
    done = run(b, write(tmp_path, "one", "two"))
    assert (done.stored, done.known) == (1, 1)
    assert subjects(b) == ["one", "two"]


def test_import_without_events_stores_the_same_and_a_replay_publishes_it_later(b: Bench, tmp_path: Path) -> None:
    write(tmp_path, "one", "two")
    with bench(mailbox("a")) as loud:
        loud.ticker.tick(loud.schedule())
        run(loud, tmp_path)
        done = run(b, tmp_path, events=False)
        assert (done.stored, done.processed, done.ok, b.events.entries()) == (2, 2, True, [])
        assert {key: found.content for key, found in b.store.objects.items() if "_state" not in key} == {
            key: found.content for key, found in loud.store.objects.items() if "_state" not in key
        }
        run(b, tmp_path, events=False)
        assert not b.events.entries(), "what is known already is not republished either"
        replay = admin.replay(b.runtime)
        replay.run(replay.find(["a"], 0, math.inf), None, Waits())
        b.relay_stage.run(never)
        assert {event["id"] for event in b.published()} == {event["id"] for event in loud.published()}


def test_message_imported_without_events_fails_without_one(
    b: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(b, monkeypatch, StoreUnavailableError("down"), lambda key: key.endswith(keys.BODY_TEXT))
    monkeypatch.setattr(stage, "after_message_error", lambda *_: Fail())
    run(b, write(tmp_path, "one"), events=False)
    assert len(b.ledger.failed_messages()) == 1
    assert not b.events.entries()


def test_copies_of_one_message_are_one_message(b: Bench, tmp_path: Path) -> None:
    done = run(b, write(tmp_path, a=mail("one"), b=mail("one")))
    assert (done.stored, done.known, subjects(b)) == (1, 1, ["one"])


def test_event_that_may_have_been_lost_is_republished(b: Bench, tmp_path: Path) -> None:
    run(b, write(tmp_path, "one"))
    b.events.erase({event["id"] for event in b.published()})
    run(b, tmp_path)
    assert subjects(b) == ["one", "one"]
    assert len({event["id"] for event in b.published()}) == 1


def test_mailbox_that_the_ledger_does_not_know_is_rebuilt_first(b: Bench, tmp_path: Path) -> None:
    run(b, write(tmp_path, "one"))
    with bench() as again:
        again.store.objects.update(b.store.objects)
        again.ticker.tick(again.schedule())
        done = run(again, tmp_path)
        assert (done.stored, done.known) == (0, 1)
        assert not again.ledger.unknown(["a"])
        assert subjects(again) == ["one"], "the rebuild republished it"


def test_stopped_import_registers_what_was_read_and_is_run_again(
    b: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "BATCH", 2)
    write(tmp_path, *"abcde")
    stop = Waits()
    stop.meanwhile = lambda: setattr(stop, "asked", len(stop.seconds) == 3)
    done = run(b, tmp_path, stop, rate=2.0)
    assert (done.stored, done.complete, done.error, done.ok) == (3, False, None, False)
    assert stop.seconds == [0.5] * 3
    done = run(b, tmp_path)
    assert (done.stored + done.known, done.ok) == (5, True)
    assert subjects(b) == list("abcde")


def test_unreadable_file_is_named_and_holds_up_no_other(b: Bench, tmp_path: Path) -> None:
    done = run(b, write(tmp_path, "a", "c", b=b"no mail"))
    assert [(path.name, reason.partition(":")[0]) for path, _, reason in done.failed] == [("b.eml", "holds no mail")]
    assert (subjects(b), done.ok) == (["a", "c"], False)


def refuse(b: Bench, patch: pytest.MonkeyPatch, error: StoreError, wanted: Callable[[str], bool]) -> None:
    """Make the store raise an error for these keys."""
    put = b.store.put

    def refusing(key: str, *arguments: Any, **more: Any) -> ObjectRef:
        if wanted(key):
            raise error
        return put(key, *arguments, **more)

    patch.setattr(b.store, "put", refusing)


def test_message_that_the_store_refuses_is_named_and_holds_up_no_other(
    b: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = message_key("a", mail("b"))
    refuse(b, monkeypatch, StoreRefusedError("too long"), lambda key: refused in key)
    done = run(b, write(tmp_path, "a", "b", "c"))
    assert [(path.name, reason) for path, _, reason in done.failed] == [("b.eml", "too long")]
    assert (subjects(b), done.ok) == (["a", "c"], False)


@pytest.mark.parametrize("error", [StoreUnavailableError("down"), StoreRefusedError("no bucket")])
def test_store_that_takes_nothing_ends_the_import(
    b: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: StoreError
) -> None:
    refuse(b, monkeypatch, error, lambda key: key.endswith(keys.RAW))
    done = run(b, write(tmp_path, *"abcdefghijkl"))
    assert (done.error, done.ok, done.stored) == (error, False, 0)


def test_ledger_that_is_lost_during_an_import_ends_it_and_nothing_is_lost(
    b: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise LedgerUnavailableError("down")

    with monkeypatch.context() as patched:
        patched.setattr(b.ledger, "register", fail)
        assert isinstance(run(b, write(tmp_path, "a")).error, LedgerUnavailableError)
    assert run(b, tmp_path).ok
    assert subjects(b) == ["a"]


def test_import_waits_while_the_ledger_is_nearly_full(
    b: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [True, True, False]
    monkeypatch.setattr(MemoryPressure, "high", lambda _: full.pop(0) if full else False)
    stop = Waits()
    done = run(b, write(tmp_path, "a"), stop)
    assert (stop.seconds, done.ok) == ([imports.LOOK_EVERY] * 2, True)


def test_import_waits_for_a_poll_in_progress_and_leaves_the_due_time_as_it_was(
    b: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = b.ledger.mailboxes.claim_one("a", 45.0)
    assert claim is not None
    waited: list[float] = []

    def end_poll(seconds: float) -> None:
        waited.append(seconds)
        b.ledger.mailboxes.release(claim, 30.0)

    monkeypatch.setattr("ingest.admin.mailbox_claim.time.sleep", end_poll)
    assert run(b, write(tmp_path, "a")).ok
    assert waited
    assert b.ledger.mailboxes.due_in("a") == pytest.approx(30.0)


def test_pending_messages_are_counted(b: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(b, monkeypatch, StoreUnavailableError("down"), lambda key: key.endswith(keys.MANIFEST))
    done = run(b, write(tmp_path, "a"))
    assert (done.stored, done.pending, done.ok) == (1, 1, False)
