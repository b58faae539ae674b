"""Purging: no content is left, the message is not stored or sent again, an interrupted purge is completed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ingest.admin.erase import NotPurgedError
from ingest.admin.mailbox_claim import MailboxBusyError
from ingest.admin.purge_report import Survey
from ingest.domain import keys
from ingest.domain.events import EventType
from ingest.domain.mailbox import Deletion, Limits
from ingest.domain.tombstone import MOST_BYTES, Tombstone
from ingest.errors import StaleClaimError, StoreRefusedError, StoreUnavailableError
from ingest.usecases.schedule import REPAIR_EVERY
from tests.support.bench import Bench, bench, mail, mailbox, message_key, never
from tests.support.purging import purge_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.admin.purge_report import PurgeReport

SECRET = b"the words nobody may read again"


def secret(subject: str) -> bytes:
    return mail(subject, SECRET.decode(), SECRET * 3)


def fill(b: Bench, *numbers: int, box: str = "a") -> None:
    """Messages on the server, all of them stored, processed and delivered."""
    b.maildrops[box].messages |= {b"u%d" % number: secret(str(number)) for number in numbers}
    b.everything()


def key(number: int, box: str = "a") -> str:
    return message_key(box, secret(str(number)))


def purge(b: Bench, *numbers: int) -> PurgeReport:
    found = purge_of(b).find([key(number) for number in numbers])
    return whole(purge_of(b).messages(found, never))


def whole(report: PurgeReport) -> PurgeReport:
    if report.error is not None:
        raise report.error
    return report


def test_purge_reports_until_when_the_store_can_restore_what_was_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    until = datetime(2026, 12, 4, 12, 30, tzinfo=UTC)
    times = {f"/{key(1)}": until.timestamp(), f"/{key(2)}": until.timestamp() - 60, f"/{key(3)}": None}
    with bench() as b:
        fill(b, 1, 2, 3)
        monkeypatch.setattr(b.store, "restorable_until", lambda folder: times["/" + folder.rpartition("/")[2]])
        assert purge(b, 1, 2, 3).restorable_until == until
        assert purge(b, 3).restorable_until is None


def test_readers_that_keep_copies_learn_what_was_purged() -> None:
    """Again where the stream still had an event, which they may have read in between."""
    with bench() as b:
        fill(b, 1, 2)
        purge(b, 1)
        assert {one for _, one in b.events.purged("", 10)} == {key(1)}


def contents(b: Bench) -> Iterable[bytes]:
    return (stored.content for stored in b.store.objects.values())


def names(b: Bench, number: int) -> dict[str, int]:
    """Return the objects left of a message: names and sizes."""
    return {
        name.rpartition(f"/{key(number)}/")[2]: stored.ref.size
        for name, stored in b.store.objects.items()
        if key(number) in name
    }


def record(b: Bench, number: int) -> dict[str, object]:
    (stored,) = [one for name, one in b.store.objects.items() if name.endswith(f"{key(number)}/{keys.MANIFEST}")]
    left: dict[str, object] = json.loads(stored.content)
    return left


def assert_forgotten(b: Bench, number: int) -> None:
    """Only the tombstone and an empty object are left."""
    left = record(b, number)
    assert names(b, number) == {keys.MANIFEST: len(json.dumps(left, separators=(",", ":"))), keys.RAW: 0}
    counts = {"objects", "size", "updates"}
    assert set(left) == {"schema", "message_key", "mailbox", "purged", "purged_at", "reason", "rule", *counts}


def test_tombstone_is_left_without_content() -> None:
    with bench() as b:
        fill(b, 1, 2)
        before = [stored for name, stored in b.store.objects.items() if key(1) in name]
        report = purge(b, 1)
        assert_forgotten(b, 1)
        assert record(b, 1) == {
            "schema": "mailhaul.purged/1",
            "message_key": key(1),
            "mailbox": "a",
            "purged": True,
            "purged_at": b.clock.now().isoformat().replace("+00:00", "Z"),
            "objects": 4,
            "size": sum(stored.ref.size for stored in before),
            "updates": 0,
            "reason": "request",
            "rule": None,
        }
        assert (report.messages, report.objects) == (1, 4)
        assert report.size == sum(stored.ref.size for stored in before)
        assert set(names(b, 2)) == {"raw.eml", "message.json", "body.txt", "attachments/2-i.pdf"}


def test_purged_message_fetched_again_after_a_ledger_loss_is_not_stored_or_published() -> None:
    """The server still has it, and neither ledger nor checkpoint knows it."""
    with bench() as b:
        fill(b, 1, 2)
        purge(b, 1)
        b.ledger.lose()
        for name in [name for name in b.store.objects if "_state" in name]:
            del b.store.objects[name]
        b.sinks["main"].delivered.clear()
        b.everything()
        assert b.maildrops["a"].retrieved.count(b"u1") == 2
        assert {event["subject"] for event in b.published()} == {key(2)}
        assert_forgotten(b, 1)
        assert b.ledger.counts()["open"] == 0


def test_purged_message_under_a_new_unique_id_is_not_stored_or_published() -> None:
    with bench() as b:
        fill(b, 1)
        purge(b, 1)
        b.sinks["main"].delivered.clear()
        b.maildrops["a"].messages = {b"x1": secret("1")}
        b.everything()
        assert b.published() == []
        assert_forgotten(b, 1)


def test_rebuild_does_not_republish_a_purged_message() -> None:
    with bench() as b:
        fill(b, 1)
        purge(b, 1)
        b.ledger.lose()
        b.maildrops["a"].messages.clear()
        b.sinks["main"].delivered.clear()
        b.everything()
        assert b.published() == []
        assert b.ledger.counts() == {"open": 0, "failed": 0, "events": 0, "dead_letters": 0, "quarantined": 0}
        assert_forgotten(b, 1)


def test_purged_message_is_deleted_on_the_server_by_the_policy() -> None:
    with bench(mailbox("a", deletion=Deletion(100.0))) as b:
        fill(b, 1)
        purge(b, 1)
        b.clock.time += 100
        b.poll_all()
        assert b.maildrops["a"].messages == {}


def test_stored_header_of_an_oversize_message_is_purged() -> None:
    with bench(mailbox("a", limits=Limits(message_bytes=300))) as b:
        b.maildrops["a"].messages[b"u1"] = mail("big", "x" * 1000)
        b.everything()
        (name,) = b.keys(keys.TOP)
        purger = purge_of(b)
        found = list(purger.find([name.split("/")[-2][:6]], "a"))
        assert whole(purger.messages(found, never)).messages == 1
        assert b.store.objects[name].ref.size == 0
        assert b.keys(keys.RAW) == []
        assert not any(b"big" in content for content in contents(b))
        b.ledger.lose()
        b.sinks["main"].delivered.clear()
        b.everything()
        assert b.published() == []


def test_open_message_is_not_purged() -> None:
    with bench() as b:
        b.maildrops["a"].messages = {b"u1": secret("1")}
        b.poll_all()
        purger = purge_of(b)
        found = purger.find([key(1)])
        with pytest.raises(NotPurgedError, match="still being processed: 1"):
            purger.survey(found)
        report = purger.messages(found, never)
        assert isinstance(report.error, NotPurgedError)
        b.process_stage.run(never)
        b.relay_stage.run(never)
        assert len(b.published()) == 1
        assert set(names(b, 1)) == {"raw.eml", "message.json", "body.txt", "attachments/2-i.pdf"}


def fail_all(b: Bench, *numbers: int) -> None:
    """Messages that failed after the last try."""
    b.maildrops["a"].messages |= {b"u%d" % number: secret(str(number)) for number in numbers}
    b.poll_all()
    for _ in range(40):
        b.clock.time += 100_000
        for claim in b.ledger.messages.claim(10, 60):
            b.process_stage.handle(type(claim)(claim.id, claim.fence, 99, claim.late))
    assert len(b.ledger.failed_messages()) == len(numbers)


def test_failed_record_of_a_purged_message_is_removed() -> None:
    with bench() as b:
        fail_all(b, 1, 2)
        assert purge(b, 1).failed == 1
        assert [one.message.key for one in b.ledger.failed_messages()] == [key(2)]
        assert_forgotten(b, 1)
        b.ledger.lose()
        b.maildrops["a"].messages.clear()
        b.everything()
        assert {event["subject"] for event in b.published()} == {key(2)}


def test_events_of_a_purged_message_leave_the_stream_and_the_dead_letters() -> None:
    with bench() as b:
        b.refuse_everything()
        fill(b, 1, 2)
        assert b.ledger.counts() == {"open": 0, "failed": 0, "events": 2, "dead_letters": 2, "quarantined": 0}
        report = purge(b, 1)
        assert (report.rejected_events, report.unread_events) == (1, 1)
        assert b.ledger.counts() == {"open": 0, "failed": 0, "events": 1, "dead_letters": 1, "quarantined": 0}
        assert b.events.rejected_entries("main", [keys.event_id(EventType.RECEIVED, key(2))]) != [None]


@pytest.mark.parametrize("state", ["published", "rejected", "failed", "open"])
def test_purge_holds_although_the_ledger_lost_it(state: str) -> None:
    """Redis may lose its last second of writes: what the purge removed from the ledger is back then."""
    with bench() as b:
        if state == "rejected":
            b.refuse_everything()
        if state == "failed":
            fail_all(b, 1)
        elif state == "open":
            b.maildrops["a"].messages[b"u1"] = secret("1")
            b.poll_all()
        else:
            fill(b, 1)
        restore = b.ledger.snapshot()
        b.process_stage.run(never)
        purge(b, 1)
        restore()
        b.everything()
        assert b.ledger.counts() == {"open": 0, "failed": 0, "events": 0, "dead_letters": 0, "quarantined": 0}
        assert b.ledger.unprocessed("a") == set()
        assert_forgotten(b, 1)


class FailsAt:
    """A store that fails from its n-th change on."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, operation: str, key: str) -> None:
        if operation in ("put", "erase"):
            self.left -= 1
        if self.left <= 0:
            raise StoreUnavailableError("unavailable")


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("failed", [False, True])
def test_purge_interrupted_anywhere_is_completed_by_another(number: int, *, failed: bool) -> None:
    with bench() as b:
        (fail_all if failed else fill)(b, 1)
        expected = dict(record(b, 1)) if not failed else None
        objects = len(names(b, 1))
        size = sum(names(b, 1).values())
        found = purge_of(b).find([key(1)])
        b.store.fault = FailsAt(number)
        broken = purge_of(b).messages(found, never)
        b.store.fault = None
        if failed and number > 3:  # there are no more steps: two to put, one to erase in vain
            whole(broken)
        else:
            assert isinstance(broken.error, StoreUnavailableError)
        b.ledger.lose()
        b.sinks["main"].delivered.clear()
        if number > 1:  # it counts as purged from the first step on
            b.everything()
            assert b.published() == []
        again = purge(b, 1)
        assert (again.messages, again.purged_before) == ((1, 0) if number == 1 else (0, 1))
        assert_forgotten(b, 1)
        assert (record(b, 1)["objects"], record(b, 1)["size"]) == (objects, size)
        assert record(b, 1) != expected
        assert purge(b, 1).left_over == 0


