"""Processing: the manifest is written last, a second try repairs the first, a bad message delays no other."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from ingest.domain.mailbox import Deletion
from ingest.domain.retry import MESSAGE_TRIES
from ingest.domain.tombstone import Tombstone
from ingest.errors import StoreRefusedError, StoreUnavailableError
from ingest.mime import MimeLimits
from tests.support.bench import Bench, bench, mail, mailbox, message_key, never

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.domain.message import OpenMessage


def put_fault(b: Bench, ending: str) -> None:
    """Make every write of a key with this ending fail."""

    def fault(operation: str, key: str) -> None:
        if operation == "put" and key.endswith(ending):
            raise StoreUnavailableError("unavailable")

    b.store.fault = fault


def test_a_message_gets_body_attachment_manifest_and_one_event() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1", "Hello.", b"%PDF-1.4 \x00\xff\r\n.")
        b.everything()
        (event,) = b.published()
        data = event["data"]
        (attachment,) = data["attachments"]
        assert b.store.objects[attachment["object"]["key"]].content == b"%PDF-1.4 \x00\xff\r\n."
        assert attachment["detected_type"] == "application/pdf"
        assert b.store.objects[data["bodies"][0]["object"]["key"]].content.strip() == b"Hello."
        assert json.loads(b.store.objects[data["manifest"]].content) == data
        assert b.ledger.counts() == {"open": 0, "failed": 0, "events": 1, "dead_letters": 0, "quarantined": 0}


@pytest.mark.parametrize("name", ["i.pdf", "body.txt"])
def test_the_manifest_is_written_after_everything_it_names(name: str) -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1", attachment=b"%PDF")
        b.poll_all()
        put_fault(b, name)
        b.process_stage.run(never)
        assert b.keys("message.json") == []
        assert b.ledger.counts()["events"] == 0
        b.store.fault = None
        b.clock.time += 60
        b.process_stage.run(never)
        assert len(b.keys("message.json")) == 1
        assert b.ledger.counts()["events"] == 1


def test_a_worker_that_died_before_its_commit_leaves_one_event_after_the_second_try() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1", attachment=b"%PDF")
        b.poll_all()
        (claim,) = b.ledger.messages.claim(1, 60)
        message = b.ledger.open_messages([claim.id])[0]
        assert message is not None
        b.process_stage.processor.process(message)  # and died here
        objects = {key: kept.content for key, kept in b.store.objects.items()}
        b.clock.time += 61
        b.process_stage.run(never)
        b.relay_stage.run(never)
        assert len(b.published()) == 1
        assert {key: kept.content for key, kept in b.store.objects.items()} == objects


def test_unavailable_store_uses_up_no_tries() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()
        put_fault(b, "message.json")
        for _ in range(MESSAGE_TRIES * 3):
            b.process_stage.run(never)
            b.clock.time += 60
        b.store.fault = None
        b.process_stage.run(never)
        assert b.ledger.counts() == {"open": 0, "failed": 0, "events": 1, "dead_letters": 0, "quarantined": 0}


def test_message_that_triggers_a_bug_fails_with_an_event_and_the_others_pass() -> None:
    with bench() as b:
        b.maildrops["a"].messages = {b"u1": mail("bad", attachment=b"%PDF"), b"u2": mail("good")}
        b.poll_all()

        def fault(operation: str, key: str) -> None:
            if operation == "put" and key.endswith("i.pdf"):
                raise ZeroDivisionError

        b.store.fault = fault
        for _ in range(MESSAGE_TRIES + 1):
            b.process_stage.run(never)
            b.clock.time += 3600
        b.relay_stage.run(never)
        types = sorted(event["type"] for event in b.published())
        assert types == ["dev.mailhaul.message.failed.v1", "dev.mailhaul.message.received.v1"]
        (failed,) = b.ledger.failed_messages()
        assert failed.tries == MESSAGE_TRIES
        assert failed.message.source.key in b.store.objects, "its raw is kept"


@pytest.mark.parametrize(
    "change", [lambda raw: raw[:0], lambda raw: raw[:-1], lambda raw: raw[:-3] + b"!" + raw[-2:]]
)
@pytest.mark.parametrize("limits", [MimeLimits(), MimeLimits(header_bytes=10)])
def test_altered_raw_object_is_never_processed(change: Callable[[bytes], bytes], limits: MimeLimits) -> None:
    """Not even if a limit keeps its end from being parsed; its mail stays on the server."""
    with bench(mailbox("a", deletion=Deletion(0.0))) as b:
        b.process_stage = replace(b.process_stage, processor=replace(b.process_stage.processor, limits=limits))
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1", attachment=b"%PDF")
        b.poll_all()
        (key,) = b.keys("raw.eml")
        stored = b.store.objects[key]
        b.store.objects[key] = replace(stored, content=change(stored.content))
        for _ in range(MESSAGE_TRIES + 1):
            b.process_stage.run(never)
            b.clock.time += 3600
        (failed,) = b.ledger.failed_messages()
        assert failed.reason == "store_corrupt"
        assert b.keys("message.json") == []
        b.poll_all()
        assert b"u1" in drop.messages


def test_message_that_kills_its_worker_repeatedly_fails() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()
        for _ in range(MESSAGE_TRIES):
            (claim,) = b.ledger.messages.claim(1, 60)
            assert b.ledger.messages.begin_attempt(claim), "and its worker is killed"
            b.clock.time += 61
        b.process_stage.run(never)
        (failed,) = b.ledger.failed_messages()
        assert failed.reason == "worker_died"


class Killed(BaseException):
    """The worker was killed in the middle; nothing catches this."""


def test_message_that_kills_its_worker_costs_its_neighbours_no_attempt_and_one_lease() -> None:
    with bench() as b:
        b.maildrops["a"].messages = {f"u{number}".encode(): mail(str(number)) for number in range(4)}
        b.poll_all()
        poison, *neighbours = (claim.id for claim in b.ledger.messages.claim(4, 1))
        b.clock.time += 2

        def kill(operation: str, key: str) -> None:
            if operation == "put" and poison in key:
                raise Killed

        b.store.fault = kill
        done = []
        for _ in range(MESSAGE_TRIES):
            with pytest.raises(Killed):
                b.process_stage.run(never)
            done.append(len(b.keys("message.json")))
            b.clock.time += 61
        assert done == [0] + [len(neighbours)] * (MESSAGE_TRIES - 1)
        b.process_stage.run(never)
        (failed,) = b.ledger.failed_messages()
        assert (failed.message.key, failed.reason, b.ledger.counts()["open"]) == (poison, "worker_died", 0)


def test_refused_bucket_waits_for_the_operator_and_loses_nothing() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()

        def fault(operation: str, key: str) -> None:
            raise StoreRefusedError("no permission")

        b.store.fault = fault
        for _ in range(MESSAGE_TRIES * 2):
            b.process_stage.run(never)
            b.clock.time += 60
        assert b.ledger.counts()["open"] == 1
        assert b.ledger.counts()["failed"] == 0


def test_message_whose_raw_object_is_gone_is_fetched_again_while_the_server_has_it() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1")
        b.poll_all()
        (raw,) = b.keys("raw.eml")
        del b.store.objects[raw]
        due = b.ledger.mailboxes.standing()["a"]
        b.process_stage.run(never)
        assert b.ledger.mailboxes.standing()["a"] == due, "the mailbox is polled when it would have been"
        b.clock.time += 3_600
        b.everything()
        assert drop.retrieved == [b"u1", b"u1"]
        assert len(b.keys("message.json")) == 1
        assert b.ledger.failed_messages() == []
        assert len(b.published()) == 1


def test_altered_raw_object_counts_as_an_error_of_the_store() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()
        b.store.alter(b.keys("raw.eml")[0], mail("2"))
        b.process_stage.run(never)
        errors = {"operation": "get", "result": "corrupt"}
        assert b.metrics.registry.get_sample_value("mailhaul_store_requests_total", errors) == 1


def test_message_whose_raw_object_is_gone_fails_and_is_published_as_failed() -> None:
    """It would else stay open for ever, and hold back the delivery watermark."""
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()
        (raw,) = b.keys("raw.eml")
        del b.store.objects[raw]
        for _ in range(MESSAGE_TRIES + 1):
            b.process_stage.run(never)
            b.clock.time += 3_600
        assert b.ledger.counts()["open"] == 0
        (failed,) = b.ledger.failed_messages()
        assert failed.reason == "object_missing"


def test_message_that_another_worker_has_claimed_is_not_processed() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()
        (expired,) = b.ledger.messages.claim(1, 60)
        b.clock.time += 61
        (valid,) = b.ledger.messages.claim(1, 60)
        b.process_stage.handle(expired)
        assert b.keys("message.json") == []
        b.process_stage.handle(valid)
        assert len(b.keys("message.json")) == 1


def test_no_manifest_is_written_once_another_worker_has_the_claim() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()

        def lose(operation: str, key: str) -> None:
            if operation == "put" and key.endswith("body.txt"):
                b.clock.time += 61
                assert b.ledger.messages.claim(1, 60)

        b.store.fault = lose
        b.process_stage.run(never)
        assert (len(b.keys("body.txt")), b.keys("message.json")) == (1, [])


def test_next_message_is_begun_in_the_step_that_closes_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    with bench() as b:
        b.maildrops["a"].messages = {f"u{number}".encode(): mail(str(number)) for number in range(4)}
        b.poll_all()
        complete, following = b.ledger.complete, []

        def watched(*of: Any) -> OpenMessage | None:
            following.append(complete(*of))
            return following[-1]

        monkeypatch.setattr(b.ledger, "complete", watched)
        assert b.process_stage.run(never) == 4
        assert [message is None for message in following] == [False, False, False, True]


def test_key_whose_message_the_ledger_lost_is_dropped() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()
        b.ledger.evict("open")
        b.process_stage.run(never)
        b.clock.time += 3_600
        assert b.ledger.messages.claim(1, 60) == []
        assert b.keys("message.json") == []


def test_message_whose_raw_object_is_gone_is_retried_while_the_store_does_not_say_whether_it_was_purged() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()
        (raw,) = b.keys("raw.eml")
        del b.store.objects[raw]

        def fault(operation: str, key: str) -> None:
            if operation == "get" and key.endswith("message.json"):
                raise StoreUnavailableError("unavailable")

        b.store.fault = fault
        with capture_logs() as logged:
            b.process_stage.run(never)
        assert [line["event"] for line in logged] == [
            "message.not_retracted",
            "message.forgotten",
            "message.retrying",
        ]
        assert b.ledger.counts()["open"] == 1


def test_purged_message_that_is_open_again_is_closed_once_its_mailbox_is_not_polled() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()
        (raw,) = b.keys("raw.eml")
        (message,) = b.ledger.open_messages([message_key("a", mail("1"))])
        assert message is not None
        purged = Tombstone(message_key=message.key, mailbox="a", purged_at=b.clock.now(), objects=0, size=0)
        b.store.alter(raw, b"")
        b.store.objects[f"{message.folder}/message.json"] = replace(b.store.objects[raw], content=purged.to_json())
        claim = b.ledger.mailboxes.claim_one("a", 60.0)
        assert claim is not None
        b.process_stage.run(never)
        assert b.ledger.counts()["open"] == 1
        b.ledger.mailboxes.release(claim, 0.0)
        b.clock.time += 60
        b.process_stage.run(never)
        assert b.ledger.counts()["open"] == 0
        assert b.ledger.messages.members() == set()
        assert b.ledger.unprocessed("a") == set()


def test_raw_object_that_lost_its_content_does_not_count_as_purged() -> None:
    """A purge leaves an empty object too, but a tombstone beside it."""
    with bench(mailbox("a", deletion=Deletion(0.0))) as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1")
        b.poll_all()
        (raw,) = b.keys("raw.eml")
        b.store.alter(raw, b"")
        for _ in range(MESSAGE_TRIES + 1):
            b.clock.time += 3_600
            b.everything()
        assert b.keys("message.json") == []
        assert drop.messages == {b"u1": mail("1")}
        (failed,) = b.ledger.failed_messages()
        assert failed.reason == "store_corrupt"
