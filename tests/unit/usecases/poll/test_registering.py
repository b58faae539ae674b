"""Stored messages are registered together, but none waits long for the others."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ingest.errors import StaleClaimError, StoreUnavailableError
from ingest.usecases.poll.fetch import REGISTERED_AFTER, REGISTERED_AT_ONCE, UPLOADS_PER_POLL
from ingest.usecases.poll.poller import PATIENCE
from ingest.usecases.spool import CHUNK_BYTES
from tests.support.bench import bench, mail, never

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from ingest.domain.record import ObjectRef
    from ingest.ports.claims import Claim
    from ingest.ports.seen import Registration
    from tests.support.bench import Bench


def watch(b: Bench, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many messages each registration has from now on."""
    sizes: list[int] = []
    register = b.ledger.register

    def counted(claim: Claim, registrations: Sequence[Registration]) -> int:
        sizes.append(len(registrations))
        return register(claim, registrations)

    monkeypatch.setattr(b.ledger, "register", counted)
    return sizes


def fill(b: Bench, messages: int) -> None:
    b.maildrops["a"].messages = {b"u%d" % number: mail(str(number)) for number in range(messages)}


def test_stored_messages_are_registered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    with bench() as b:
        fill(b, 100)
        sizes = watch(b, monkeypatch)
        b.poll_all()
        assert sum(sizes) == 100
        assert len(sizes) <= 10
        assert max(sizes) < REGISTERED_AT_ONCE + UPLOADS_PER_POLL


def wait(b: Bench, seconds: float) -> None:
    """Let time pass; held claims are renewed meanwhile."""
    for _ in range(round(seconds / 30)):
        b.clock.advance(30)
        b.keeper.renew_all()


def test_claim_of_a_poll_that_waits_for_the_store_too_long_goes_to_another_worker() -> None:
    with bench() as b:
        fill(b, 1)
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, b.keeper.seconds)
        b.store.fault = lambda operation, _: wait(b, PATIENCE + 90) if operation == "put" else None
        report = b.poller.poll(claim, b.mailboxes["a"], never)
        assert isinstance(report.error, StaleClaimError)
        assert report.registered == 0
        assert b.ledger.seen("a").records == {}
        assert b.ledger.mailboxes.claim(1, 60), "another worker may have it"


def test_claim_of_a_slow_upload_is_kept_while_bytes_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message needs twice the time that is allowed without progress."""
    with bench() as b:
        b.maildrops["a"].messages = {b"u": mail("large", "x" * 8 * CHUNK_BYTES)}
        put, began = b.store.put, b.clock()

        class Slow:
            def __init__(self, body: BinaryIO) -> None:
                self.body = body

            def read(self, size: int) -> bytes:
                wait(b, PATIENCE / 4)
                return self.body.read(size)

        def slowly(key: str, body: BinaryIO, **options: Any) -> ObjectRef:
            return put(key, cast("BinaryIO", Slow(body)), **options)

        monkeypatch.setattr(b.store, "put", slowly)
        b.poll_all()
        assert b.ledger.statuses()["a"].result == "success"
        assert b.clock() - began > 2 * PATIENCE


def test_poll_that_never_ends_loses_its_claim_in_spite_of_progress() -> None:
    with bench() as b:
        fill(b, 50)
        b.store.fault = lambda operation, _: wait(b, PATIENCE / 4) if operation == "put" else None
        b.poll_all()
        assert b.ledger.statuses()["a"].result == "ledger_error"
        assert 0 < len(b.ledger.seen("a").records) < 50


def test_rebuild_keeps_its_claim_while_it_makes_progress() -> None:
    with bench() as b:
        fill(b, 50)
        b.poll_all()
        b.ledger.lose()
        b.store.fault = lambda operation, _: wait(b, PATIENCE / 4) if operation == "get" else None
        b.poll_all()
        assert b.ledger.statuses()["a"].result == "success"
        assert b.ledger.counts()["open"] == 50


def test_slow_server_does_not_keep_stored_messages_unregistered(monkeypatch: pytest.MonkeyPatch) -> None:
    with bench() as b:
        fill(b, 40)
        sizes = watch(b, monkeypatch)
        observe = b.metrics.observe

        def slow(name: str, *arguments: Any) -> None:
            if name == "message_size_bytes":  # each message takes so long to arrive
                b.clock.advance(REGISTERED_AFTER.total_seconds())
            observe(name, *arguments)

        monkeypatch.setattr(b.metrics, "observe", slow)
        b.poll_all()
        assert sum(sizes) == 40
        assert max(sizes) <= 2 * UPLOADS_PER_POLL


def test_stored_messages_are_registered_before_an_error_ends_the_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    with bench() as b:
        fill(b, 20)
        sizes = watch(b, monkeypatch)
        puts = count()  # more than messages: other objects are stored too

        def fault(operation: str, key: str) -> None:
            if operation == "put" and next(puts) == 15:
                raise StoreUnavailableError("unavailable")

        b.store.fault = fault
        b.poll_all()
        assert b.ledger.statuses()["a"].result == "store_error"
        stored = len(b.keys("raw.eml"))
        assert sum(sizes) == stored == len(b.ledger.seen("a").records)