def test_every_tombstone_is_small_enough_to_be_recognised() -> None:
    when = bench_time()
    left = Tombstone(message_key="0" * 32, mailbox="x" * 512, purged_at=when, objects=10**9, size=10**15)
    assert len(left.to_json()) <= MOST_BYTES


def bench_time() -> datetime:
    return datetime(2026, 11, 23, 8, 0, 0, 123456, tzinfo=UTC)


# --- which message ------------------------------------------------------------------------------------------------


def test_key_may_be_abbreviated_unambiguously() -> None:
    with bench() as b:
        fill(b, *range(20))
        purger = purge_of(b)
        wanted = key(3)
        (found,) = purger.find([wanted[:8]])
        assert (found.key, len(found.objects), str(found.day)) == (wanted, 4, "2026-11-23")
        assert [one.key for one in purger.find([wanted, wanted[:9]])] == [wanted]
        first = {key(number)[0] for number in range(20)}
        shared = next(digit for digit in first if sum(key(number)[0] == digit for number in range(20)) > 1)
        with pytest.raises(NotPurgedError, match=f"stored messages begin with {shared}"):
            purger.find([shared])


@pytest.mark.parametrize("wrong", ["", "xyz", "A1", "0" * 33, "../a"])
def test_invalid_key_is_refused(wrong: str) -> None:
    with bench() as b:
        fill(b, 1)
        with pytest.raises(NotPurgedError, match="is not a message key"):
            purge_of(b).find([wrong])


