"""Pausing and resuming mailboxes, on the twin and on Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.ports.claims import Claim
    from tests.support.valkey import LedgerBench

LONG = 600.0


def claimed(bench: LedgerBench, mailbox: str) -> Claim:
    claim = bench.ledger.mailboxes.claim_one(mailbox, LONG)
    assert claim is not None
    return claim


def test_mailbox_is_paused_until_it_is_resumed(bench: LedgerBench) -> None:
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


def test_pausing_again_keeps_the_first_time(bench: LedgerBench) -> None:
    bench.ledger.pause("a")
    since = bench.ledger.paused()
    bench.pass_time(1.1)
    assert not bench.ledger.pause("a")
    assert bench.ledger.paused() == since


def test_resuming_a_mailbox_that_is_not_paused_changes_nothing(bench: LedgerBench) -> None:
    assert not bench.ledger.resume("a")


def test_claimed_mailbox_is_unscheduled_if_it_is_paused(bench: LedgerBench) -> None:
    ledger = bench.ledger
    claim = claimed(bench, "a")
    ledger.pause("a")
    assert ledger.unschedule(claim)
    assert ledger.mailboxes.members() == set()
    assert not ledger.mailboxes.renew(claim, LONG)


def test_mailbox_that_was_resumed_meanwhile_stays_scheduled(bench: LedgerBench) -> None:
    ledger = bench.ledger
    claim = claimed(bench, "a")
    ledger.pause("a")
    ledger.resume("a")
    assert not ledger.unschedule(claim)
    assert ledger.mailboxes.renew(claim, LONG)


def test_stale_claim_unschedules_nothing(bench: LedgerBench) -> None:
    ledger = bench.ledger
    claim = claimed(bench, "a")
    ledger.mailboxes.release(claim, 0.0)
    ledger.pause("a")
    assert not ledger.unschedule(claim)
    assert ledger.mailboxes.members() == {"a"}


def test_claimed_mailbox_is_unscheduled_if_the_newest_configuration_disables_it(bench: LedgerBench) -> None:
    ledger = bench.ledger
    claim = claimed(bench, "a")
    assert not ledger.unschedule(claim, "first")
    ledger.announce("first")
    ledger.announce("second")
    assert not ledger.unschedule(claim, "first")
    assert ledger.mailboxes.renew(claim, LONG)
    assert ledger.unschedule(claim, "second")
    assert ledger.mailboxes.members() == set()
