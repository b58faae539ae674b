"""Statements say what became of every message, once, and in order."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from ingest.admin.audit.archive import DamagedStatementError
from ingest.admin.retention import Retention
from ingest.domain.keys import event_id
from ingest.domain.retention import Period, RetentionRule
from ingest.errors import ConfigError, LedgerUnavailableError, StoreUnavailableError
from ingest.ports.status import TaskStatus
from tests.support.audited import DAY, TODAY, audited, key, raw
from tests.support.bench import mailbox, never
from tests.support.clock import START
from tests.support.purging import purge_of
from tests.support.waiting import eventually
from workers.schedule import writing_statements


def test_statement_says_what_became_of_each_message_of_its_day() -> None:
    with audited() as a:
        a.fetch("one", "two")
        a.next_day()
        [written] = a.write()
        statement = a.statement()
        assert written.statement == statement
        assert written.sha256 == statement.link.sha256
        assert statement.counts == {
            "stored": 2, "processed": 2, "confirmed": 2, "stored_bytes": len(raw("one")) + len(raw("two"))
        }  # fmt: skip
        assert statement.server is not None
        assert (statement.server.listed, statement.server.not_fetched, statement.server.result) == (2, 0, "success")
        assert (statement.day, statement.since, statement.previous) == (TODAY, None, None)
        entries = {entry.key: entry for entry in a.entries()}
        one = entries[key("one")]
        assert entries.keys() == {key("one"), key("two")}
        assert one.raw is not None
        assert one.raw.sha256 == hashlib.sha256(raw("one")).hexdigest()
        manifest = a.content(a.object("message.json", "one"))
        assert one.manifest is not None
        assert one.manifest.sha256 == hashlib.sha256(manifest).hexdigest()
        assert one.event == event_id("dev.mailhaul.message.received.v1", one.key)
        assert a.verify().ok


def test_statement_names_no_file_subject_or_address() -> None:
    with audited() as a:
        a.fetch("confidential")
        a.next_day()
        a.write()
        stored = b"".join(a.content(one) for one in a.b.store.objects if "/_audit/" in one)
        assert not any(word in stored for word in (b"confidential", b"i.pdf", b"example"))


def test_day_without_mail_has_a_statement_that_follows_the_last_one() -> None:
    with audited() as a:
        a.days(1)
        a.next_day()
        a.write()
        second = a.statement(TODAY + timedelta(days=1))
        assert (second.entries.count, second.previous) == (0, a.archive.load("a", TODAY).link)
        assert second.since == a.statement().until
        assert a.verify().ok


def test_days_that_were_missed_are_made_up_for_and_none_is_written_twice() -> None:
    with audited() as a:
        a.days(1)
        for number in range(3):
            a.fetch(f"later {number}")
            a.next_day()
        assert [one.statement.day for one in a.write() if one.statement] == [
            TODAY + timedelta(days=number) for number in (1, 2, 3)
        ]
        assert [len(a.entries(TODAY + timedelta(days=number))) for number in (1, 2, 3)] == [1, 1, 1]
        before = dict(a.b.store.objects)
        assert a.write() == []
        assert a.b.store.objects == before
        assert a.verify().ok


def test_day_that_is_not_over_for_the_grace_has_no_statement() -> None:
    with audited() as a:
        a.fetch("one")
        a.b.clock.time = (START // DAY + 1) * DAY + 3_599.0
        a.write()
        assert a.archive.days("a") == [TODAY - timedelta(days=1)]
        assert a.entries(TODAY - timedelta(days=1)) == []


def test_message_stored_after_the_day_is_for_the_next_statement() -> None:
    with audited() as a:
        a.fetch("one")
        a.next_day()
        a.fetch("two")
        a.write()
        assert [entry.key for entry in a.entries()] == [key("one")]
        assert a.verify().ok
        assert a.verify().pending == 1


def test_open_message_is_carried_until_it_is_processed() -> None:
    with audited() as a:
        a.b.maildrops["a"].messages = {b"u": raw("one")}
        a.b.poll_all()
        a.next_day()
        a.write()
        [entry] = a.entries()
        assert (entry.state, entry.manifest, entry.event) == ("unprocessed", None, None)
        assert a.verify().ok
        assert a.verify().unsettled == Counter(unprocessed=1)
        a.next_day()
        a.write()
        [entry] = a.entries(TODAY + timedelta(days=1))
        assert (entry.change, entry.state) == ("carried", "unprocessed")
        a.b.everything_without_tick()
        a.next_day()
        a.write()
        [entry] = a.entries(TODAY + timedelta(days=2))
        assert (entry.change, entry.state, entry.delivery) == ("changed", "processed", "confirmed")
        a.next_day()
        a.write()
        assert a.entries(TODAY + timedelta(days=3)) == []
        assert a.verify().ok


def test_manifest_of_a_message_that_is_still_open_is_not_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be written once more, with other bytes."""
    with audited() as a:

        def lost(*_: object) -> None:
            raise LedgerUnavailableError

        with monkeypatch.context() as patched:
            patched.setattr(a.b.ledger, "complete", lost)
            a.b.maildrops["a"].messages = {b"u": raw("one")}
            a.b.poll_all()
            with suppress(LedgerUnavailableError):
                a.b.process_stage.run(never)
        assert a.b.keys("message.json")
        a.next_day()
        a.write()
        [entry] = a.entries()
        assert (entry.state, entry.manifest) == ("unprocessed", None)


