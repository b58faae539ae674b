"""Places for connections, and credentials that were refused: on the twin and on Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.errors import StaleClaimError
from ingest.ports.slots import Refusal

if TYPE_CHECKING:
    from ingest.ports.claims import Claim
    from tests.support.valkey import Bench

LONG, SHORT = 600.0, 0.05
SERVER, ADDRESS = "pop.example.org:995", "192.0.2.7"
REFUSAL = Refusal(salt="a1", check="0f0f")


def claims(bench: Bench, count: int, lease: float = LONG) -> list[Claim]:
    bench.ledger.mailboxes.add([f"box-{number}" for number in range(count)])
    return bench.ledger.mailboxes.claim(count, lease)


def admitted(bench: Bench, claim: Claim, server: str = SERVER, address: str = ADDRESS, limit: int = 2) -> bool:
    return bench.ledger.acquire_slot(claim, server, address, limit)


def test_no_more_polls_connect_to_a_server_than_its_limit(bench: Bench) -> None:
    assert [admitted(bench, claim) for claim in claims(bench, 4)] == [True, True, False, False]


def test_servers_at_one_address_share_its_places(bench: Bench) -> None:
    """Hosting companies answer for thousands of names with a few machines."""
    told = [admitted(bench, claim, server=f"pop.{number}.example") for number, claim in enumerate(claims(bench, 3))]
    assert told == [True, True, False]


def test_a_server_with_several_addresses_has_one_limit(bench: Bench) -> None:
    told = [admitted(bench, claim, address=f"192.0.2.{number}") for number, claim in enumerate(claims(bench, 3))]
    assert told == [True, True, False]


def test_a_refused_poll_takes_no_place_anywhere(bench: Bench) -> None:
    first, second, third = claims(bench, 3)
    assert admitted(bench, first, "one", "shared", limit=1)
    assert not admitted(bench, second, "other", "shared", limit=1)
    assert admitted(bench, third, "other", "free", limit=1)


def test_other_servers_are_not_touched(bench: Bench) -> None:
    first, second = claims(bench, 2)
    assert admitted(bench, first, "one", "1", limit=1)
    assert admitted(bench, second, "other", "2", limit=1)


def test_the_same_poll_keeps_its_place_when_it_connects_again(bench: Bench) -> None:
    (claim,) = claims(bench, 1)
    assert all(admitted(bench, claim, limit=1) for _ in range(3))


def test_a_place_is_free_when_its_poll_has_ended(bench: Bench) -> None:
    first, second = claims(bench, 2)
    assert admitted(bench, first, limit=1)
    assert bench.ledger.mailboxes.release(first, LONG)
    assert admitted(bench, second, limit=1)


def test_a_place_is_free_when_the_worker_that_held_it_is_gone(bench: Bench) -> None:
    """Nobody gives back the places of a killed worker: they end with its claims."""
    bench.ledger.mailboxes.add(["dead"])
    (dead,) = bench.ledger.mailboxes.claim(1, SHORT)
    assert admitted(bench, dead, limit=1)
    (alive,) = claims(bench, 1)
    assert not admitted(bench, alive, limit=1)
    bench.pass_time(SHORT)
    assert admitted(bench, alive, limit=1)


def test_a_place_is_not_inherited_by_the_next_claim_of_the_same_mailbox(bench: Bench) -> None:
    (first,) = claims(bench, 1)
    assert admitted(bench, first, limit=1)
    assert bench.ledger.mailboxes.release(first, 0)
    (again,) = bench.ledger.mailboxes.claim(1, LONG)
    (other,) = [claim for claim in claims(bench, 2) if claim.id != again.id]
    assert admitted(bench, other, limit=1)
    assert not admitted(bench, again, limit=1)


def test_who_lost_its_claim_is_told_so(bench: Bench) -> None:
    (claim,) = claims(bench, 1)
    bench.ledger.mailboxes.release(claim, 0)
    with pytest.raises(StaleClaimError):
        admitted(bench, claim)


def test_a_refusal_is_remembered_for_its_time_and_its_mailbox(bench: Bench) -> None:
    bench.ledger.put_refusal("a", REFUSAL, 0.2)
    assert bench.ledger.refusal("a") == REFUSAL
    assert bench.ledger.refusal("b") is None
    bench.pass_time(0.2)
    assert bench.ledger.refusal("a") is None


def test_the_last_refusal_counts(bench: Bench) -> None:
    bench.ledger.put_refusal("a", REFUSAL, 0.05)
    bench.ledger.put_refusal("a", Refusal(salt="b2", check="1111"), LONG)
    bench.pass_time(0.05)
    assert bench.ledger.refusal("a") == Refusal(salt="b2", check="1111")


def test_a_lost_ledger_has_forgotten_refusals_and_places(bench: Bench) -> None:
    (claim,) = claims(bench, 1)
    admitted(bench, claim, limit=1)
    bench.ledger.put_refusal("a", REFUSAL, LONG)
    bench.lose()
    assert bench.ledger.refusal("a") is None
    (claim,) = claims(bench, 1)
    assert admitted(bench, claim, limit=1)
