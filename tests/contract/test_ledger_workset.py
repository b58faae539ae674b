"""The rules of a work set, on the twin and on Valkey: who may work on what, and until when."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from ingest.ports.claims import Backlog, Standing

if TYPE_CHECKING:
    from ingest.ports.claims import Claim, WorkSet
    from tests.support.valkey import Bench

LONG, SHORT = 600.0, 0.05


@pytest.fixture
def work(bench: Bench) -> WorkSet:
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


def test_adding_nothing_is_allowed(work: WorkSet) -> None:
    assert work.add([]) == 0
    work.drop([])
    assert work.members() == set()


def test_a_claimed_item_is_not_claimed_again(work: WorkSet) -> None:
    work.add(["a"])
    claim_one(work)
    assert work.claim(9, LONG) == []


def test_no_more_are_claimed_than_asked_for(work: WorkSet) -> None:
    work.add(["a", "b", "c"])
    assert len(work.claim(2, LONG)) == 2


def test_claimers_at_the_same_time_never_hold_the_same_item(work: WorkSet) -> None:
    ids = {f"box-{number:03}" for number in range(200)}
    work.add(ids)

    def take(_: int) -> list[str]:
        return [claim.id for _ in range(25) for claim in work.claim(3, LONG)]

    with ThreadPoolExecutor(8) as threads:
        taken = [item for items in threads.map(take, range(8)) for item in items]
    assert sorted(taken) == sorted(ids)


def test_the_longest_overdue_comes_first(bench: Bench, work: WorkSet) -> None:
    work.add(["late"])
    bench.pass_time(0.02)
    work.add(["early"])
    assert [claim.id for claim in work.claim(2, LONG)] == ["late", "early"]


def test_a_claim_tells_how_late_it_is(bench: Bench, work: WorkSet) -> None:
    work.add(["a"])
    before = bench.now()
    bench.pass_time(0.1)
    late = claim_one(work).late
    assert late + 0.002 >= 0.1
    assert late <= bench.now() - before + 0.1


def test_a_released_item_waits_for_its_delay(bench: Bench, work: WorkSet) -> None:
    work.add(["a"])
    assert work.release(claim_one(work), 0.2)
    assert work.claim(1, LONG) == []
    bench.pass_time(0.2)
    assert claim_one(work).id == "a"


def test_a_claim_that_ran_out_is_due_again_and_its_holder_is_refused(bench: Bench, work: WorkSet) -> None:
    work.add(["a"])
    old = claim_one(work, SHORT)
    bench.pass_time(SHORT)
    new = claim_one(work)
    assert new.fence > old.fence
    assert not work.renew(old, LONG)
    assert not work.release(old, 0.0)
    assert work.renew(new, LONG)


def test_a_claim_that_ran_out_is_due_since_its_deadline(bench: Bench, work: WorkSet) -> None:
    """So it comes before items that became due after it died."""
    work.add(["z-dead"])
    claim_one(work, SHORT)
    bench.pass_time(SHORT * 2)
    work.add(["a-young"])
    bench.pass_time(0.02)
    assert [claim.id for claim in work.claim(2, LONG)] == ["z-dead", "a-young"]


def test_a_claim_that_ran_out_cannot_come_back_once_it_was_seen(bench: Bench, work: WorkSet) -> None:
    """It is due again, though nobody has taken it yet: renewing it would have it claimed and due at once."""
    work.add(["a", "b"])
    first, second = work.claim(2, SHORT)
    bench.pass_time(SHORT)
    taken = claim_one(work)
    left = second if taken.id == first.id else first
    assert not work.renew(left, LONG)
    assert not work.release(left, LONG)
    assert claim_one(work).id == left.id


def test_renewing_moves_the_deadline(bench: Bench, work: WorkSet) -> None:
    work.add(["a"])
    claim = claim_one(work, SHORT)
    assert work.renew(claim, LONG)
    bench.pass_time(SHORT)
    assert work.claim(1, LONG) == []


def test_a_claim_can_be_released_once(work: WorkSet) -> None:
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


def test_fences_grow_even_after_the_ledger_was_lost(bench: Bench, work: WorkSet) -> None:
    """Otherwise a holder from before the loss could commit under a fence that was given out anew."""
    work.add(["a", *(f"other-{number}" for number in range(50))])
    before = work.claim(51, LONG)
    bench.lose()
    assert work.members() == set()
    work.add(["a"])
    after = claim_one(work)
    assert all(after.fence > claim.fence for claim in before)
    assert not any(work.renew(claim, LONG) for claim in before)


def test_tries_count_from_what_the_release_says(work: WorkSet) -> None:
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


def test_a_claim_that_ran_out_counts_as_a_try(bench: Bench, work: WorkSet) -> None:
    """Whoever dies over an item says nothing; the next holder must learn of it."""
    work.add(["a"])
    claim_one(work, SHORT)
    bench.pass_time(SHORT)
    assert claim_one(work).tries == 2


def test_hasten_makes_a_waiting_item_due(work: WorkSet) -> None:
    work.add(["a"])
    work.release(claim_one(work), LONG)
    assert work.run_now("a")
    assert claim_one(work).id == "a"


def test_hasten_leaves_claimed_and_unknown_items_alone(work: WorkSet) -> None:
    work.add(["a"])
    claim = claim_one(work)
    assert not work.run_now("a")
    assert not work.run_now("unknown")
    assert work.members() == {"a"}
    assert work.renew(claim, LONG)


def test_hasten_does_not_put_an_overdue_item_behind_others(bench: Bench, work: WorkSet) -> None:
    work.add(["first"])
    bench.pass_time(0.02)
    work.add(["second"])
    bench.pass_time(0.02)
    assert work.run_now("first")
    assert claim_one(work).id == "first"


def test_a_dropped_item_is_forgotten_with_its_claim_and_its_tries(work: WorkSet) -> None:
    work.add(["a", "b"])
    claim = claim_one(work)
    work.drop(["a", "b"])
    assert work.members() == set()
    assert not work.renew(claim, LONG)
    work.add(["a"])
    assert claim_one(work).tries == 1


def test_the_backlog_counts_due_claimed_and_waiting(bench: Bench, work: WorkSet) -> None:
    assert work.backlog() == Backlog(0, 0, 0, 0.0)
    work.add(["waiting", "claimed", "due"])
    claims = {claim.id: claim for claim in work.claim(3, LONG)}
    work.release(claims["waiting"], LONG)
    work.release(claims["due"], 0.0)
    bench.pass_time(0.1)
    found = work.backlog()
    assert (found.due, found.claimed, found.waiting) == (1, 1, 1)
    assert found.lag >= 0.099


def test_a_claim_that_ran_out_counts_as_due(bench: Bench, work: WorkSet) -> None:
    work.add(["a"])
    claim_one(work, SHORT)
    assert work.backlog().due == 0
    bench.pass_time(SHORT + 0.1)
    found = work.backlog()
    assert (found.due, found.claimed) == (1, 0)
    assert found.lag >= 0.099


def test_work_sets_do_not_know_of_each_other(bench: Bench) -> None:
    ledger = bench.ledger
    ledger.mailboxes.add(["a"])
    assert ledger.messages.members() == ledger.sinks.members() == set()
    claim = claim_one(ledger.mailboxes)
    ledger.sinks.add(["a"])
    assert not ledger.sinks.renew(claim, LONG)


def test_how_long_an_item_has_to_wait_can_be_asked(work: WorkSet) -> None:
    work.add(["a"])
    assert work.due_in("a") == 0.0
    claim = claim_one(work)
    assert work.due_in("a") is None
    work.release(claim, 1000.0)
    assert 900.0 < (work.due_in("a") or 0.0) <= 1000.0
    work.run_now("a")
    assert work.due_in("a") == 0.0
    assert work.due_in("b") is None


def test_one_item_can_be_taken_before_its_time_and_given_back_to_it(work: WorkSet) -> None:
    work.add(["a", "b"])
    for claim in work.claim(2, LONG):
        work.release(claim, 1000.0, claim.tries)
    taken = work.claim_one("a", LONG)
    assert taken is not None
    assert (taken.id, taken.tries) == ("a", 2)
    assert -1000.0 <= taken.late < -900.0
    assert work.renew(taken, LONG)
    assert work.release(taken, -taken.late, taken.tries - 1)
    assert 900.0 < (work.due_in("a") or 0.0) <= 1000.0


def test_an_item_that_nobody_knew_can_be_taken(work: WorkSet) -> None:
    claim = work.claim_one("new", LONG)
    assert claim is not None
    assert 0.0 <= claim.late < 1.0
    assert work.members() == {"new"}


def test_one_item_is_not_taken_from_who_has_it(bench: Bench, work: WorkSet) -> None:
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


def test_a_fence_is_higher_than_all_before_it_however_the_item_was_taken(work: WorkSet) -> None:
    work.add(["a", "b", "c"])
    (first,) = work.claim(1, LONG)
    second = work.claim_one("new", LONG)
    (third,) = work.claim(1, LONG)
    assert second is not None
    assert first.fence < second.fence < third.fence


def test_how_all_items_stand_can_be_asked(bench: Bench, work: WorkSet) -> None:
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
