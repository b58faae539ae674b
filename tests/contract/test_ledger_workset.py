"""Work sets and claims, on the twin and on Valkey."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from ingest.ports.claims import Backlog, Standing

if TYPE_CHECKING:
    from ingest.ports.claims import Claim, WorkSet
    from tests.support.valkey import LedgerBench

LONG, SHORT = 600.0, 0.05


@pytest.fixture
def work(bench: LedgerBench) -> WorkSet:
    return bench.ledger.mailboxes


def claim_one(work: WorkSet, lease: float = LONG) -> Claim:
    (claim,) = work.claim(1, lease)
    return claim


def test_adding_twice_changes_nothing(work: WorkSet) -> None:
    assert work.add(["a", "b"]) == 2
    claim = claim_one(work)
    assert work.add(["a", "b", "c"]) == 1
    assert work.members() == {"a", "b", "c"}
    assert work.renew(claim, LONG)
    assert {found.id for found in work.claim(9, LONG)} == {"b", "c"}


def test_adding_no_items_changes_nothing(work: WorkSet) -> None:
    assert work.add([]) == 0
    work.drop([])
    assert work.members() == set()


def test_claimed_item_is_not_claimed_again(work: WorkSet) -> None:
    work.add(["a"])
    claim_one(work)
    assert work.claim(9, LONG) == []


def test_no_more_items_are_claimed_than_the_limit(work: WorkSet) -> None:
    work.add(["a", "b", "c"])
    assert len(work.claim(2, LONG)) == 2


def test_concurrent_claims_never_share_an_item(work: WorkSet) -> None:
    ids = {f"box-{number:03}" for number in range(200)}
    work.add(ids)

    def claim_some(_: int) -> list[str]:
        return [claim.id for _ in range(25) for claim in work.claim(3, LONG)]

    with ThreadPoolExecutor(8) as threads:
        claimed = [item for items in threads.map(claim_some, range(8)) for item in items]
    assert sorted(claimed) == sorted(ids)


def test_most_overdue_item_is_claimed_first(bench: LedgerBench, work: WorkSet) -> None:
    work.add(["late"])
    bench.pass_time(0.02)
    work.add(["early"])
    assert [claim.id for claim in work.claim(2, LONG)] == ["late", "early"]


def test_claim_has_its_lateness(bench: LedgerBench, work: WorkSet) -> None:
    work.add(["a"])
    before = bench.now()
    bench.pass_time(0.1)
    late = claim_one(work).late
    assert late + 0.002 >= 0.1
    assert late <= bench.now() - before + 0.1


def test_released_item_is_due_after_its_delay(bench: LedgerBench, work: WorkSet) -> None:
    work.add(["a"])
    assert work.release(claim_one(work), 0.2)
    assert work.claim(1, LONG) == []
    bench.pass_time(0.2)
    assert claim_one(work).id == "a"


def test_item_of_an_expired_claim_is_due_again_and_the_claim_is_stale(bench: LedgerBench, work: WorkSet) -> None:
    work.add(["a"])
    old = claim_one(work, SHORT)
    bench.pass_time(SHORT)
    new = claim_one(work)
    assert new.fence > old.fence
    assert not work.renew(old, LONG)
    assert not work.release(old, 0.0)
    assert work.renew(new, LONG)


def test_item_of_an_expired_claim_is_due_since_its_deadline(bench: LedgerBench, work: WorkSet) -> None:
    """So it is claimed before items that became due later."""
    work.add(["z-dead"])
    claim_one(work, SHORT)
    bench.pass_time(SHORT * 2)
    work.add(["a-young"])
    bench.pass_time(0.02)
    assert [claim.id for claim in work.claim(2, LONG)] == ["z-dead", "a-young"]


def test_expired_claim_cannot_be_renewed_after_the_next_claim(bench: LedgerBench, work: WorkSet) -> None:
    """Its item is due again, though nobody has claimed it yet; a renewal would make it claimed and due at once."""
    work.add(["a", "b"])
    first, second = work.claim(2, SHORT)
    bench.pass_time(SHORT)
    claimed = claim_one(work)
    left = second if claimed.id == first.id else first
    assert not work.renew(left, LONG)
    assert not work.release(left, LONG)
    assert claim_one(work).id == left.id


def test_renewing_moves_the_deadline(bench: LedgerBench, work: WorkSet) -> None:
    work.add(["a"])
    claim = claim_one(work, SHORT)
    assert work.renew(claim, LONG)
    bench.pass_time(SHORT)
    assert work.claim(1, LONG) == []


def test_claim_can_be_released_once(work: WorkSet) -> None:
    work.add(["a"])
    claim = claim_one(work)
    assert work.release(claim, 0.0)
    assert not work.release(claim, 0.0)
    assert not work.renew(claim, LONG)


def test_fences_grow(work: WorkSet) -> None:
    work.add(["a", "b"])
    first, second = work.claim(2, LONG)
    work.release(first, 0.0)
    assert first.fence < second.fence < claim_one(work).fence


def test_fences_grow_even_after_the_ledger_was_lost(bench: LedgerBench, work: WorkSet) -> None:
    """Otherwise a claim from before the loss could be valid under a fence that was given out twice."""
    work.add(["a", *(f"other-{number}" for number in range(50))])
    before = work.claim(51, LONG)
    bench.lose()
    assert work.members() == set()
    work.add(["a"])
    after = claim_one(work)
    assert all(after.fence > claim.fence for claim in before)
    assert not any(work.renew(claim, LONG) for claim in before)


def test_tries_count_on_from_the_release(work: WorkSet) -> None:
    work.add(["a"])
    first = claim_one(work)
    assert first.tries == 1
    work.release(first, 0.0, first.tries)
    second = claim_one(work)
    assert second.tries == 2
    work.release(second, 0.0, second.tries - 1)
    third = claim_one(work)
    assert third.tries == 2
    work.release(third, 0.0)
    assert claim_one(work).tries == 1


def test_attempt_that_began_counts_after_its_claim_has_expired(bench: LedgerBench, work: WorkSet) -> None:
    """A worker that dies in the middle cannot record its attempt any more."""
    work.add(["a"])
    assert work.begin_attempt(claim_one(work, SHORT))
    bench.pass_time(SHORT)
    assert claim_one(work).tries == 2


def test_expired_claim_without_an_attempt_does_not_count(bench: LedgerBench, work: WorkSet) -> None:
    """A worker that dies leaves claims on items that it had not come to."""
    work.add(["a"])
    for _ in range(5):
        assert claim_one(work, SHORT).tries == 1
        bench.pass_time(2 * SHORT)


def test_stale_claim_cannot_begin_an_attempt(bench: LedgerBench, work: WorkSet) -> None:
    work.add(["a"])
    stale = claim_one(work, SHORT)
    bench.pass_time(2 * SHORT)
    current = claim_one(work, SHORT)
    assert not work.begin_attempt(stale)
    assert current.tries == 1
    bench.pass_time(2 * SHORT)
    assert claim_one(work).tries == 1


def test_run_now_makes_a_waiting_item_due(work: WorkSet) -> None:
    work.add(["a"])
    work.release(claim_one(work), LONG)
    assert work.run_now("a")
    assert claim_one(work).id == "a"


def test_run_now_does_not_change_claimed_and_unknown_items(work: WorkSet) -> None:
    work.add(["a"])
    claim = claim_one(work)
    assert not work.run_now("a")
    assert not work.run_now("unknown")
    assert work.members() == {"a"}
    assert work.renew(claim, LONG)


def test_run_now_keeps_the_due_time_of_an_overdue_item(bench: LedgerBench, work: WorkSet) -> None:
    work.add(["first"])
    bench.pass_time(0.02)
    work.add(["second"])
    bench.pass_time(0.02)
    assert work.run_now("first")
    assert claim_one(work).id == "first"


def test_dropped_item_loses_its_claim_and_its_tries(work: WorkSet) -> None:
    work.add(["a", "b"])
    claim = claim_one(work)
    work.drop(["a", "b"])
    assert work.members() == set()
    assert not work.renew(claim, LONG)
    work.add(["a"])
    assert claim_one(work).tries == 1


def test_backlog_counts_due_claimed_and_waiting_items(bench: LedgerBench, work: WorkSet) -> None:
    assert work.backlog() == Backlog(0, 0, 0, 0.0)
    work.add(["waiting", "claimed", "due"])
    claims = {claim.id: claim for claim in work.claim(3, LONG)}
    work.release(claims["waiting"], LONG)
    work.release(claims["due"], 0.0)
    bench.pass_time(0.1)
    found = work.backlog()
    assert (found.due, found.claimed, found.waiting) == (1, 1, 1)
    assert found.lag >= 0.099


def test_item_of_an_expired_claim_counts_as_due(bench: LedgerBench, work: WorkSet) -> None:
    work.add(["a"])
    claim_one(work, SHORT)
    assert work.backlog().due == 0
    bench.pass_time(SHORT + 0.1)
    found = work.backlog()
    assert (found.due, found.claimed) == (1, 0)
    assert found.lag >= 0.099


def test_work_sets_are_separate(bench: LedgerBench) -> None:
    ledger = bench.ledger
    ledger.mailboxes.add(["a"])
    assert ledger.messages.members() == ledger.sinks.members() == set()
    claim = claim_one(ledger.mailboxes)
    ledger.sinks.add(["a"])
    assert not ledger.sinks.renew(claim, LONG)


def test_due_in_is_the_time_until_an_item_is_due(work: WorkSet) -> None:
    work.add(["a"])
    assert work.due_in("a") == 0.0
    claim = claim_one(work)
    assert work.due_in("a") is None
    work.release(claim, 1000.0)
    assert 900.0 < (work.due_in("a") or 0.0) <= 1000.0
    work.run_now("a")
    assert work.due_in("a") == 0.0
    assert work.due_in("b") is None


def test_item_can_be_claimed_early_and_released_with_its_due_time(work: WorkSet) -> None:
    work.add(["a", "b"])
    for claim in work.claim(2, LONG):
        work.release(claim, 1000.0, claim.tries)
    claimed = work.claim_one("a", LONG)
    assert claimed is not None
    assert (claimed.id, claimed.tries) == ("a", 2)
    assert -1000.0 <= claimed.late < -900.0
    assert work.renew(claimed, LONG)
    assert work.release(claimed, -claimed.late, claimed.tries - 1)
    assert 900.0 < (work.due_in("a") or 0.0) <= 1000.0


def test_unknown_item_can_be_claimed(work: WorkSet) -> None:
    claim = work.claim_one("new", LONG)
    assert claim is not None
    assert 0.0 <= claim.late < 1.0
    assert work.members() == {"new"}


def test_claimed_item_cannot_be_claimed_by_name(bench: LedgerBench, work: WorkSet) -> None:
    work.add(["a"])
    holder = claim_one(work, SHORT)
    assert work.claim_one("a", LONG) is None
    assert work.renew(holder, SHORT)
    bench.pass_time(SHORT)
    claim = work.claim_one("a", LONG)
    assert claim is not None
    assert claim.fence > holder.fence
    assert not work.renew(holder, LONG)
    assert work.claim(1, LONG) == []


def test_fence_is_higher_than_all_before_it_in_both_kinds_of_claim(work: WorkSet) -> None:
    work.add(["a", "b", "c"])
    (first,) = work.claim(1, LONG)
    second = work.claim_one("new", LONG)
    (third,) = work.claim(1, LONG)
    assert second is not None
    assert first.fence < second.fence < third.fence


def test_standing_has_the_state_of_every_item(bench: LedgerBench, work: WorkSet) -> None:
    assert work.standing() == {}
    work.add(["due", "waiting", "held", "let-go"])
    claims = {claim.id: claim for claim in work.claim(4, LONG)}
    work.release(claims["due"], 0.0)
    work.release(claims["waiting"], 1000.0)
    work.renew(claims["let-go"], SHORT)
    bench.pass_time(SHORT)
    found = work.standing()
    assert found["due"] == found["let-go"] == Standing(0.0)
    assert found["held"] == Standing(0.0, claimed=True)
    assert 900.0 < found["waiting"].due_in <= 1000.0