def test_unknown_key_is_reported() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        fill(b, 1)
        with pytest.raises(NotPurgedError, match=f"no stored message begins with {'f' * 32}"):
            purge_of(b).find(["f" * 32])
        with pytest.raises(NotPurgedError, match="no stored message begins with"):
            purge_of(b).find([key(1)], "b")
        assert purge_of(b).find([key(1)], "a")


def test_a_message_in_two_folders_of_its_mailbox_is_purged_in_both() -> None:
    """The mailbox's prefix was changed, and its mail was fetched again."""
    with bench() as b:
        fill(b, 1)
        b.mailboxes["a"] = mailbox("a", prefix="team/a")
        b.ledger.lose()
        b.everything()
        assert len(b.keys(keys.RAW)) == 2
        purger = purge_of(b)
        found = purger.find([key(1)])
        assert (purger.survey(found).messages, purger.survey(found).mailboxes) == (2, ("a",))
        assert whole(purger.messages(found, never)).messages == 2
        assert not any(SECRET in content for content in contents(b))


def test_mailbox_is_not_polled_during_a_purge_and_keeps_its_due_time() -> None:
    with bench() as b:
        fill(b, 1)
        purger = purge_of(b)
        found = purger.find([key(1)])
        claims: list[object] = []
        b.store.fault = lambda *_: claims.append(b.ledger.mailboxes.claim_one("a", 60))
        whole(purger.messages(found, never))
        assert claims
        assert set(claims) == {None}
        assert b.ledger.mailboxes.due_in("a") == 60