def test_raw_mail_that_retention_erased_is_stated_as_erased() -> None:
    with audited() as a:
        a.days(1)
        a.b.clock.time += 8 * 86_400.0
        rule = RetentionRule("short", raw=Period(seconds=7 * 86_400.0))
        work = Retention(a.b.store, purge_of(a.b), (rule,), a.b.clock.now)
        assert work.run(work.agreed_time(), never).raw == 1
        a.write(TODAY + timedelta(days=7))
        assert a.verify().ok
        assert a.verify().pending == 1
        a.next_day()
        a.write()
        assert len([one for one in a.entries(TODAY + timedelta(days=9)) if one.raw_erased]) == 1
        assert a.verify().ok
        del a.b.store.objects[a.object("raw-erased.json")]
        assert a.found() == {("missing", key("day 0"))}


def test_failed_message_is_stated_with_its_reason_until_it_is_purged() -> None:
    with audited() as a:
        a.fail("one")
        a.next_day()
        a.write()
        [entry] = a.entries()
        assert (entry.state, entry.event) == ("failed", event_id("dev.mailhaul.message.failed.v1", key("one")))
        assert entry.reason
        a.next_day()
        a.write()
        [entry] = a.entries(TODAY + timedelta(days=1))
        assert (entry.change, entry.state) == ("carried", "failed")
        a.purge("one")
        a.next_day()
        a.write()
        [entry] = a.entries(TODAY + timedelta(days=2))
        assert (entry.state, entry.raw) == ("erased", None)
        assert a.verify().ok


def test_event_that_a_sink_has_not_confirmed_is_carried_until_it_has() -> None:
    with audited() as a:
        a.b.refuse_everything()
        a.fetch("one")
        a.next_day()
        a.write()
        [entry] = a.entries()
        assert (entry.state, entry.delivery, entry.rejected_by) == ("processed", "rejected", ["main"])
        a.b.events.drop_rejected("main", [entry.event or ""])
        a.next_day()
        a.write()
        [entry] = a.entries(TODAY + timedelta(days=1))
        assert (entry.change, entry.delivery, entry.rejected_by) == ("carried", "confirmed", [])
        assert a.verify().ok


