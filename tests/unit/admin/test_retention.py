"""Retention: what is over is erased, by proof alone; what is held, locked or not proven stays as it is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from ingest.admin.erase import NotPurgedError
from ingest.admin.holds import Hold, HoldOrders
from ingest.admin.mailbox_claim import MailboxBusyError
from ingest.admin.retention import CLOCK_TOLERANCE, Retention
from ingest.domain import keys
from ingest.domain.mailbox import Deletion
from ingest.domain.message import FailedMessage, OpenMessage
from ingest.domain.retention import Period, RetentionRule
from ingest.domain.tombstone import MOST_BYTES, RawErased
from ingest.errors import ConfigError, StoreUnavailableError
from ingest.usecases.tombstones import read_raw_erased
from tests.support.bench import Bench, bench, mail, mailbox, message_key, never
from tests.support.clock import Clock
from tests.support.purging import purge_of

if TYPE_CHECKING:
    from ingest.admin.purge_report import PurgeReport

DAY = 86_400.0
SECRET = b"the words nobody may read again"
KEEP = RetentionRule("year", keep=Period(seconds=365 * DAY))
RAW = RetentionRule("quarter", raw=Period(seconds=90 * DAY))
WHOLE = {"raw.eml", "message.json", "body.txt", "attachments/2-i.pdf"}


def raw_of(number: int) -> bytes:
    return mail(str(number), SECRET.decode(), SECRET * 3)


def key(number: int, box: str = "a") -> str:
    return message_key(box, raw_of(number))


def retention(b: Bench, *rules: RetentionRule) -> Retention:
    return Retention(b.store, purge_of(b), rules or (KEEP,), b.clock.now)


def run(b: Bench, *rules: RetentionRule) -> PurgeReport:
    worker = retention(b, *rules)
    report = worker.run(worker.agreed_time(), never)
    if report.error is not None:
        raise report.error
    return report


def outcomes(b: Bench, *rules: RetentionRule) -> dict[str, int]:
    worker = retention(b, *rules)
    survey = worker.survey(worker.agreed_time())
    return {f"{row.outcome} {row.mailbox} {row.rule}".strip(): row.messages for row in survey.rows.values()}


def fill(b: Bench, *numbers: int, box: str = "a") -> None:
    b.maildrops[box].messages |= {b"u%d" % number: raw_of(number) for number in numbers}
    b.everything()


def names(b: Bench, number: int) -> dict[str, int]:
    of = f"/{key(number)}/"
    return {name.rpartition(of)[2]: found.ref.size for name, found in b.store.objects.items() if of in name}


def document(b: Bench, number: int, name: str) -> dict[str, Any]:
    (found,) = [one for at, one in b.store.objects.items() if at.endswith(f"/{key(number)}/{name}")]
    content: dict[str, Any] = json.loads(found.content)
    return content


def full_key(b: Bench, number: int, name: str) -> str:
    (found,) = [at for at in b.store.objects if at.endswith(f"/{key(number)}/{name}")]
    return found


def assert_whole(b: Bench, *numbers: int) -> None:
    for number in numbers:
        assert set(names(b, number)) == WHOLE
        assert names(b, number)["raw.eml"] > 0


def assert_purged(b: Bench, number: int, rule: str = "year") -> None:
    assert set(names(b, number)) == {"raw.eml", "message.json"}
    assert names(b, number)["raw.eml"] == 0
    left = document(b, number, keys.MANIFEST)
    assert (left["reason"], left["rule"], left["mailbox"]) == ("retention", rule, "a")


def _refuse(condition: bool) -> None:  # noqa: FBT001 - one condition
    if condition:
        raise StoreUnavailableError("unavailable")


# --- whole messages ----------------------------------------------------------------------------------------------


def test_mailbox_that_is_polled_for_long_is_left_out_and_the_others_are_done() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        fill(b, 1)
        fill(b, 2, box="b")
        b.clock.time += 365 * DAY
        polled = b.ledger.mailboxes.claim_one("a", 60)
        assert polled is not None
        report = retention(b).run(b.clock.now(), never)
        assert (report.messages, isinstance(report.error, MailboxBusyError)) == (1, True)
        b.ledger.mailboxes.release(polled, 60)
        assert run(b).messages == 1


def test_message_is_erased_once_its_time_is_over_and_never_before() -> None:
    """It counts from when the store wrote it; the dates in the mail are years older."""
    with bench() as b:
        fill(b, 1)
        b.clock.time += 364 * DAY
        fill(b, 2)
        assert outcomes(b) == {}
        assert run(b).messages == 0
        assert_whole(b, 1, 2)
        b.clock.time += DAY
        assert outcomes(b) == {"message a year": 1}
        report = run(b)
        assert (report.messages, report.objects, report.error) == (1, 4, None)
        assert_purged(b, 1)
        assert_whole(b, 2)
        assert run(b).done == 0


def test_erased_message_is_not_fetched_again_and_its_event_is_gone() -> None:
    with bench() as b:
        b.refuse_everything()
        fill(b, 1)
        b.clock.time += 400 * DAY
        report = run(b)
        assert (report.unread_events, report.rejected_events) == (1, 1)
        b.ledger.lose()
        for name in [name for name in b.store.objects if "_state" in name]:
            del b.store.objects[name]
        b.everything()
        assert b.published() == []
        assert_purged(b, 1)


def test_only_mailboxes_and_labels_of_a_rule_are_erased() -> None:
    rules = (
        RetentionRule("a", mailboxes=frozenset({"a"}), labels=frozenset({"tenant=de"}), keep=Period(seconds=DAY)),
        RetentionRule("x", labels=frozenset({"nobody-has-it"}), keep=Period(seconds=DAY)),
    )
    with bench(mailbox("a", labels={"tenant": "de"}), mailbox("b", labels={"tenant": "de"}), mailbox("c")) as b:
        for box in "abc":
            fill(b, 1, box=box)
        b.clock.time += 400 * DAY
        assert outcomes(b, *rules) == {"message a a": 1}
        assert run(b, *rules).messages == 1
        assert outcomes(b, RetentionRule("b", mailboxes=frozenset({"b"}), keep=Period(seconds=DAY))) == {
            "message b b": 1
        }


def test_mailbox_that_was_removed_keeps_its_rules() -> None:
    """Its id is in the manifest, also if its folder has another name."""
    with bench(mailbox("a", prefix="team/a")) as b:
        fill(b, 1)
        b.mailboxes.clear()
        b.clock.time += 400 * DAY
        rule = RetentionRule("year", mailboxes=frozenset({"a"}), keep=Period(seconds=DAY))
        assert run(b, rule).messages == 1
        assert names(b, 1)["raw.eml"] == 0


def test_nothing_is_erased_while_clocks_disagree() -> None:
    with bench() as b:
        fill(b, 1)
        b.clock.time += 400 * DAY
        worker = retention(b)
        now = b.clock.now()
        for ahead in (-2 * CLOCK_TOLERANCE, 2 * CLOCK_TOLERANCE, 400 * DAY):
            clock = Clock()
            clock.time = now.timestamp() + ahead
            with pytest.raises(NotPurgedError, match="the store's clock shows"):
                replace(worker, now=clock.now).agreed_time()
        assert worker.agreed_time() == now
        assert not [name for name in b.store.objects if "_probe" in name]


def test_message_that_is_not_processed_or_being_processed_stays() -> None:
    with bench() as b:
        b.maildrops["a"].messages = {b"u1": raw_of(1)}
        b.poll_all()
        b.clock.time += 400 * DAY
        assert outcomes(b) == {"unprocessed a": 1}
        assert run(b).done == 0
        b.process_stage.run(never)
        assert_whole(b, 1)


@pytest.mark.parametrize("rule", [KEEP, RAW])
def test_message_that_is_being_updated_stays_and_holds_up_no_other(
    rule: RetentionRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench() as b:
        fill(b, 1, 2)
        b.clock.time += 400 * DAY
        is_open = {key(1)}
        monkeypatch.setattr(b.ledger, "open_messages", lambda keys: [one if one in is_open else None for one in keys])
        report = run(b, rule)
        assert report.messages + report.raw == 1
        assert_whole(b, 1)
        is_open.clear()
        assert run(b, rule).done == 1


def test_manifest_of_another_message_proves_nothing() -> None:
    with bench() as b:
        fill(b, 1)
        b.clock.time += 400 * DAY
        manifest = full_key(b, 1, keys.MANIFEST)
        content = b.store.objects[manifest].content
        for wrong in (content.replace(key(1).encode(), b"0" * 32), content[:-5], b"{}"):
            b.store.alter(manifest, wrong)
            assert outcomes(b) == {"unprocessed a": 1}  # it stays, and that is reported
            assert run(b).done == 0
            assert names(b, 1)["raw.eml"] > 0


def test_interrupted_erasure_is_completed_by_the_next_run() -> None:
    for number in range(1, 6):
        with bench() as b:
            fill(b, 1)
            b.clock.time += 400 * DAY
            worker = retention(b)
            now, left = worker.agreed_time(), iter(range(number))

            def fault(operation: str, _: str, left: Any = left) -> None:
                if operation in ("put", "erase") and next(left, None) is None:
                    raise StoreUnavailableError("unavailable")

            b.store.fault = fault
            worker.run(now, never)
            b.store.fault = None
            run(b)
            assert_purged(b, 1)


def test_killed_run_has_recorded_what_it_erased() -> None:
    """The catalog drops a message by this record; nothing in the store shows the next run that it is missing."""
    with bench() as b:
        fill(b, *range(20))
        b.clock.time += 400 * DAY
        worker, erase = retention(b), b.events.erase

        def killed(*_: Any, **__: Any) -> int:
            raise KeyboardInterrupt

        b.events.erase = killed  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            worker.run(worker.agreed_time(), never)
        b.events.erase = erase  # type: ignore[method-assign]
        assert {one for _, one in b.events.purged("", 100)} == {key(number) for number in range(20)}


def test_copy_in_a_former_folder_takes_no_failed_record_of_the_other_copy_along() -> None:
    with bench(mailbox("a", prefix="x")) as b:
        fill(b, 1)
        b.clock.time += 200 * DAY
        b.mailboxes["a"] = mailbox("a", prefix="y")
        folder = full_key(b, 1, keys.RAW).rpartition("/")[0].replace("/x/", "/y/")
        source = b.store.objects[full_key(b, 1, keys.RAW)].ref
        message = OpenMessage(
            key=key(1),
            mailbox="a",
            unique_id="u1",
            folder=folder,
            kind="whole",
            source=source,
            first_seen=b.clock.now(),
        )
        failed = FailedMessage(message=message, reason="bug", tries=8, failed_at=b.clock.now())
        b.ledger._failed[key(1)] = failed
        b.clock.time += 200 * DAY
        report = run(b)
        assert (report.messages, report.failed) == (1, 0)
        assert b.ledger.failed_messages() == [failed]


@pytest.mark.parametrize("how", ["retention", "request"])
def test_mailbox_of_a_former_folder_is_claimed_while_its_messages_are_erased(how: str) -> None:
    """Otherwise they could be updated meanwhile, and the event of an erased message be published."""
    with bench(mailbox("a", prefix="x")) as b:
        fill(b, 1)
        b.mailboxes["a"] = mailbox("a", prefix="y")
        b.clock.time += 400 * DAY
        worker, purge, claims = retention(b), purge_of(b), []
        now = worker.agreed_time()

        def fault(operation: str, name: str) -> None:
            if operation == "put" and name.endswith(keys.MANIFEST):
                claims.append(b.ledger.mailboxes.claim_one("a", 60.0))

        b.store.fault = fault
        report = worker.run(now, never) if how == "retention" else purge.messages(purge.find([key(1)]), never)
        assert (report.messages, claims) == (1, [None])


# --- raw mail alone ----------------------------------------------------------------------------------------------


def test_raw_mail_alone_is_erased_and_everything_else_stays() -> None:
    with bench() as b:
        fill(b, 1)
        stored_at, size = b.clock.time, names(b, 1)["raw.eml"]
        before = {name: found for name, found in b.store.objects.items() if not name.endswith(keys.RAW)}
        b.clock.time += 90 * DAY
        assert outcomes(b, RAW) == {"raw a quarter": 1}
        report = run(b, RAW)
        assert (report.raw, report.messages, report.size) == (1, 0, size)
        assert set(names(b, 1)) == WHOLE | {keys.RAW_ERASED}
        assert names(b, 1)["raw.eml"] == 0
        assert all(b.store.objects[name] == found for name, found in before.items())
        left = RawErased.model_validate(document(b, 1, keys.RAW_ERASED))
        assert (left.message_key, left.mailbox, left.rule, left.size) == (key(1), "a", "quarter", size)
        assert (left.stored_at.timestamp(), left.complete) == (stored_at, True)
        assert left.sha256 == document(b, 1, keys.MANIFEST)["raw"]["sha256"]
        assert run(b, RAW).done == 0
        # The whole message still counts from when it was stored, not from when its raw mail was erased.
        b.clock.time += 275 * DAY
        assert run(b, KEEP).messages == 1
        assert_purged(b, 1)


def test_message_without_raw_mail_is_neither_damaged_nor_stored_again() -> None:
    """The ledger and the checkpoint are lost, and the server still has it."""
    with bench(mailbox("a", deletion=Deletion(100.0))) as b:
        fill(b, 1)
        b.clock.time += 90 * DAY
        run(b, RAW)
        b.ledger.lose()
        for name in [name for name in b.store.objects if "_state" in name]:
            del b.store.objects[name]
        b.sinks["main"].delivered.clear()
        b.everything()
        assert b.maildrops["a"].retrieved.count(b"u1") == 2
        assert b.ledger.counts()["open"] == b.ledger.counts()["failed"] == 0
        assert [event["subject"] for event in b.published()] == [key(1)]
        assert names(b, 1)["raw.eml"] == 0
        b.clock.time += 100
        b.poll_all()
        assert b.maildrops["a"].messages == {}  # it was stored, and erased on purpose


def test_empty_raw_mail_without_a_record_is_damage() -> None:
    with bench(mailbox("a", deletion=Deletion(100.0))) as b:
        fill(b, 1)
        b.store.alter(full_key(b, 1, keys.RAW), b"")
        b.clock.time += 400 * DAY
        b.poll_all()
        assert b.maildrops["a"].messages
        assert outcomes(b, RAW, KEEP) == {}
        b.ledger.lose()
        b.everything()
        assert b.maildrops["a"].messages


@pytest.mark.parametrize("harm", ["partial", "missing", "cut"])
def test_raw_mail_stays_if_not_everything_in_it_is_stored_elsewhere(harm: str) -> None:
    with bench() as b:
        fill(b, 1)
        b.clock.time += 90 * DAY
        if harm == "partial":
            manifest = full_key(b, 1, keys.MANIFEST)
            content = b.store.objects[manifest].content
            b.store.alter(manifest, content.replace(b'"status":"complete"', b'"status":"partial"'))
        elif harm == "missing":
            del b.store.objects[full_key(b, 1, "attachments/2-i.pdf")]
        else:
            b.store.alter(full_key(b, 1, "body.txt"), b"")
        assert outcomes(b, RAW) == {"unread a quarter": 1}
        assert run(b, RAW).done == 0
        assert names(b, 1)["raw.eml"] > 0


@pytest.mark.parametrize("name", [keys.RAW, "body.txt", "attachments/2-i.pdf"])
@pytest.mark.parametrize("resumed", [False, True])
def test_raw_mail_stays_if_the_store_returns_other_bytes_than_the_manifest_says(name: str, *, resumed: bool) -> None:
    """The listing shows every object with its size. A run that was interrupted before it erased proves nothing."""
    with bench() as b:
        fill(b, 1, 2)
        b.clock.time += 90 * DAY
        if resumed:
            worker = retention(b, RAW)
            now = worker.agreed_time()
            b.store.fault = lambda operation, key: _refuse(operation == "put" and key.endswith(keys.RAW))
            worker.run(now, never)
            b.store.fault = None
        at = full_key(b, 1, name)
        content = b.store.objects[at].content
        b.store.alter(at, content[:-1] + b"?")
        report = run(b, RAW)
        assert (report.raw, report.unproven) == (1, 1)
        assert b.store.objects[at].content == content[:-1] + b"?"
        assert names(b, 1)["raw.eml"] > 0
        b.store.alter(at, content)
        assert run(b, RAW).raw == 1


def test_manifest_that_was_replaced_while_objects_were_read_back_proves_nothing() -> None:
    with bench() as b:
        fill(b, 1)
        b.clock.time += 90 * DAY
        worker, manifest = retention(b, RAW), full_key(b, 1, keys.MANIFEST)
        now = worker.agreed_time()

        def fault(operation: str, name: str) -> None:
            if operation == "get" and name.endswith("i.pdf"):
                b.store.fault = None
                content = b.store.objects[manifest].content
                b.store.alter(manifest, content.replace(b'"status":"complete"', b'"status":"partial"'))

        b.store.fault = fault
        assert worker.run(now, never).unproven == 1
        assert names(b, 1)["raw.eml"] > 0


def test_failed_message_keeps_the_raw_mail_that_a_retry_needs_and_loses_its_record_with_the_message() -> None:
    """Its manifest was written, and the step after that failed."""
    with bench() as b:
        fill(b, 1)
        message = OpenMessage(
            key=key(1),
            mailbox="a",
            unique_id="u1",
            folder=full_key(b, 1, keys.RAW).rpartition("/")[0],
            kind="whole",
            source=b.store.objects[full_key(b, 1, keys.RAW)].ref,
            first_seen=b.clock.now(),
        )
        failed = FailedMessage(message=message, reason="bug", tries=8, failed_at=b.clock.now())
        b.ledger._failed[key(1)] = failed
        b.clock.time += 90 * DAY
        assert run(b, RAW).done == 0
        assert_whole(b, 1)
        b.clock.time += 365 * DAY
        assert run(b, KEEP).failed == 1
        assert b.ledger.failed_messages() == []


def test_record_of_another_message_proves_no_erasure() -> None:
    with bench() as b:
        fill(b, 1, 2)
        b.clock.time += 90 * DAY
        run(b, RAW)
        folder = full_key(b, 2, keys.MANIFEST).rpartition("/")[0]
        assert read_raw_erased(b.store, folder) is not None
        b.store.alter(full_key(b, 2, keys.RAW_ERASED), b.store.objects[full_key(b, 1, keys.RAW_ERASED)].content)
        assert read_raw_erased(b.store, folder) is None


@pytest.mark.parametrize("number", range(5))
def test_interrupted_erasure_of_raw_mail_is_completed_by_the_next_run(number: int) -> None:
    with bench() as b:
        fill(b, 1)
        stored_at = b.clock.time
        b.clock.time += 90 * DAY
        worker = retention(b, RAW)
        now, left = worker.agreed_time(), iter(range(number))

        def fault(operation: str, _: str) -> None:
            if operation in ("put", "erase") and next(left, None) is None:
                raise StoreUnavailableError("unavailable")

        b.store.fault = fault
        broken = worker.run(now, never)
        b.store.fault = None
        assert (broken.error is None) == (number == 4)  # record, empty object, versions, record
        b.clock.time += DAY
        assert run(b, RAW).raw == (1 if number < 4 else 0)
        left_over = RawErased.model_validate(document(b, 1, keys.RAW_ERASED))
        assert (left_over.stored_at.timestamp(), left_over.complete) == (stored_at, True)
        assert run(b, RAW).done == 0


def test_every_record_of_erased_raw_mail_can_be_read_again() -> None:
    when = datetime(2026, 11, 23, 8, 0, 0, 123456, tzinfo=UTC)
    left = RawErased(
        message_key="0" * 32,
        mailbox="x" * 64,
        erased_at=when,
        rule="y" * 64,
        stored_at=when,
        size=10**15,
        sha256="0" * 64,
    )
    assert len(left.to_json()) <= MOST_BYTES


# --- holds and locks ---------------------------------------------------------------------------------------------


def orders(b: Bench) -> HoldOrders:
    return HoldOrders(purge_of(b), b.clock.now)


def test_hold_on_a_mailbox_that_is_neither_configured_nor_stored_is_refused() -> None:
    with bench(mailbox("invoices-de")) as b:
        with pytest.raises(ConfigError, match=r"no mailbox invoice-de .*did you mean invoices-de"):
            orders(b).hold_mailbox("invoice-de", None)
        assert orders(b).all() == []
        assert orders(b).hold_mailbox("invoices-de", None), "although nothing of it is stored yet"


@pytest.mark.parametrize("kind", ["message", "mailbox"])
@pytest.mark.parametrize("rule", [KEEP, RAW])
def test_hold_wins_over_every_rule_and_every_request(kind: str, rule: RetentionRule) -> None:
    with bench() as b:
        fill(b, 1, 2)
        b.clock.time += 400 * DAY
        if kind == "message":
            orders(b).hold_messages([key(1)[:10]], "case 12")
        else:
            orders(b).hold_mailbox("a", None)
        held = 1 if kind == "message" else 2
        assert outcomes(b, rule)[f"held a {rule.name}"] == held
        report = run(b, rule)
        assert (report.held, report.messages + report.raw) == (held, 2 - held)
        assert_whole(b, 1)

        found = purge_of(b).find([key(1)])
        assert (purge_of(b).survey(found).messages, purge_of(b).survey(found).held) == (0, 1)
        assert purge_of(b).messages(found, never).held == 1
        b.ledger.pause("a")
        report = purge_of(b).mailbox("a", never)
        assert report.held == held
        assert_whole(b, 1)

        (line,) = orders(b).release_messages([key(1)]) if kind == "message" else orders(b).release_mailbox("a")
        assert line.endswith("is released")
        assert purge_of(b).messages(found, never).messages == 1


def test_events_of_held_messages_stay_when_their_mailbox_is_purged() -> None:
    with bench() as b:
        b.refuse_everything()
        fill(b, 1, 2)
        orders(b).hold_messages([key(1)], None)
        b.ledger.pause("a")
        report = purge_of(b).mailbox("a", never)
        assert (report.messages, report.held, report.unread_events) == (1, 1, 1)
        assert b.ledger.counts()["events"] == 1


def test_hold_that_is_added_during_a_run_is_heeded() -> None:
    with bench() as b:
        fill(b, *range(20))
        b.clock.time += 400 * DAY
        holds = purge_of(b).eraser.holds
        worker = retention(b)

        def fault(operation: str, name: str) -> None:
            if operation == "erase":
                b.store.fault = None
                holds.add(Hold(kind="mailbox", name="a"))

        now = worker.agreed_time()
        b.store.fault = fault
        report = worker.run(now, never)
        assert 0 < report.messages < 20
        assert report.held == 20 - report.messages


@pytest.mark.parametrize("kind", ["message", "mailbox"])
@pytest.mark.parametrize("prefix", [None, "team/a"])
def test_hold_does_not_succeed_while_an_erasure_that_has_not_seen_it_goes_on(kind: str, prefix: str | None) -> None:
    """The mailbox may have another folder by now."""
    with bench(mailbox("a", prefix=prefix)) as b:
        fill(b, 1)
        b.mailboxes["a"] = mailbox("a")
        b.clock.time += 400 * DAY
        worker, errors = retention(b), []
        now = worker.agreed_time()

        def hold() -> list[str]:
            order = replace(orders(b), patience=0.0)
            return order.hold_messages([key(1)], None) if kind == "message" else order.hold_mailbox("a", None)

        def fault(operation: str, name: str) -> None:
            if operation == "put" and name.endswith(keys.MANIFEST):
                b.store.fault = None
                with pytest.raises(NotPurgedError, match="may not be over") as refused:
                    hold()
                errors.append(refused)

        b.store.fault = fault
        assert worker.run(now, never).messages == len(errors) == 1
        if kind == "message":
            with pytest.raises(NotPurgedError, match="was purged already"):
                hold()


def test_hold_on_a_mailbox_covers_a_former_folder_that_is_another_mailboxs_now() -> None:
    with bench(mailbox("a", prefix="x"), mailbox("b", prefix="y")) as b:
        fill(b, 1)
        b.mailboxes.update(a=mailbox("a", prefix="z"), b=mailbox("b", prefix="x"))
        orders(b).hold_mailbox("a", None)
        b.clock.time += 400 * DAY
        assert outcomes(b) == {"held a year": 1}
        assert run(b).held == 1
        assert purge_of(b).messages(purge_of(b).find([key(1)]), never).held == 1
        assert_whole(b, 1)


def test_hold_on_a_mailbox_outlives_its_configuration_and_its_prefix() -> None:
    with bench(mailbox("a", prefix="team/a")) as b:
        fill(b, 1)
        orders(b).hold_mailbox("a", None)
        b.mailboxes["a"] = mailbox("a", prefix="team/new")
        fill(b, 2)
        b.mailboxes.clear()
        b.clock.time += 400 * DAY
        report = run(b)
        assert (report.messages, report.held) == (0, 2)


@pytest.mark.parametrize("rule", [KEEP, RAW])
def test_interrupted_erasure_is_not_resumed_under_a_hold_that_was_added_since(rule: RetentionRule) -> None:
    with bench() as b:
        fill(b, 1)
        b.clock.time += 400 * DAY
        worker = retention(b, rule)
        now = worker.agreed_time()
        b.store.fault = lambda operation, name: _refuse(operation == "put" and name.endswith(keys.RAW))
        assert isinstance(worker.run(now, never).error, StoreUnavailableError)
        b.store.fault = None
        orders(b).hold_mailbox("a", None)
        assert run(b, rule).held == 1
        assert names(b, 1)["raw.eml"] > 0
        assert "body.txt" in names(b, 1)
        orders(b).release_mailbox("a")
        assert run(b, rule).done == 1
        assert names(b, 1)["raw.eml"] == 0


@pytest.mark.parametrize("kind", ["message", "mailbox"])
def test_hold_that_a_listing_does_not_show_yet_holds(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with bench() as b:
        fill(b, 1)
        b.clock.time += 400 * DAY
        orders(b).hold_messages([key(1)], None) if kind == "message" else orders(b).hold_mailbox("a", None)
        stored = b.store.stored
        monkeypatch.setattr(b.store, "stored", lambda at: (one for one in stored(at) if "/holds/" not in one.key))
        assert outcomes(b) == {"message a year": 1}
        assert run(b).held == 1
        assert_whole(b, 1)


def test_hold_that_cannot_be_read_still_holds() -> None:
    with bench() as b:
        fill(b, 1)
        orders(b).hold_messages([key(1)], "case")
        (name,) = [name for name in b.store.objects if "/holds/" in name]
        b.store.alter(name, b"damaged")
        b.clock.time += 400 * DAY
        assert run(b).held == 1
        assert [(hold.kind, hold.name) for hold in orders(b).all()] == [("message", key(1))]


def test_nothing_is_erased_while_holds_cannot_be_read() -> None:
    with bench() as b:
        fill(b, 1)
        b.clock.time += 400 * DAY
        worker = retention(b)
        now = worker.agreed_time()

        def fault(_: str, name: str) -> None:
            if "/holds/" in name:
                raise StoreUnavailableError("unavailable")

        b.store.fault = fault
        assert isinstance(worker.run(now, never).error, StoreUnavailableError)
        b.store.fault = None
        assert_whole(b, 1)


def test_hold_on_a_purged_message_is_an_error() -> None:
    with bench() as b:
        fill(b, 1)
        purge_of(b).messages(purge_of(b).find([key(1)]), never)
        with pytest.raises(NotPurgedError, match="was purged already"):
            orders(b).hold_messages([key(1)], None)


@pytest.mark.parametrize(("until", "held"), [(1000 * DAY, False), (None, True)])
def test_locked_message_stays_whole_and_the_end_of_the_lock_is_reported(until: float | None, *, held: bool) -> None:
    with bench() as b:
        fill(b, 1, 2)
        end = None if until is None else b.clock.time + until
        b.store.locks[full_key(b, 1, "attachments/2-i.pdf")] = end
        b.clock.time += 400 * DAY
        assert outcomes(b) == {"message a year": 1, f"{'held' if held else 'locked'} a year": 1}
        report = run(b)
        assert (report.messages, report.held, report.locked) == (1, int(held), int(not held))
        assert report.locked_until == (None if end is None else datetime.fromtimestamp(end, UTC))
        assert_whole(b, 1)
        assert purge_of(b).messages(purge_of(b).find([key(1)]), never).messages == 0
        assert_whole(b, 1)
        if end is not None:
            b.clock.time = end
            assert run(b).messages == 1


def test_lock_on_a_document_does_not_keep_the_raw_mail() -> None:
    with bench() as b:
        fill(b, 1, 2)
        b.store.locks[full_key(b, 1, "attachments/2-i.pdf")] = None
        b.store.locks[full_key(b, 2, keys.RAW)] = b.clock.time + 100 * DAY
        b.clock.time += 90 * DAY
        report = run(b, RAW)
        assert (report.raw, report.locked) == (1, 1)
        assert names(b, 1)["raw.eml"] == 0
        assert names(b, 2)["raw.eml"] > 0
