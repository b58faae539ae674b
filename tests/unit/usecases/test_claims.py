"""Leases: renewed while held, lost when the claim is gone or the ledger is unavailable for too long."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
from structlog.testing import capture_logs

from ingest.errors import LedgerUnavailableError, StaleClaimError
from ingest.ports.claims import Claim
from ingest.usecases.claims import LeaseKeeper
from tests.support.bench import bench
from tests.support.clock import Clock
from tests.support.waiting import PATIENCE, eventually


def test_a_held_claim_outlives_its_lease() -> None:
    with bench() as b:
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        with b.keeper.hold(b.ledger.mailboxes, claim) as lease:
            for _ in range(5):
                b.clock.time += 50
                b.keeper.renew_all()
            lease.check()
            assert b.ledger.mailboxes.claim(1, 60) == []


def test_held_claims_are_renewed_in_the_background() -> None:
    with bench() as b, closing(LeaseKeeper(0.1)) as keeper:
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        with keeper.hold(b.ledger.mailboxes, claim) as lease:
            first = lease.expires
            eventually(lambda: lease.expires > first)


def test_claim_is_not_renewed_after_its_longest_time() -> None:
    with bench() as b:
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        keeper = LeaseKeeper(60, b.clock)
        with closing(keeper), keeper.hold(b.ledger.mailboxes, claim, longest=100) as lease:
            b.clock.time += 50
            keeper.renew_all()
            lease.check()
            b.clock.time += 51
            keeper.renew_all()
            with pytest.raises(StaleClaimError):
                lease.check()
            b.clock.time += 60
            assert b.ledger.mailboxes.claim(1, 60), "another worker may have it"


def test_claim_without_progress_is_not_renewed_and_its_holder_commits_nothing() -> None:
    with bench() as b:
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        keeper = LeaseKeeper(60, b.clock)
        with closing(keeper), keeper.hold(b.ledger.mailboxes, claim, patience=100) as lease:
            for step in (lease.progress, lease.check):
                b.clock.time += 59
                step()
                keeper.renew_all()
            for _ in range(2):
                b.clock.time += 50
                keeper.renew_all()
            b.clock.time += 60
            assert b.ledger.mailboxes.claim(1, 60), "another worker may have it"
            with pytest.raises(StaleClaimError):
                b.ledger.compact(claim, set())
            with pytest.raises(StaleClaimError):
                lease.check()


def test_claim_with_progress_ends_nevertheless() -> None:
    with bench() as b:
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        keeper = LeaseKeeper(60, b.clock)
        with closing(keeper), keeper.hold(b.ledger.mailboxes, claim) as lease:
            lease.end_within(100)
            b.clock.time += 50
            lease.progress()
            keeper.renew_all()
            lease.check()
            b.clock.time += 50
            lease.progress()
            keeper.renew_all()
            with pytest.raises(StaleClaimError):
                lease.check()


def test_claim_taken_by_another_worker_is_noticed() -> None:
    with bench() as b:
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        with b.keeper.hold(b.ledger.mailboxes, claim) as lease:
            b.clock.time += 61
            assert b.ledger.mailboxes.claim(1, 60)
            b.keeper.renew_all()
            with pytest.raises(StaleClaimError):
                lease.check()


class _Unavailable:
    """A work set whose ledger does not answer."""

    def renew(self, claim: Claim, lease: float) -> bool:
        raise LedgerUnavailableError("unavailable")


def test_lease_survives_an_unavailable_ledger_until_it_expires() -> None:
    clock = Clock()
    keeper = LeaseKeeper(60, clock)
    with keeper.hold(_Unavailable(), Claim("a", 1, 1, 0.0)) as lease:  # type: ignore[arg-type]  # all that a renewal uses
        clock.time += 59
        keeper.renew_all()
        lease.check()
        clock.time += 2
        keeper.renew_all()
        with pytest.raises(StaleClaimError):
            lease.check()
    keeper.close()


class _Buggy:
    """A work set that raises what no ledger is to raise."""

    def __init__(self) -> None:
        self.called = threading.Event()

    def renew(self, claim: Claim, lease: float) -> bool:
        self.called.set()
        raise OSError("too many open files")


def test_other_claims_are_still_renewed_when_the_renewal_of_one_fails_through_a_bug() -> None:
    with bench() as b, closing(LeaseKeeper(0.1)) as keeper, capture_logs() as logs:
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        buggy = _Buggy()
        with keeper.hold(buggy, Claim("x", 1, 1, 0.0)) as lost:  # type: ignore[arg-type]  # as above
            assert buggy.called.wait(PATIENCE)
            with keeper.hold(b.ledger.mailboxes, claim) as lease:
                first = lease.expires
                eventually(lambda: lease.expires > first and lost.lost)
                lease.check()
    assert "claim.bug" in {entry["event"] for entry in logs}


def test_claims_are_renewed_once_a_thread_can_be_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with bench() as b, closing(LeaseKeeper(0.1)) as keeper:
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError), keeper.hold(b.ledger.mailboxes, claim):
                pass
        with keeper.hold(b.ledger.mailboxes, claim) as lease:
            first = lease.expires
            eventually(lambda: lease.expires > first)
