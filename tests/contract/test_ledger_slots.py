"""Connection slots and refused credentials, on the twin and on Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.errors import StaleClaimError
from ingest.ports.slots import LastLogin, Refusal
from ingest.ports.status import MailboxStatus

if TYPE_CHECKING:
    from ingest.ports.claims import Claim
    from tests.support.valkey import LedgerBench

LONG, SHORT = 600.0, 0.05
SERVER, ADDRESS = "pop.example.org:995", "192.0.2.7"
REFUSAL = Refusal(salt="a1", check="0f0f")


def claims(bench: LedgerBench, count: int, lease: float = LONG) -> list[Claim]:
    bench.ledger.mailboxes.add([f"box-{number}" for number in range(count)])
    return bench.ledger.mailboxes.claim(count, lease)


def acquire(bench: LedgerBench, claim: Claim, server: str = SERVER, address: str = ADDRESS, limit: int = 2) -> bool:
    return bench.ledger.acquire_slot(claim, server, address, limit)


def test_no_more_polls_connect_to_a_server_than_its_limit(bench: LedgerBench) -> None:
    assert [acquire(bench, claim) for claim in claims(bench, 4)] == [True, True, False, False]


def test_servers_at_one_address_share_its_slots(bench: LedgerBench) -> None:
    """Hosting companies serve thousands of host names from a few machines."""
    acquired = [
        acquire(bench, claim, server=f"pop.{number}.example") for number, claim in enumerate(claims(bench, 3))
    ]
    assert acquired == [True, True, False]


def test_server_with_several_addresses_has_one_limit(bench: LedgerBench) -> None:
    acquired = [acquire(bench, claim, address=f"192.0.2.{number}") for number, claim in enumerate(claims(bench, 3))]
    assert acquired == [True, True, False]


def test_poll_without_a_slot_at_the_address_takes_none_at_the_server(bench: LedgerBench) -> None:
    first, second, third = claims(bench, 3)
    assert acquire(bench, first, "one", "shared", limit=1)
    assert not acquire(bench, second, "other", "shared", limit=1)
    assert acquire(bench, third, "other", "free", limit=1)


def test_servers_have_separate_slots(bench: LedgerBench) -> None:
    first, second = claims(bench, 2)
    assert acquire(bench, first, "one", "1", limit=1)
    assert acquire(bench, second, "other", "2", limit=1)


def test_poll_keeps_its_slot_when_it_connects_again(bench: LedgerBench) -> None:
    (claim,) = claims(bench, 1)
    assert all(acquire(bench, claim, limit=1) for _ in range(3))


def test_slot_is_free_when_its_poll_has_ended(bench: LedgerBench) -> None:
    first, second = claims(bench, 2)
    assert acquire(bench, first, limit=1)
    assert bench.ledger.mailboxes.release(first, LONG)
    assert acquire(bench, second, limit=1)


def test_slot_of_a_dead_worker_is_free_when_its_claim_expires(bench: LedgerBench) -> None:
    bench.ledger.mailboxes.add(["dead"])
    (dead,) = bench.ledger.mailboxes.claim(1, SHORT)
    assert acquire(bench, dead, limit=1)
    (alive,) = claims(bench, 1)
    assert not acquire(bench, alive, limit=1)
    bench.pass_time(SHORT)
    assert acquire(bench, alive, limit=1)


def test_slot_is_not_inherited_by_the_next_claim_of_the_mailbox(bench: LedgerBench) -> None:
    (first,) = claims(bench, 1)
    assert acquire(bench, first, limit=1)
    assert bench.ledger.mailboxes.release(first, 0)
    (again,) = bench.ledger.mailboxes.claim(1, LONG)
    (other,) = [claim for claim in claims(bench, 2) if claim.id != again.id]
    assert acquire(bench, other, limit=1)
    assert not acquire(bench, again, limit=1)


def test_stale_claim_cannot_acquire_a_slot(bench: LedgerBench) -> None:
    (claim,) = claims(bench, 1)
    bench.ledger.mailboxes.release(claim, 0)
    with pytest.raises(StaleClaimError):
        acquire(bench, claim)


def test_refusal_expires_and_belongs_to_its_mailbox(bench: LedgerBench) -> None:
    bench.ledger.put_refusal("a", REFUSAL, 0.2)
    assert bench.ledger.refusal("a") == REFUSAL
    assert bench.ledger.refusal("b") is None
    bench.pass_time(0.2)
    assert bench.ledger.refusal("a") is None


def test_last_refusal_replaces_the_one_before(bench: LedgerBench) -> None:
    bench.ledger.put_refusal("a", REFUSAL, 0.05)
    bench.ledger.put_refusal("a", Refusal(salt="b2", check="1111"), LONG)
    bench.pass_time(0.05)
    assert bench.ledger.refusal("a") == Refusal(salt="b2", check="1111")


def test_last_login_is_replaced_by_the_next_and_stays_without_one(bench: LedgerBench) -> None:
    first, second = LastLogin("a1", "0f0f", 1000.5), LastLogin("b2", "1111", 2000.5, refused=2)
    assert bench.ledger.last_login("a") is None
    bench.ledger.put_last_login("a", first)
    assert (bench.ledger.last_login("a"), bench.ledger.last_login("b")) == (first, None)
    bench.ledger.put_status("a", MailboxStatus(last_poll=1.0, result="success"), second)
    bench.ledger.put_status("a", MailboxStatus(last_poll=2.0, result="timeout"))
    assert bench.ledger.last_login("a") == second


def test_lost_ledger_has_no_refusals_and_no_slots(bench: LedgerBench) -> None:
    (claim,) = claims(bench, 1)
    acquire(bench, claim, limit=1)
    bench.ledger.put_refusal("a", REFUSAL, LONG)
    bench.ledger.put_last_login("a", LastLogin("a1", "0f0f", 1000.5))
    bench.lose()
    assert bench.ledger.refusal("a") is None
    assert bench.ledger.last_login("a") is None
    (claim,) = claims(bench, 1)
    assert acquire(bench, claim, limit=1)
