"""Failed messages: retried from the store, or fetched again where the store does not hold them."""

from __future__ import annotations

import pytest

from ingest.admin.failed import FailedMessages, Retried, Retry, UnknownMessageError
from ingest.admin.mailbox_claim import MailboxBusyError
from tests.support.bench import Bench, bench, mail, mailbox, message_key

RAW = mail("one")


def fail(b: Bench, *, lost: bool) -> None:
    b.fail("a", RAW, lost=lost)
    assert message_key("a", RAW) in [one.message.key for one in b.ledger.failed_messages()]


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


def test_failed_messages_are_found_by_the_beginning_of_their_keys_and_dropped() -> None:
    with bench() as b:
        fail(b, lost=True)
        failed, key = FailedMessages(b.ledger), message_key("a", RAW)
        found = failed.find([key[:8]])
        assert [one.message.key for one in found] == [key]
        assert failed.drop(found) == 1
        assert failed.drop(found) == 0, "somebody else was faster"
        assert failed.all() == []


def test_key_that_names_no_failed_message_or_several_is_reported() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        b.maildrops["b"].messages[b"u1"] = RAW
        b.poll_all()
        b.store.objects.clear()
        fail(b, lost=True)
        failed = FailedMessages(b.ledger)
        with pytest.raises(UnknownMessageError, match="no failed message begins with zz"):
            failed.find(["zz"])
        with pytest.raises(UnknownMessageError, match="2 failed messages begin with"):
            failed.find([""])