def test_event_is_waiting_while_the_watermark_has_not_passed_its_manifest() -> None:
    with audited() as a:
        a.b.poll_all()
        a.b.settle()
        a.fetch("one")
        a.b.clock.time = (START // DAY + 1) * DAY + 7_200.0
        a.write()
        assert [entry.delivery for entry in a.entries()] == ["waiting"]
        a.next_day()
        a.write()
        assert [entry.delivery for entry in a.entries(TODAY + timedelta(days=1))] == ["confirmed"]


def test_purge_is_stated_on_its_day_without_the_hash_of_the_raw_mail() -> None:
    with audited() as a:
        a.days(1)
        a.purge("day 0")
        assert a.verify().ok
        assert a.verify().pending == 1
        a.next_day()
        a.write()
        [entry] = a.entries(TODAY + timedelta(days=1))
        assert (entry.state, entry.raw, entry.delivery) == ("erased", None, None)
        assert a.verify().ok


def test_reprocessing_is_stated_with_the_manifest_that_it_replaced() -> None:
    with audited() as a:
        a.days(1)
        [before] = a.entries()
        a.reprocess()
        assert a.verify().ok
        assert a.verify().pending == 1
        a.next_day()
        a.write()
        [entry] = a.entries(TODAY + timedelta(days=1))
        assert before.manifest is not None
        assert (entry.change, entry.replaced) == ("changed", [before.manifest.sha256])
        assert entry.event == event_id("dev.mailhaul.message.updated.v1", entry.key, 1)
        assert a.verify().ok


def test_update_that_a_sink_rejected_is_stated_as_rejected() -> None:
    with audited() as a:
        a.days(1)
        a.b.refuse_everything()
        a.reprocess()
        a.next_day()
        a.write()
        [entry] = a.entries(TODAY + timedelta(days=1))
        assert (entry.delivery, entry.rejected_by) == ("rejected", ["main"])


def test_message_that_appears_late_is_stated_the_day_after() -> None:
    """A large upload counts from its beginning, and may end after the statement of that day was written."""
    with audited() as a:
        a.fetch("one", "late")
        late = {name: found for name, found in a.b.store.objects.items() if f"/{key('late')}/" in name}
        for name in late:
            del a.b.store.objects[name]
        a.next_day()
        a.write()
        a.b.store.objects |= late
        a.next_day()
        a.write()
        assert [entry.key for entry in a.entries()] == [key("one")]
        [entry] = a.entries(TODAY + timedelta(days=1))
        assert (entry.key, entry.change) == (key("late"), "stored")
        a.next_day()
        a.write()
        assert a.entries(TODAY + timedelta(days=2)) == []
        assert a.verify().ok


def test_first_statement_covers_what_was_stored_before() -> None:
    with audited() as a:
        for number in range(3):
            a.fetch(f"day {number}")
            a.next_day()
        a.write()
        assert len(a.entries(TODAY + timedelta(days=2))) == 3
        assert a.verify().ok


def test_objects_that_the_manifest_does_not_name_are_stated() -> None:
    with audited() as a:
        a.fetch("day 0")
        a.put(a.object("message.json").replace("message.json", "attachments/9-left.txt"), b"left over")
        a.next_day()
        a.write()
        [entry] = a.entries()
        assert [(one.size, one.sha256) for one in entry.others] == [(9, hashlib.sha256(b"left over").hexdigest())]
        assert a.verify().ok


def test_messages_of_a_former_folder_belong_to_the_mailbox() -> None:
    with audited() as a:
        a.fetch("one")
        a.b.mailboxes["a"] = mailbox("a", prefix="moved/a")
        a.fetch("two")
        a.next_day()
        a.write()
        assert [entry.folder.partition("/2026/")[0] for entry in a.entries()] == ["a", "moved/a"]
        assert a.verify().ok


def test_mailbox_inside_of_another_mailboxs_folder_has_statements_of_its_own() -> None:
    with audited(mailbox("a"), mailbox("b", prefix="a/b")) as a:
        a.fetch("one")
        a.fetch("two", box="b")
        a.b.poll_all()  # writes checkpoints
        a.next_day()
        a.write()
        assert [entry.key for entry in a.entries()] == [key("one")]
        assert [entry.key for entry in a.entries(box="b")] == [key("two", "b")]
        assert a.verify().ok
        assert a.verify("b").ok


def test_process_that_loses_the_race_leaves_the_first_statement() -> None:
    with audited() as a:
        a.fetch("one")
        a.next_day()
        put = a.b.store.put

        def slow(key_: str, *arguments: object, **options: object) -> object:
            if key_ == a.statement_key():
                a.b.store.put = put  # type: ignore[method-assign]
                a.b.clock.time += 1.0
                a.write()
            return put(key_, *arguments, **options)  # type: ignore[arg-type]

        a.b.store.put = slow  # type: ignore[method-assign, assignment]
        assert a.write() == []
        assert a.statement().written_at.second == 1
        assert a.verify().ok


def test_chain_is_not_continued_on_entries_that_were_damaged() -> None:
    with audited() as a:
        a.days(1)
        [name] = [one for one in a.b.store.objects if one.endswith(".jsonl")]
        a.put(name, a.content(name).replace(b'"stored"', b'"carried"'))
        a.next_day()
        [written] = a.write()
        assert isinstance(written.error, DamagedStatementError)
        assert a.archive.days("a") == [TODAY]


def test_scheduler_writes_once_and_tries_again_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    with audited() as a:
        a.fetch("one")
        a.next_day()

        def unavailable(operation: str, name: str) -> None:
            if operation == "put" and "/_audit/" in name:
                raise StoreUnavailableError("later")

        a.b.store.fault = unavailable
        a.writer.write_due(a.b.mailboxes.values(), never)
        began = a.b.ledger.tasks()["statements"]
        a.b.store.fault = None
        a.writer.write_due(a.b.mailboxes.values(), never)
        assert a.archive.days("a") == []  # within the hour another process may be at it
        assert a.b.ledger.tasks()["statements"] == began == TaskStatus(None, a.b.clock.time)
        a.b.clock.time += 3_601.0
        a.writer.write_due(a.b.mailboxes.values(), never)
        assert a.archive.days("a") == [TODAY]
        assert a.b.ledger.tasks()["statements"] == TaskStatus(a.b.clock.time, None)
        a.b.store.fault = lambda operation, name: pytest.fail(f"{operation} {name}")
        a.writer.write_due(a.b.mailboxes.values(), never)


def test_statement_is_not_written_unsigned_when_the_key_cannot_be_read() -> None:
    with audited() as a:
        a.fetch("one")
        a.next_day()

        def missing() -> None:
            raise ConfigError(["env:KEY: there is no secret"])

        a.b.runtime.open_signer = missing
        [written] = a.write()
        assert isinstance(written.error, ConfigError)
        assert a.archive.days("a") == []


def test_scheduler_writes_statements_beside_its_ticks_only_where_it_is_asked_to() -> None:
    with audited() as a:
        a.fetch("one")
        a.next_day()
        stopped = threading.Event()
        with writing_statements(a.b.runtime, stopped):
            pass
        assert stopped.is_set()
        assert a.archive.days("a") == []
        a.b.runtime.writes_statements = True
        with writing_statements(a.b.runtime, threading.Event()):
            eventually(lambda: a.archive.days("a") == [TODAY], "no statement was written")


@pytest.mark.parametrize("ahead", [86_400.0, 30 * 86_400.0])
def test_day_that_is_not_over_by_the_clock_of_the_store_has_no_statement(ahead: float) -> None:
    """What the store writes on it later would be in no statement."""
    with audited() as a:
        a.fetch("one")
        a.next_day()
        writer = replace(a.writer, now=lambda: a.b.clock.now() + timedelta(seconds=ahead))
        assert [one.statement.day for one in writer.write(a.b.mailboxes.values(), never) if one.statement] == [TODAY]
        a.fetch("two")
        a.next_day()
        a.write()
        assert len(a.entries(TODAY + timedelta(days=1))) == 1
        assert a.verify().ok
