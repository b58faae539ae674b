"""Failed messages: retried from the store, or fetched again where the store does not hold them."""

from __future__ import annotations

import pytest

from ingest.admin.failed import FailedMessages, Retried, Retry
from ingest.admin.mailbox_claim import MailboxBusyError
from ingest.domain.retry import MESSAGE_TRIES
from tests.support.bench import Bench, bench, mail, message_key, never

RAW = mail("one")


def fail(b: Bench, *, lost: bool) -> None:
    """Let a message fail, because the store lost its raw mail or returns other bytes."""
    b.maildrops["a"].messages[b"u1"] = RAW
    b.poll_all()
    (at,) = b.keys("raw.eml")
    kept = b.store.objects.pop(at)
    for _ in range(MESSAGE_TRIES):
        b.clock.time += 2_000
        b.process_stage.run(never)
    if not lost:
        b.store.objects[at] = kept
    assert [one.message.key for one in b.ledger.failed_messages()] == [message_key("a", RAW)]


def retry(b: Bench) -> Retried:
    return Retry(b.store, b.ledger, b.keeper, patience=0.0).run(FailedMessages(b.ledger).all())


def test_retried_message_is_processed_from_the_store() -> None:
    with bench() as b:
        fail(b, lost=False)
        assert retry(b) == Retried(processed=1)
        b.everything()
        assert len(b.keys("message.json")) == 1
        assert len(b.maildrops["a"].retrieved) == 1


def test_retried_message_that_the_store_does_not_hold_is_fetched_again() -> None:
    with bench() as b:
        fail(b, lost=True)
        assert retry(b) == Retried(fetched=1)
        assert b.ledger.failed_messages() == []
        b.everything()
        (at,) = b.keys("raw.eml")
        assert b.store.objects[at].content == RAW
        assert len(b.keys("message.json")) == 1


def test_message_whose_mailbox_is_being_polled_stays_failed() -> None:
    with bench() as b:
        fail(b, lost=True)
        b.ledger.mailboxes.claim_one("a", 60)
        with pytest.raises(MailboxBusyError):
            retry(b)
        assert len(b.ledger.failed_messages()) == 1
