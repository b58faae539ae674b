"""The rules of pausing a mailbox, on the twin and on Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.ports.claims import Claim
    from tests.support.valkey import Bench

LONG = 600.0


def claimed(bench: Bench, mailbox: str) -> Claim:
    claim = bench.ledger.mailboxes.claim_one(mailbox, LONG)
    assert claim is not None
    return claim


def test_a_mailbox_is_paused_until_it_is_resumed(bench: Bench) -> None:
    ledger, before = bench.ledger, bench.now()
    assert ledger.pause("a")
    assert ledger.is_paused("a")
    assert not ledger.is_paused("b")
    since = ledger.paused()
    assert since.keys() == {"a"}
    assert before - 1 <= since["a"] <= bench.now() + 1
    assert ledger.resume("a")
    assert ledger.paused() == {}
    assert not ledger.is_paused("a")


def test_pausing_again_keeps_the_time_of_the_first(bench: Bench) -> None:
    bench.ledger.pause("a")
    since = bench.ledger.paused()
    bench.pass_time(1.1)
    assert not bench.ledger.pause("a")
    assert bench.ledger.paused() == since


def test_what_was_not_paused_cannot_be_resumed(bench: Bench) -> None:
    assert not bench.ledger.resume("a")


def test_a_paused_mailbox_is_shelved_by_who_claims_it(bench: Bench) -> None:
    ledger = bench.ledger
    claim = claimed(bench, "a")
    ledger.pause("a")
    assert ledger.unschedule(claim)
    assert ledger.mailboxes.members() == set()
    assert not ledger.mailboxes.renew(claim, LONG)


def test_a_mailbox_that_was_resumed_meanwhile_is_not_shelved(bench: Bench) -> None:
    ledger = bench.ledger
    claim = claimed(bench, "a")
    ledger.pause("a")
    ledger.resume("a")
    assert not ledger.unschedule(claim)
    assert ledger.mailboxes.renew(claim, LONG)


def test_a_lost_claim_shelves_nothing(bench: Bench) -> None:
    ledger = bench.ledger
    claim = claimed(bench, "a")
    ledger.mailboxes.release(claim, 0.0)
    ledger.pause("a")
    assert not ledger.unschedule(claim)
    assert ledger.mailboxes.members() == {"a"}