def test_a_mailbox_that_is_being_polled_is_waited_for() -> None:
    with bench() as b:
        fill(b, 1)
        purger = replace(purge_of(b), patience=30)
        found = purger.find([key(1)])
        claim = b.ledger.mailboxes.claim_one("a", 60)
        assert claim

        def end_of_the_poll() -> bool:
            b.ledger.mailboxes.release(claim, 60)
            return False

        assert whole(purger.messages(found, end_of_the_poll)).messages == 1


def test_purge_ends_if_a_mailbox_is_polled_for_too_long() -> None:
    with bench() as b:
        fill(b, 1)
        found = purge_of(b).find([key(1)])
        assert b.ledger.mailboxes.claim_one("a", 60)
        report = purge_of(b).messages(found, never)
        assert isinstance(report.error, MailboxBusyError)
        assert len(names(b, 1)) == 4


def test_waiting_for_a_poll_ends_on_stop() -> None:
    with bench() as b:
        fill(b, 1)
        purger = replace(purge_of(b), patience=30)
        assert b.ledger.mailboxes.claim_one("a", 60)
        assert whole(purger.messages(purger.find([key(1)]), lambda: True)).stopped


def test_mailbox_known_only_to_others_keeps_its_due_time() -> None:
    """The service has not yet read the configuration from which the mailbox was removed."""
    with bench() as b:
        fill(b, 1)
        del b.mailboxes["a"]
        assert whole(purge_of(b).mailbox("a", never)).messages == 1
        assert b.ledger.mailboxes.due_in("a") == 60


# --- a whole mailbox ----------------------------------------------------------------------------------------------


def test_a_paused_mailbox_is_purged_whole_and_stays_paused() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        fill(b, 1, 2, 3)
        fill(b, 7, box="b")
        checkpoint = b.store.objects["mail/a/_state/seen"]
        b.ledger.pause("a")
        heard: list[int] = []
        survey = purge_of(b).survey_mailbox("a")
        assert (survey.messages, survey.purged, survey.objects, survey.mailboxes) == (3, 0, 12, ("a",))
        assert (str(survey.first), str(survey.last)) == ("2026-11-23", "2026-11-23")
        report = whole(purge_of(b).mailbox("a", never, heard.append))
        assert (report.messages, report.objects, report.size) == (3, 12, survey.size)
        assert (report.unread_events, heard) == (3, [3])
        for number in (1, 2, 3):
            assert_forgotten(b, number)
        assert b.store.objects["mail/a/_state/seen"] == checkpoint
        assert len([name for name in b.store.objects if name.startswith("mail/b/")]) == 4
        assert b.ledger.is_paused("a")
        b.poll_all()
        assert "a" not in b.ledger.mailboxes.members()
        b.ledger.resume("a")
        b.ledger.mailboxes.add(["a"])
        b.everything()
        assert b.maildrops["a"].retrieved.count(b"u1") == 1, "what is on the server is not fetched again"


