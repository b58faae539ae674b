"""What rebuilding a lost ledger needs, and the throttle, on the twin and on Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.domain.events import Event
from ingest.errors import StaleClaimError
from tests.contract.test_events_log import append, claim_retrying, ids

if TYPE_CHECKING:
    from tests.support.valkey import LedgerBench

LONG = 600.0


def event(number: int) -> Event:
    return Event(str(number), "dev.mailhaul.message.received.v1", "a", b'{"n":%d,"odd":"\xff"}' % number)


def test_mailbox_is_unknown_until_its_seen_set_exists(bench: LedgerBench) -> None:
    bench.ledger.mailboxes.add(["a", "b"])
    first, _ = bench.ledger.mailboxes.claim(2, LONG)
    assert bench.ledger.unknown(["a", "b"]) == 2
    bench.ledger.restore_seen(first, {}, bench.ledger.incarnation())
    assert bench.ledger.unknown(["a", "b"]) == 1
    assert bench.ledger.unknown([]) == 0
    bench.lose()
    assert bench.ledger.unknown(["a", "b"]) == 2


def test_mailbox_stays_unknown_if_the_ledger_lost_data_while_it_was_rebuilt(bench: LedgerBench) -> None:
    bench.ledger.mailboxes.add(["a"])
    incarnation = bench.ledger.incarnation()
    bench.lose()
    bench.ledger.mailboxes.add(["a"])
    (claim,) = bench.ledger.mailboxes.claim(1, LONG)
    bench.ledger.restore_seen(claim, {}, incarnation)
    assert bench.ledger.unknown(["a"]) == 1
    bench.ledger.restore_seen(claim, {}, bench.ledger.incarnation())
    assert bench.ledger.unknown(["a"]) == 0


def test_republished_events_are_appended_to_the_stream(bench: LedgerBench) -> None:
    append(bench, range(1))
    bench.ledger.mailboxes.add(["a"])
    claim = next(claim for claim in bench.ledger.mailboxes.claim(9, LONG) if claim.id == "a")
    bench.ledger.republish(claim, [event(7), event(0)], 0.0)
    entries = bench.events.read("sink", 10)
    assert ids(entries) == [0, 7, 0]
    assert entries[1].event == event(7)
    assert entries[1].first_seen is None, "an old message must not count as a slow one"


def test_republished_events_may_be_as_old_as_their_manifests(bench: LedgerBench) -> None:
    bench.ledger.mailboxes.add(["a"])
    (claim,) = bench.ledger.mailboxes.claim(1, LONG)
    bench.ledger.republish(claim, [], 1_000.0)
    assert bench.ledger.clock_step() is None, "nothing was republished"
    for since, earliest in ((2_000.5, 2_000.5), (1_000.0, 1_000.0), (3_000.0, 1_000.0)):
        bench.ledger.republish(claim, [event(1)], since)
        entry = bench.events.read("sink", 10)[-1]
        step = bench.ledger.clock_step()
        assert step is not None
        assert step.earliest == earliest
        assert step.latest == pytest.approx(entry.appended, abs=0.01)
        assert step.not_before(entry.appended, 1.0) == earliest


def test_stale_claim_cannot_republish(bench: LedgerBench) -> None:
    bench.ledger.mailboxes.add(["a"])
    (claim,) = bench.ledger.mailboxes.claim(1, LONG)
    bench.ledger.mailboxes.release(claim, 0.0)
    with pytest.raises(StaleClaimError):
        bench.ledger.republish(claim, [event(1)], 0.0)
    assert bench.events.read("sink", 10) == []


def test_oldest_retrying_event_is_the_one_that_was_appended_first(bench: LedgerBench) -> None:
    append(bench, range(1))
    bench.pass_time(0.05)
    append(bench, range(1, 2))
    first, second = bench.events.read("a", 10)
    assert bench.events.oldest_retrying("a") is None
    for entry in (second, first):
        bench.events.reject("a", entry, 0.0)
    assert bench.events.oldest_retrying("a") == pytest.approx(first.appended, abs=0.001)
    assert bench.events.oldest_retrying("b") is None
    claims = {claim.id: claim for claim in bench.events.retrying("a").claim(2, LONG)}
    bench.events.mark_delivered("a", claims[first.event.id])
    assert bench.events.oldest_retrying("a") == pytest.approx(second.appended, abs=0.001)
    bench.events.mark_delivered("a", claims[second.event.id])
    assert bench.events.oldest_retrying("a") is None


def test_dead_lettered_event_does_not_count_as_retrying(bench: LedgerBench) -> None:
    append(bench, range(1))
    (rejected,) = bench.events.read("a", 1)
    bench.events.reject("a", rejected, 0.0)
    bench.events.dead_letter("a", claim_retrying(bench, "a"))
    assert bench.events.oldest_retrying("a") is None


def test_throttle_allows_one_call_per_period(bench: LedgerBench) -> None:
    assert bench.ledger.throttle("x", 0.1)
    assert not bench.ledger.throttle("x", 0.1)
    assert bench.ledger.throttle("y", 0.1)
    bench.pass_time(0.1)
    assert bench.ledger.throttle("x", LONG)
