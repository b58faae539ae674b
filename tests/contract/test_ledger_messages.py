"""Seen sets, open and failed messages, status and schedule digest, on the twin and on Valkey."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ingest.domain.events import Event, EventType
from ingest.domain.keys import event_id, listing_digest
from ingest.domain.message import FailedMessage, OpenMessage
from ingest.domain.record import ObjectRef
from ingest.domain.seen import SeenRecord, StoredAt
from ingest.errors import StaleClaimError
from ingest.ports.claims import Renewal
from ingest.ports.content import ContentLimits
from ingest.ports.schedule import Precedence
from ingest.ports.seen import NEVER_DELETED, Registration, Seen
from ingest.ports.status import MailboxStatus
from ingest.ports.troubled import Trouble, TroubledMessage

if TYPE_CHECKING:
    from ingest.ports.claims import Claim
    from tests.support.valkey import LedgerBench

BOX = "invoices-de"
LONG, SHORT = 600.0, 0.05
FIRST_SEEN = datetime(2026, 3, 1, 8, 30, 0, 125_000, tzinfo=UTC)


def message(number: int, first_seen: datetime = FIRST_SEEN) -> OpenMessage:
    key = f"{number:032x}"
    source = ObjectRef(bucket="mail", key=f"{BOX}/{key}/raw.eml", size=10, sha256="0" * 64)
    return OpenMessage(
        key=key,
        mailbox=BOX,
        unique_id=f"uid-{number}",
        folder=f"{BOX}/{key}",
        source=source,
        first_seen=first_seen,
        labels={"tenant": "dé"},
    )


def digest(number: int) -> bytes:
    return listing_digest(b"maildrop", b"uid-%d" % number, 500)


def registration(number: int) -> Registration:
    return Registration(digest(number), message(number))


def event(number: int, event_type: str = EventType.RECEIVED) -> Event:
    return Event(event_id(event_type, message(number).key), event_type, BOX, f'{{"n":"é{number}"}}'.encode())


def claim_box(bench: LedgerBench, lease: float = LONG) -> Claim:
    bench.ledger.mailboxes.add([BOX])
    (claim,) = bench.ledger.mailboxes.claim(1, lease)
    return claim


def claim_message(bench: LedgerBench, lease: float = LONG) -> Claim:
    (claim,) = bench.ledger.messages.claim(1, lease)
    return claim


def failed(number: int, failed_at: datetime = FIRST_SEEN) -> FailedMessage:
    return FailedMessage(message=message(number), reason="message", tries=6, failed_at=failed_at)


@pytest.fixture
def stale(bench: LedgerBench) -> Claim:
    """An expired claim on the mailbox, which has been claimed again since."""
    old = claim_box(bench, SHORT)
    bench.pass_time(SHORT)
    claim_box(bench)
    return old


def test_registered_messages_are_seen_open_unprocessed_and_due(bench: LedgerBench) -> None:
    before = int(bench.now())
    assert bench.ledger.register(claim_box(bench), [registration(1), registration(2)]) == 2
    seen = bench.ledger.seen(BOX).records
    assert seen.keys() == {digest(1), digest(2)}
    assert all(before <= record.second <= bench.now() for record in seen.values())
    assert bench.ledger.unprocessed(BOX) == {digest(1), digest(2)}
    assert bench.ledger.messages.backlog().due == 2
    assert bench.ledger.open_messages([message(2).key, "no such key", message(1).key]) == [
        message(2),
        None,
        message(1),
    ]
    assert bench.ledger.counts() == {"open": 2, "failed": 0, "events": 0, "dead_letters": 0, "quarantined": 0}


def test_asking_for_no_open_messages_returns_none(bench: LedgerBench) -> None:
    assert bench.ledger.open_messages([]) == []


def test_message_that_was_processed_before_is_only_seen(bench: LedgerBench) -> None:
    assert bench.ledger.register(claim_box(bench), [Registration(digest(1), None)]) == 0
    assert bench.ledger.seen(BOX).records.keys() == {digest(1)}
    assert bench.ledger.unprocessed(BOX) == set()
    assert bench.ledger.messages.members() == set()


def test_mailbox_is_known_only_after_a_restored_checkpoint(bench: LedgerBench) -> None:
    claim = claim_box(bench)
    assert not bench.ledger.seen(BOX).known
    bench.ledger.restore_seen(claim, {}, bench.ledger.incarnation())
    assert bench.ledger.seen(BOX) == Seen({}, known=True)
    bench.lose()
    assert not bench.ledger.seen(BOX).known
    bench.ledger.register(claim_box(bench), [registration(1)])
    assert not bench.ledger.seen(BOX).known, "a rebuild registers messages too, and may end before it is complete"


def test_empty_seen_set_is_known(bench: LedgerBench) -> None:
    claim = claim_box(bench)
    bench.ledger.restore_seen(claim, {}, bench.ledger.incarnation())
    bench.ledger.register(claim, [registration(1)])
    assert bench.ledger.compact(claim, []) == 1
    assert bench.ledger.seen(BOX).known


def test_changes_count_only_changes_of_the_processed_messages(bench: LedgerBench) -> None:
    """They decide when a checkpoint is due."""
    claim = claim_box(bench)

    def changes() -> int:
        return bench.ledger.seen(BOX).changes

    bench.ledger.register(claim, [registration(1), registration(2)])
    assert changes() == 0, "open, so not done"
    (first, second) = bench.ledger.messages.claim(2, LONG)
    bench.ledger.complete(first, message(int(first.id, 16)), event(1))
    assert changes() == 1
    failed = FailedMessage(message=message(int(second.id, 16)), reason="r", tries=6, failed_at=FIRST_SEEN)
    bench.ledger.fail(second, failed, event(2, EventType.FAILED))
    assert changes() == 1, "failed, so not done"
    bench.ledger.register(claim, [Registration(digest(3), None)])
    assert changes() == 2
    bench.ledger.compact(claim, [digest(3)])
    assert changes() == 3
    bench.ledger.restore_seen(claim, {digest(4): SeenRecord(1)}, bench.ledger.incarnation())
    assert changes() == 3, "it comes from the checkpoint"


def test_message_that_is_not_to_be_published_is_closed_without_an_event(bench: LedgerBench) -> None:
    claim = claim_box(bench)
    bench.ledger.register(claim, [registration(1), registration(2)])
    (first, second) = bench.ledger.messages.claim(2, LONG)
    bench.ledger.complete(first, message(int(first.id, 16)), None)
    failed = FailedMessage(message=message(int(second.id, 16)), reason="r", tries=6, failed_at=FIRST_SEEN)
    bench.ledger.fail(second, failed, None)
    counts = bench.ledger.counts()
    assert (counts["events"], counts["open"], counts["failed"]) == (0, 0, 1)
    assert bench.ledger.seen(BOX).changes == 1


def test_checkpoint_is_recorded(bench: LedgerBench) -> None:
    claim = claim_box(bench)
    bench.ledger.register(claim, [Registration(digest(3), None)])
    assert bench.ledger.seen(BOX).checkpointed == 0
    bench.ledger.record_checkpoint(BOX, 1)
    assert bench.ledger.seen(BOX).checkpointed == 1
    assert bench.ledger.seen("other").checkpointed == 0


def test_message_that_is_not_stored_is_never_deleted(bench: LedgerBench) -> None:
    """Only the server has a message that is too large to fetch."""
    header_only = Registration(digest(2), message(2), stored=False)
    claim = claim_box(bench)
    assert bench.ledger.register(claim, [registration(1), header_only]) == 2
    seen = bench.ledger.seen(BOX).records
    assert seen[digest(2)] == SeenRecord(NEVER_DELETED)
    assert abs(seen[digest(1)].second - bench.now()) <= 2
    assert bench.ledger.compact(claim, [digest(2)]) == 1
    assert bench.ledger.seen(BOX).records == {digest(2): SeenRecord(NEVER_DELETED)}


def test_stale_claim_registers_nothing(bench: LedgerBench, stale: Claim) -> None:
    ledger = bench.ledger
    with pytest.raises(StaleClaimError):
        ledger.register(stale, [registration(1)])
    with pytest.raises(StaleClaimError):
        ledger.restore_seen(stale, {digest(1): SeenRecord(5)}, ledger.incarnation())
    assert ledger.seen(BOX).records == {}
    assert ledger.unprocessed(BOX) == set()
    assert ledger.messages.members() == set()
    assert ledger.counts()["open"] == 0


def test_stale_claim_compacts_nothing(bench: LedgerBench) -> None:
    old = claim_box(bench, SHORT)
    bench.ledger.register(old, [registration(1)])
    bench.pass_time(SHORT)
    claim_box(bench)
    with pytest.raises(StaleClaimError):
        bench.ledger.compact(old, [])
    assert bench.ledger.seen(BOX).records.keys() == {digest(1)}


def test_recorded_deletions_replace_those_before(bench: LedgerBench) -> None:
    claim, record = claim_box(bench), SeenRecord(7, StoredAt("0" * 32, date(2026, 3, 1), 10).pack())
    assert bench.ledger.seen(BOX).deleted == {}
    bench.ledger.record_deleted(claim, {digest(1): record, digest(2): record})
    bench.ledger.record_deleted(claim, {digest(2): record})
    assert bench.ledger.seen(BOX).deleted == {digest(2): record}
    bench.ledger.record_deleted(claim, {})
    assert bench.ledger.seen(BOX).deleted == {}
    bench.ledger.mailboxes.release(claim, 0.0)
    with pytest.raises(StaleClaimError):
        bench.ledger.record_deleted(claim, {digest(1): record})
    assert bench.ledger.seen(BOX).deleted == {}


def test_deletions_begin_when_they_are_recorded_and_forgotten_in_one_step(bench: LedgerBench) -> None:
    claim, record = claim_box(bench), SeenRecord(1, StoredAt("0" * 32, date(2026, 3, 1), 10).pack())
    bench.ledger.register(claim, [registration(1), registration(2)])
    before = bench.ledger.seen(BOX)
    bench.ledger.begin_deletions(claim, {digest(2), digest(9)}, {digest(2): record, digest(9): record})
    after = bench.ledger.seen(BOX)
    assert after.records.keys() == {digest(1)}
    assert after.deleted == {digest(2): record, digest(9): record}
    assert after.changes == before.changes + 1
    bench.ledger.mailboxes.release(claim, 0.0)
    with pytest.raises(StaleClaimError):
        bench.ledger.begin_deletions(claim, {digest(1)}, {})
    assert bench.ledger.seen(BOX) == after


def test_registering_a_message_again_opens_it_once(bench: LedgerBench) -> None:
    claim = claim_box(bench)
    bench.ledger.register(claim, [registration(1)])
    work = claim_message(bench)
    assert bench.ledger.register(claim, [registration(1), registration(2)]) == 1
    assert bench.ledger.messages.renew(work, LONG)
    assert bench.ledger.counts()["open"] == 2
    assert bench.ledger.unprocessed(BOX) == {digest(1), digest(2)}


def test_seen_digest_keeps_its_first_second(bench: LedgerBench) -> None:
    """The time until deletion counts from the first registration."""
    claim = claim_box(bench)
    bench.ledger.restore_seen(claim, {digest(1): SeenRecord(1_000)}, bench.ledger.incarnation())
    bench.ledger.register(claim, [registration(1)])
    bench.ledger.restore_seen(claim, {digest(1): SeenRecord(2_000)}, bench.ledger.incarnation())
    assert bench.ledger.seen(BOX).records == {digest(1): SeenRecord(1_000)}


def test_message_with_two_unique_ids_is_unprocessed_under_both(bench: LedgerBench) -> None:
    """A server that resets its unique-ids lists a message anew while it is still open."""
    claim = claim_box(bench)
    bench.ledger.register(claim, [registration(1), Registration(digest(7), message(1))])
    assert bench.ledger.unprocessed(BOX) == {digest(1), digest(7)}
    bench.ledger.complete(claim_message(bench), message(1), event(1))
    assert bench.ledger.unprocessed(BOX) == set()
    assert bench.ledger.seen(BOX).records.keys() == {digest(1), digest(7)}


def test_attempt_on_a_message_begins_with_the_message(bench: LedgerBench) -> None:
    bench.ledger.register(claim_box(bench), [registration(1)])
    (claim,) = bench.ledger.messages.claim(1, 1.0)
    assert bench.ledger.begin(claim) == message(1)
    bench.pass_time(2.0)
    (claim,) = bench.ledger.messages.claim(1, 1.0)
    assert claim.tries == 2, "the attempt counts, although its claim expired"


def test_no_attempt_begins_with_a_stale_claim(bench: LedgerBench) -> None:
    bench.ledger.register(claim_box(bench), [registration(1)])
    (stale,) = bench.ledger.messages.claim(1, 1.0)
    bench.pass_time(2.0)
    (current,) = bench.ledger.messages.claim(1, 1.0)
    with pytest.raises(StaleClaimError):
        bench.ledger.begin(stale)
    bench.pass_time(2.0)
    (later,) = bench.ledger.messages.claim(1, 1.0)
    assert (current.tries, later.tries) == (1, 1)


def test_no_attempt_begins_on_a_message_that_is_not_open(bench: LedgerBench) -> None:
    bench.ledger.messages.add([message(1).key])
    (claim,) = bench.ledger.messages.claim(1, 1.0)
    assert bench.ledger.begin(claim) is None
    bench.pass_time(2.0)
    (later,) = bench.ledger.messages.claim(1, 1.0)
    assert later.tries == 1
    bench.ledger.messages.drop([later.id])


def test_mailboxes_have_separate_seen_sets(bench: LedgerBench) -> None:
    bench.ledger.register(claim_box(bench), [registration(1)])
    assert bench.ledger.seen("other").records == {}
    assert bench.ledger.unprocessed("other") == set()


def test_complete_appends_one_event_and_closes_the_message(bench: LedgerBench) -> None:
    bench.ledger.register(claim_box(bench), [registration(1), registration(2)])
    work = claim_message(bench)
    number = int(work.id, 16)
    bench.ledger.complete(work, message(number), event(number))
    (entry,) = bench.events.read("sink", 10)
    assert entry.event == event(number)
    assert entry.first_seen == FIRST_SEEN.timestamp()
    assert abs(entry.appended - bench.now()) < 60
    assert bench.ledger.counts() == {"open": 1, "failed": 0, "events": 1, "dead_letters": 0, "quarantined": 0}
    assert bench.ledger.open_messages([work.id]) == [None]
    assert work.id not in bench.ledger.messages.members()
    assert bench.ledger.unprocessed(BOX) == {digest(3 - number)}


def test_complete_begins_with_the_following_message(bench: LedgerBench) -> None:
    bench.ledger.register(claim_box(bench), [registration(1), registration(2)])
    first, second = bench.ledger.messages.claim(2, 60)
    begun = bench.ledger.complete(first, message(int(first.id, 16)), event(1), second)
    assert begun == bench.ledger.open_messages([second.id])[0]
    bench.ledger.messages.release(second, 0.0, second.tries)
    assert claim_message(bench).tries == second.tries + 1, "an attempt was counted"


def test_complete_begins_with_nothing_that_is_stale_or_not_open(bench: LedgerBench) -> None:
    bench.ledger.register(claim_box(bench), [registration(1), registration(2)])
    first, second = bench.ledger.messages.claim(2, 60)
    stale = replace(second, fence=second.fence - 1)
    assert bench.ledger.complete(first, message(int(first.id, 16)), event(1), stale) is None
    assert bench.ledger.begin(second) is not None, "it is still claimed, and its attempt still to be counted"
    assert bench.ledger.complete(second, message(int(second.id, 16)), event(2), first) is None
    assert bench.ledger.counts()["events"] == 2


def test_claim_is_renewed_in_the_step_that_finds_the_first_message(bench: LedgerBench) -> None:
    bench.ledger.register(claim_box(bench), [registration(1)])
    (claim,) = bench.ledger.messages.claim(1, 0.1)
    found = [(bytes(16), claim.id)]
    assert bench.ledger.first_messages(found, ContentLimits(), Renewal(claim, 60)) == [claim.id]
    assert bench.ledger.first_messages([], ContentLimits(), Renewal(claim, 60)) == [], "a message without a digest"
    bench.pass_time(0.2)
    assert bench.ledger.messages.claim(1, 60) == []


def test_nothing_is_remembered_for_a_stale_claim(bench: LedgerBench) -> None:
    bench.ledger.register(claim_box(bench), [registration(1)])
    claim = claim_message(bench)
    stale = Renewal(replace(claim, fence=claim.fence - 1), 60)
    with pytest.raises(StaleClaimError):
        bench.ledger.first_messages([(bytes(16), claim.id)], ContentLimits(), stale)
    other = "9" * 32
    assert bench.ledger.first_messages([(bytes(16), other)], ContentLimits()) == [other]


def test_complete_appends_no_second_event(bench: LedgerBench) -> None:
    bench.ledger.register(claim_box(bench), [registration(1)])
    work = claim_message(bench)
    bench.ledger.complete(work, message(1), event(1))
    with pytest.raises(StaleClaimError):
        bench.ledger.complete(work, message(1), event(1))
    assert bench.ledger.counts()["events"] == 1


def of_store(store_id: str | None, number: int = 1, listed: int | None = None) -> Registration:
    """Return the registration of a message in this store, which is listed there under another digest."""
    opened = message(number).model_copy(update={"store_id": store_id})
    return Registration(digest(number if listed is None else listed), opened)


def assert_counts_agree(bench: LedgerBench, claim: Claim) -> None:
    """Assert that the mailbox is known: if counts differ from what is there, it has to be rebuilt."""
    assert bench.ledger.seen(claim.id).known


def known_box(bench: LedgerBench) -> Claim:
    claim = claim_box(bench)
    bench.ledger.restore_seen(claim, {}, bench.ledger.incarnation())
    return claim


@pytest.mark.parametrize("before", ["old", None])
def test_open_message_of_another_store_is_replaced_and_its_claim_stays(
    bench: LedgerBench, before: str | None
) -> None:
    box = known_box(bench)
    assert bench.ledger.register(box, [of_store(before)]) == 1
    work = claim_message(bench)
    assert bench.ledger.register(box, [of_store("new", listed=2)]) == 0
    assert bench.ledger.open_messages([work.id]) == [of_store("new").message]
    assert bench.ledger.messages.renew(work, LONG)
    assert bench.ledger.messages.claim(1, LONG) == []
    assert bench.ledger.unprocessed(BOX) == {digest(1), digest(2)}
    assert bench.ledger.counts()["open"] == 1
    assert_counts_agree(bench, box)


@pytest.mark.parametrize("after", ["old", None])
def test_open_message_stays_as_it_is_if_no_other_store_is_named(bench: LedgerBench, after: str | None) -> None:
    box = claim_box(bench)
    bench.ledger.register(box, [of_store("old")])
    later = message(1, FIRST_SEEN + timedelta(seconds=1)).model_copy(update={"store_id": after})
    assert bench.ledger.register(box, [Registration(digest(2), later)]) == 0
    assert bench.ledger.open_messages([later.key]) == [of_store("old").message]
    assert bench.ledger.oldest_open() == FIRST_SEEN.timestamp()


def processed_in(bench: LedgerBench, work: Claim, store_id: str | None, *, fails: bool) -> None:
    done = message(1).model_copy(update={"store_id": store_id})
    if fails:
        bench.ledger.fail(work, failed(1).model_copy(update={"message": done}), event(1, EventType.FAILED))
    else:
        bench.ledger.complete(work, done, event(1))


@pytest.mark.parametrize("fails", [False, True])
def test_message_that_was_processed_in_another_store_is_no_longer_seen(bench: LedgerBench, *, fails: bool) -> None:
    box = known_box(bench)
    bench.ledger.register(box, [of_store("old")])
    work = claim_message(bench)
    bench.ledger.register(box, [of_store("new", listed=2), registration(3)])
    processed_in(bench, work, "old", fails=fails)
    assert bench.ledger.seen(BOX).records.keys() == {digest(3)}
    assert bench.ledger.open_messages([work.id]) == [None]
    assert bench.ledger.counts() == {"open": 1, "failed": fails, "events": 1, "dead_letters": 0, "quarantined": 0}
    assert_counts_agree(bench, box)
    assert bench.ledger.register(box, [of_store("new", listed=2)]) == 1, "the next poll fetches it again"
    assert bench.ledger.seen(BOX).records.keys() == {digest(2), digest(3)}
    assert bench.ledger.counts() == {"open": 2, "failed": 0, "events": 1, "dead_letters": 0, "quarantined": 0}
    assert_counts_agree(bench, box)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(("before", "after"), [("one", "one"), ("one", None), (None, None)])
def test_message_that_was_processed_in_its_store_stays_seen(
    bench: LedgerBench, before: str | None, after: str | None, *, fails: bool
) -> None:
    bench.ledger.register(claim_box(bench), [of_store(before)])
    processed_in(bench, claim_message(bench), after, fails=fails)
    assert bench.ledger.seen(BOX).records.keys() == {digest(1)}


def test_failed_message_of_an_unknown_store_waits_for_a_person(bench: LedgerBench) -> None:
    box = claim_box(bench)
    bench.ledger.register(box, [of_store(None)])
    processed_in(bench, claim_message(bench), None, fails=True)
    assert bench.ledger.register(box, [of_store("new", listed=2)]) == 0
    assert [one.message for one in bench.ledger.failed_messages()] == [of_store(None).message]


def test_failed_message_of_another_store_is_opened_with_a_fresh_attempt_budget(bench: LedgerBench) -> None:
    box = known_box(bench)
    bench.ledger.register(box, [of_store("old")])
    work = claim_message(bench)
    bench.ledger.begin(work)
    processed_in(bench, work, "old", fails=True)
    assert bench.ledger.register(box, [of_store("old", listed=2)]) == 0, "it is of this store, and waits for a person"
    assert [one.message for one in bench.ledger.failed_messages()] == [of_store("old").message]
    assert bench.ledger.register(box, [of_store("new", listed=3)]) == 1
    assert bench.ledger.failed_messages() == []
    assert bench.ledger.unprocessed(BOX) == {digest(1), digest(2), digest(3)}
    (again,) = bench.ledger.messages.claim(2, LONG)
    assert (again.id, again.tries) == (work.id, 1)
    assert bench.ledger.begin(again) == of_store("new").message
    assert_counts_agree(bench, box)


def test_stale_claim_neither_completes_nor_fails_a_message(bench: LedgerBench) -> None:
    bench.ledger.register(claim_box(bench), [registration(1)])
    old = claim_message(bench, SHORT)
    bench.pass_time(SHORT)
    new = claim_message(bench)
    with pytest.raises(StaleClaimError):
        bench.ledger.complete(old, message(1), event(1))
    with pytest.raises(StaleClaimError):
        bench.ledger.fail(old, failed(1), event(1, EventType.FAILED))
    assert bench.ledger.counts() == {"open": 1, "failed": 0, "events": 0, "dead_letters": 0, "quarantined": 0}
    assert bench.ledger.messages.renew(new, LONG)


def test_failed_message_is_kept_has_an_event_and_is_unprocessed(bench: LedgerBench) -> None:
    bench.ledger.register(claim_box(bench), [registration(1)])
    bench.ledger.fail(claim_message(bench), failed(1), event(1, EventType.FAILED))
    assert bench.ledger.failed_messages() == [failed(1)]
    assert bench.ledger.unprocessed(BOX) == {digest(1)}
    assert bench.ledger.messages.members() == set()
    assert bench.ledger.counts() == {"open": 0, "failed": 1, "events": 1, "dead_letters": 0, "quarantined": 0}
    (entry,) = bench.events.read("sink", 10)
    assert entry.event == event(1, EventType.FAILED)


def test_failed_message_stays_failed_when_it_is_registered_again(bench: LedgerBench) -> None:
    claim = claim_box(bench)
    bench.ledger.register(claim, [registration(1)])
    bench.ledger.fail(claim_message(bench), failed(1), event(1, EventType.FAILED))
    assert bench.ledger.register(claim, [Registration(digest(9), message(1))]) == 0
    assert bench.ledger.messages.members() == set()
    assert bench.ledger.counts()["open"] == 0
    assert bench.ledger.unprocessed(BOX) == {digest(1), digest(9)}


def process_until_failed(bench: LedgerBench, number: int) -> FailedMessage:
    """A message that failed after several tries."""
    bench.ledger.register(claim_box(bench), [registration(number)])
    for _ in range(2):
        claim = claim_message(bench)
        bench.ledger.messages.release(claim, 0.0, claim.tries)
    failed = FailedMessage(message=message(number), reason="r", tries=3, failed_at=FIRST_SEEN)
    bench.ledger.fail(claim_message(bench), failed, event(number, EventType.FAILED))
    return failed


def test_retried_message_is_due_now_with_a_fresh_attempt_budget(bench: LedgerBench) -> None:
    failed = process_until_failed(bench, 1)
    assert bench.ledger.retry_failed(failed)
    assert bench.ledger.failed_messages() == []
    claim = claim_message(bench)
    assert (claim.id, claim.tries) == (message(1).key, 1)
    assert bench.ledger.open_messages([claim.id]) == [message(1)]
    assert bench.ledger.unprocessed(BOX) == {digest(1)}, "still not to be deleted"
    bench.ledger.complete(claim, message(1), event(1))
    assert bench.ledger.unprocessed(BOX) == set()


def test_dropped_message_counts_as_processed(bench: LedgerBench) -> None:
    failed = process_until_failed(bench, 1)
    before = bench.ledger.seen(BOX).changes
    assert bench.ledger.drop_failed(failed)
    assert bench.ledger.failed_messages() == []
    assert bench.ledger.unprocessed(BOX) == set()
    assert bench.ledger.seen(BOX).changes == before + 1
    assert bench.ledger.counts()["open"] == 0


@pytest.mark.parametrize("what", ["retry_failed", "drop_failed"])
def test_message_that_is_not_failed_can_neither_be_retried_nor_dropped(bench: LedgerBench, what: str) -> None:
    """Another operator may have been faster."""
    failed = process_until_failed(bench, 1)
    assert getattr(bench.ledger, what)(failed)
    assert not bench.ledger.retry_failed(failed)
    assert not bench.ledger.drop_failed(failed)
    assert bench.ledger.counts()["open"] == (1 if what == "retry_failed" else 0)


def test_failed_messages_are_listed_oldest_first(bench: LedgerBench) -> None:
    bench.ledger.register(claim_box(bench), [registration(number) for number in (1, 2, 3)])
    for claim in bench.ledger.messages.claim(3, LONG):
        number = int(claim.id, 16)
        bench.ledger.fail(
            claim, failed(number, FIRST_SEEN - timedelta(hours=number)), event(number, EventType.FAILED)
        )
    assert [int(failure.message.key, 16) for failure in bench.ledger.failed_messages()] == [3, 2, 1]


def test_compact_removes_all_other_digests(bench: LedgerBench) -> None:
    claim = claim_box(bench)
    bench.ledger.register(claim, [registration(number) for number in range(10)])
    before = bench.ledger.seen(BOX).records
    assert bench.ledger.compact(claim, {digest(3), digest(4), digest(99)}) == 8
    assert bench.ledger.seen(BOX).records == {digest(3): before[digest(3)], digest(4): before[digest(4)]}
    assert bench.ledger.compact(claim, {digest(3), digest(4)}) == 0
    assert bench.ledger.compact(claim, []) == 2
    assert bench.ledger.seen(BOX).records == {}


def test_doubted_records_are_marked_as_restored_ones_are(bench: LedgerBench) -> None:
    claim = claim_box(bench)
    stored_at = StoredAt("ab" * 16, date(2026, 3, 9), 500)
    bench.ledger.register(claim, [replace(registration(number), stored_at=stored_at) for number in (1, 2, 3)])
    assert bench.ledger.compact(claim, {digest(1), digest(2)}, {digest(2), digest(3)}) == 1
    records = bench.ledger.seen(BOX).records
    assert {key: record.is_restored for key, record in records.items()} == {digest(1): False, digest(2): True}


def test_digest_that_is_registered_after_compaction_is_seen(bench: LedgerBench) -> None:
    claim = claim_box(bench)
    bench.ledger.register(claim, [registration(1), registration(2)])
    bench.ledger.compact(claim, {digest(1)})
    bench.ledger.register(claim, [registration(3)])
    assert bench.ledger.seen(BOX).records.keys() == {digest(1), digest(3)}


def test_restored_digests_have_their_seconds_and_replace_none(bench: LedgerBench) -> None:
    claim = claim_box(bench)
    bench.ledger.register(claim, [registration(1)])
    there = bench.ledger.seen(BOX).records
    bench.ledger.restore_seen(
        claim, {digest(2): SeenRecord(2_000_000_000), digest(3): SeenRecord(17)}, bench.ledger.incarnation()
    )
    assert bench.ledger.seen(BOX).records == {
        **there,
        digest(2): SeenRecord(2_000_000_000),
        digest(3): SeenRecord(17),
    }
    assert bench.ledger.unprocessed(BOX) == {digest(1)}


def test_oldest_open_message_has_the_first_time_of_all(bench: LedgerBench) -> None:
    assert bench.ledger.oldest_open() is None
    older = message(1, FIRST_SEEN - timedelta(days=2))
    bench.ledger.register(claim_box(bench), [Registration(digest(1), older), registration(2)])
    assert bench.ledger.oldest_open() == older.first_seen.timestamp()
    for claim in bench.ledger.messages.claim(2, LONG):
        if claim.id == older.key:
            bench.ledger.complete(claim, older, event(1))
    assert bench.ledger.oldest_open() == FIRST_SEEN.timestamp()


def test_failed_poll_keeps_the_last_success(bench: LedgerBench) -> None:
    success = MailboxStatus(
        last_poll=1000.5,
        result="success",
        last_success=1000.5,
        listed=7,
        certificate_not_after=9e9,
        expires_after=864_000.0,
    )
    never = MailboxStatus(last_poll=900.5, result="auth_error")
    bench.ledger.put_status(BOX, never)
    assert bench.ledger.statuses() == {BOX: never}
    bench.ledger.put_status(BOX, success)
    assert bench.ledger.statuses() == {BOX: success}
    bench.ledger.put_status(BOX, MailboxStatus(last_poll=2000.5, result="timeout", backlog_messages=3))
    assert bench.ledger.statuses() == {
        BOX: MailboxStatus(last_poll=2000.5, result="timeout", last_success=1000.5, backlog_messages=3)
    }


def test_statuses_are_those_of_the_mailboxes_that_are_asked_for(
    bench: LedgerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.adapters.ledger.redis._AT_ONCE", 2)
    written = {name: MailboxStatus(float(number), "success", float(number)) for number, name in enumerate("abcde")}
    for name, status in written.items():
        bench.ledger.put_status(name, status)
    assert bench.ledger.statuses() == written
    assert bench.ledger.statuses(["e", "never polled", "a", "c"]) == {name: written[name] for name in "eac"}
    assert bench.ledger.statuses([]) == {}


def test_troubled_messages_are_kept_by_mailbox_until_they_are_replaced(bench: LedgerBench) -> None:
    assert bench.ledger.troubled(BOX) == []
    ending = TroubledMessage("ab" * 16, 2, "u2", Trouble.ENDS_SESSION, "connect", "gone \N{SNOWMAN}", 5, 1e9, True)
    refused = TroubledMessage("cd" * 16, 3, "u3", Trouble.REFUSED, "refused", "no")
    bench.ledger.put_troubled(BOX, [ending, refused])
    assert bench.ledger.troubled(BOX) == [ending, refused]
    assert bench.ledger.seen(BOX).troubled == (ending, refused)
    assert bench.ledger.all_troubled() == {BOX: [ending, refused]}
    bench.ledger.put_troubled(BOX, [refused])
    assert bench.ledger.troubled(BOX) == [refused]
    bench.ledger.put_troubled(BOX, [])
    assert bench.ledger.all_troubled() == {}


def test_schedule_digest_is_kept_until_the_ledger_is_lost(bench: LedgerBench) -> None:
    assert bench.ledger.schedule_digest() == ""
    bench.ledger.set_schedule_digest("abc")
    assert bench.ledger.schedule_digest() == "abc"
    bench.lose()
    assert bench.ledger.schedule_digest() == ""


def test_newest_configuration_takes_precedence(bench: LedgerBench) -> None:
    old = bench.ledger.announce("old")
    assert bench.ledger.announce("old", old.epoch) == old
    new = bench.ledger.announce("new")
    assert (old.newest, new.newest) == (True, True)
    assert old.epoch < new.epoch
    assert bench.ledger.announce("old", old.epoch) == Precedence(old.epoch, newest=False)
    assert bench.ledger.announce("new", new.epoch) == new


def test_equal_configurations_share_one_epoch(bench: LedgerBench) -> None:
    old = bench.ledger.announce("old")
    new = bench.ledger.announce("new")
    assert bench.ledger.announce("new") == new
    assert bench.ledger.announce("new", old.epoch) == new


def test_older_configuration_takes_over_when_the_newest_is_silent_and_gives_way_again(bench: LedgerBench) -> None:
    old, new = bench.ledger.announce("old"), bench.ledger.announce("new")
    assert not bench.ledger.announce("old", old.epoch).newest
    bench.pass_time(SHORT)
    assert bench.ledger.announce("old", old.epoch, silence=SHORT / 2) == old
    assert bench.ledger.announce("new", new.epoch) == new
    assert not bench.ledger.announce("old", old.epoch).newest


def test_epoch_after_a_loss_is_larger_than_all_before(bench: LedgerBench) -> None:
    before = bench.ledger.announce("old")
    bench.lose()
    assert bench.ledger.announce("new").epoch > before.epoch


def test_survivors_of_a_loss_keep_their_order(bench: LedgerBench) -> None:
    old, new = bench.ledger.announce("old"), bench.ledger.announce("new")
    bench.lose()
    assert bench.ledger.announce("old", old.epoch).newest
    assert bench.ledger.announce("new", new.epoch).newest
    assert not bench.ledger.announce("old", old.epoch).newest


def test_superseded_scheduler_cannot_change_the_schedule(bench: LedgerBench) -> None:
    old = bench.ledger.announce("old")
    assert bench.ledger.schedule_mailboxes(old.epoch, drop=[], add=["a", "b"])
    assert bench.ledger.schedule_sinks(old.epoch, drop=[], add=["main"])
    new = bench.ledger.announce("new")
    assert bench.ledger.schedule_mailboxes(new.epoch, drop=["a"], add=["b", "c"])
    assert bench.ledger.schedule_sinks(new.epoch, drop=[], add=["audit"])
    assert not bench.ledger.schedule_mailboxes(old.epoch, drop=["c"], add=["a"])
    assert not bench.ledger.schedule_sinks(old.epoch, drop=["audit"], add=[])
    assert bench.ledger.mailboxes.members() == {"b", "c"}
    assert bench.ledger.sinks.members() == {"main", "audit"}


def test_scheduling_a_known_mailbox_keeps_its_due_time(bench: LedgerBench) -> None:
    epoch = bench.ledger.announce("digest").epoch
    bench.ledger.schedule_mailboxes(epoch, drop=[], add=["a"])
    (claim,) = bench.ledger.mailboxes.claim(1, LONG)
    bench.ledger.mailboxes.release(claim, LONG)
    bench.ledger.schedule_mailboxes(epoch, drop=[], add=["a"])
    assert bench.ledger.mailboxes.claim(1, LONG) == []


def test_last_tick_has_the_time_of_the_ledger(bench: LedgerBench) -> None:
    assert bench.ledger.last_tick() is None
    before = bench.now()
    bench.ledger.record_tick()
    tick = bench.ledger.last_tick()
    assert tick is not None
    assert before <= tick <= bench.now()


def test_claims_are_stale_after_the_ledger_was_lost(bench: LedgerBench) -> None:
    claim = claim_box(bench)
    bench.ledger.register(claim, [registration(1)])
    work = claim_message(bench)
    bench.lose()
    with pytest.raises(StaleClaimError):
        bench.ledger.register(claim, [registration(2)])
    with pytest.raises(StaleClaimError):
        bench.ledger.complete(work, message(1), event(1))
    assert bench.ledger.counts() == {"open": 0, "failed": 0, "events": 0, "dead_letters": 0, "quarantined": 0}
    bench.ledger.ping()


def test_where_a_message_is_stored_is_kept_and_given_back(bench: LedgerBench) -> None:
    stored_at = StoredAt("ab" * 16, date(2026, 3, 9), 500)
    bench.ledger.register(claim_box(bench), [replace(registration(1), stored_at=stored_at), registration(2)])
    seen = bench.ledger.seen(BOX).records
    assert StoredAt.unpack(seen[digest(1)].stored_at) == stored_at
    assert StoredAt.unpack(seen[digest(2)].stored_at) is None


def test_forgotten_messages_are_new_again(bench: LedgerBench) -> None:
    claim = claim_box(bench)
    bench.ledger.register(claim, [registration(1), registration(2)])
    before = bench.ledger.seen(BOX)
    assert bench.ledger.forget(claim, []) == 0
    assert bench.ledger.seen(BOX) == before
    assert bench.ledger.forget(claim, [digest(2), digest(9)]) == 1
    after = bench.ledger.seen(BOX)
    assert after.records.keys() == {digest(1)}
    assert after.changes == before.changes + 1


def test_stale_claim_forgets_nothing(bench: LedgerBench) -> None:
    old = claim_box(bench, SHORT)
    bench.ledger.register(old, [registration(1)])
    bench.pass_time(SHORT)
    claim_box(bench)
    with pytest.raises(StaleClaimError):
        bench.ledger.forget(old, [digest(1)])
    assert bench.ledger.seen(BOX).records.keys() == {digest(1)}


def test_purged_message_is_dropped_whether_it_is_open_or_failed(bench: LedgerBench) -> None:
    claim = claim_box(bench)
    bench.ledger.register(claim, [registration(number) for number in (1, 2, 3)])
    work = claim_message(bench)
    failed = FailedMessage(message=message(1), reason="x", tries=6, failed_at=datetime(2025, 1, 2, tzinfo=UTC))
    bench.ledger.fail(work, failed, event(1))
    assert bench.ledger.drop_purged(claim, [message(1).key, message(2).key, message(9).key]) == 2
    assert bench.ledger.counts() == {"open": 1, "failed": 0, "events": 1, "dead_letters": 0, "quarantined": 0}
    assert bench.ledger.unprocessed(claim.id) == {registration(3).digest}
    assert bench.ledger.messages.members() == {message(3).key}
    assert bench.ledger.drop_purged(claim, [message(1).key]) == 0


def test_messages_are_opened_and_claimed_for_an_update_in_one_step(bench: LedgerBench) -> None:
    claim = claim_box(bench)
    incarnation = bench.ledger.incarnation()
    bench.ledger.restore_seen(claim, {}, incarnation)
    bench.ledger.register(claim, [registration(1), registration(2)])
    bench.ledger.fail(claim_message(bench), failed(1), None)
    taken, free, more = bench.ledger.open_updates(claim, [message(1), message(3), message(4)], LONG)
    assert (taken, free is None, more is None) == (None, False, False), "a failed message waits for a person"
    assert bench.ledger.open_updates(claim, [message(2), message(3)], LONG) == [None, None]
    assert bench.ledger.messages.backlog().due == 1, "nobody else may take what is to be updated"
    assert bench.ledger.counts()["open"] == 3
    assert bench.ledger.unprocessed(BOX) == {digest(1), digest(2)}
    assert bench.ledger.incarnation() == incarnation, "what was opened must not look as if a key had been lost"
    assert bench.ledger.seen(BOX).known
    assert free is not None
    assert bench.ledger.messages.renew(free, LONG)
    bench.ledger.complete(free, message(3), event(3))
    assert bench.ledger.counts()["open"] == 2
    assert bench.ledger.seen(BOX).known
    assert bench.ledger.open_updates(claim, [message(3)], LONG) != [None]


def test_stale_claim_opens_nothing_for_an_update(bench: LedgerBench, stale: Claim) -> None:
    with pytest.raises(StaleClaimError):
        bench.ledger.open_updates(stale, [message(1)], LONG)
    assert bench.ledger.counts()["open"] == 0
    assert bench.ledger.messages.members() == set()