def test_a_mailbox_that_is_still_polled_is_not_purged() -> None:
    with bench() as b:
        fill(b, 1)
        with pytest.raises(NotPurgedError, match="mailhaul mailboxes pause a"):
            purge_of(b).survey_mailbox("a")
        report = purge_of(b).mailbox("a", never)
        assert isinstance(report.error, NotPurgedError)
        assert len(names(b, 1)) == 4


@pytest.mark.parametrize("how", ["disabled", "removed"])
def test_a_mailbox_that_is_disabled_or_not_configured_any_more_is_purged(how: str) -> None:
    with bench() as b:
        fill(b, 1)
        if how == "disabled":
            b.mailboxes["a"] = mailbox("a", enabled=False)
        else:
            del b.mailboxes["a"]
        b.ticker.tick(b.schedule())
        assert whole(purge_of(b).mailbox("a", never)).messages == 1
        assert_forgotten(b, 1)
        b.clock.time += 60
        b.poll_stage.run(never)
        for _ in range(REPAIR_EVERY):
            b.ticker.tick(b.schedule())
        assert "a" not in b.ledger.mailboxes.members()


def test_unknown_mailbox_is_reported() -> None:
    """A misspelt name is an error; a configured mailbox without mail is not."""
    with bench(mailbox("a", enabled=False)) as b:
        assert purge_of(b).survey_mailbox("a") == Survey()
        with pytest.raises(NotPurgedError, match="nothing is stored under nobody"):
            purge_of(b).survey_mailbox("nobody")


def test_the_folder_of_a_mailbox_is_not_taken_for_a_mailbox() -> None:
    with bench(mailbox("a", prefix="team")) as b:
        fill(b, 1)
        with pytest.raises(NotPurgedError, match="name that instead"):
            purge_of(b).survey_mailbox("team")
        with pytest.raises(NotPurgedError, match="name that instead"):
            purge_of(b).find([key(1)], "team")


def test_mail_stored_before_the_mailbox_had_a_prefix_is_purged_too() -> None:
    with bench() as b:
        fill(b, 1)
        b.mailboxes["a"] = mailbox("a", prefix="team/a")
        fill(b, 2)
        b.ledger.pause("a")
        assert whole(purge_of(b).mailbox("a", never)).messages == 2
        assert not any(SECRET in content for content in contents(b))


def test_purge_stops_between_batches_and_another_continues() -> None:
    with bench() as b:
        fill(b, *range(20))
        b.ledger.pause("a")
        done: list[int] = []
        report = whole(purge_of(b).mailbox("a", lambda: bool(done), done.append))
        assert (report.messages, report.unread_events, report.stopped) == (done[0], done[0], True)
        assert 0 < done[0] < 20
        survey = purge_of(b).survey_mailbox("a")
        assert (survey.messages, survey.purged) == (20 - done[0], done[0])
        report = whole(purge_of(b).mailbox("a", never))
        assert (report.messages, report.purged_before) == (20 - done[0], done[0])
        assert (report.left_over, report.unread_events, report.stopped) == (0, 20 - done[0], False)
        assert not any(SECRET in content for content in contents(b))


def test_a_purge_ends_when_its_claim_is_lost() -> None:
    """Another process may poll the mailbox then."""
    with bench() as b:
        fill(b, *range(20))
        b.ledger.pause("a")

        def lose_the_claim(_: int) -> None:
            b.ledger.mailboxes.drop(["a"])
            b.keeper.renew_all()

        report = purge_of(b).mailbox("a", never, lose_the_claim)
        assert isinstance(report.error, StaleClaimError)
        assert 0 < report.messages < 20


def test_store_error_ends_the_purge_and_the_report_shows_what_was_done() -> None:
    with bench() as b:
        fill(b, 1, 2)
        b.ledger.pause("a")
        held = sorted(b.keys("2-i.pdf"))[1]

        def fault(operation: str, name: str) -> None:
            if (operation, name) == ("erase", held):
                raise StoreRefusedError("locked")

        b.store.fault = fault
        report = purge_of(b).mailbox("a", never)
        assert isinstance(report.error, StoreRefusedError)
        assert report.messages == 1
        assert held in b.store.objects
        b.store.fault = None
        report = whole(purge_of(b).mailbox("a", never))
        assert (report.purged_before, report.left_over) == (2, 2)
        assert not any(SECRET in content for content in contents(b))


def test_processor_that_lost_its_claim_does_not_write_the_manifest() -> None:
    """It might be killed before it could remove the manifest of a purged message again."""
    late: list[str] = []
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = secret("1")
        b.poll_all()
        (claim,) = b.ledger.messages.claim(1, b.keeper.seconds)

        def stop(operation: str, name: str) -> None:
            if operation == "put" and name.endswith("body.txt"):
                b.store.fault = None
                b.clock.time += b.keeper.seconds + 1
                b.process_stage.run(never)
                b.store.fault = lambda operation, name: late.append(name) if operation == "put" else None

        b.store.fault = stop
        b.process_stage.handle(claim)
        assert not [name for name in late if name.endswith("message.json")]


@pytest.mark.parametrize("stopped_at", ["body.txt", "message.json"])
def test_processor_that_was_stopped_during_a_purge_leaves_nothing_of_the_message(stopped_at: str) -> None:
    """It stops before a write (SIGSTOP); another completes the message; it is purged; then the first continues."""
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = secret("1")
        b.poll_all()
        (claim,) = b.ledger.messages.claim(1, b.keeper.seconds)

        def stop(operation: str, name: str) -> None:
            if operation == "put" and name.endswith(stopped_at):
                b.store.fault = None
                b.clock.time += b.keeper.seconds + 1
                assert b.process_stage.run(never) == 1
                assert purge(b, 1).messages == 1

        b.store.fault = stop
        b.process_stage.handle(claim)
        assert names(b, 1).keys() == {"message.json", "raw.eml"}
        assert names(b, 1)["raw.eml"] == 0
        assert record(b, 1)["purged"] is True
        assert not [content for content in contents(b) if SECRET in content]


def test_purge_erases_what_a_stopped_processor_writes_at_the_same_time() -> None:
    with bench() as b:
        fill(b, 1)
        manifest = next(name for name in b.store.objects if name.endswith(f"{key(1)}/message.json"))
        written = b.store.objects[manifest]

        def overwrite(operation: str, name: str) -> None:
            if operation == "erase":
                b.store.fault = None
                b.store.objects[manifest] = written

        b.store.fault = overwrite
        purge(b, 1)
        assert record(b, 1)["purged"] is True
        assert not [content for content in contents(b) if SECRET in content]


@pytest.mark.parametrize("whole_mailbox", [False, True])
@pytest.mark.parametrize("batch", [1, 100])
def test_content_of_purged_messages_is_forgotten(
    batch: int, monkeypatch: pytest.MonkeyPatch, *, whole_mailbox: bool
) -> None:
    monkeypatch.setattr("ingest.admin.purge._FORGET_BATCH", batch)
    with bench(mailbox("a"), mailbox("b")) as b:
        fill(b, 1, 2)
        if whole_mailbox:
            b.ledger.pause("a")
            whole(purge_of(b).mailbox("a", never))
        else:
            purge(b, 1)
        fill(b, 1, 2, box="b")
        copies = {number: json.loads(manifest_of(b, number)) for number in (1, 2)}
    assert copies[1]["duplicate_of"] is None
    expected = None if whole_mailbox else {"message_key": key(2), "by": "content"}
    assert copies[2]["duplicate_of"] == expected


def manifest_of(b: Bench, number: int) -> bytes:
    """The manifest of a message in the mailbox `b`."""
    wanted = f"/{key(number, 'b')}/message.json"
    return next(stored.content for name, stored in b.store.objects.items() if name.endswith(wanted))
