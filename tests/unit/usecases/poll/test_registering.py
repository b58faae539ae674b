"""Stored messages are registered together, but none waits long for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.errors import StoreUnavailableError
from ingest.usecases.poll.fetch import REGISTERED_AFTER, REGISTERED_AT_ONCE, UPLOADS_PER_POLL
from tests.support.bench import bench, mail

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

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
        puts = iter(range(20))

        def fault(operation: str, key: str) -> None:
            if operation == "put" and next(puts) == 15:
                raise StoreUnavailableError("unavailable")

        b.store.fault = fault
        b.poll_all()
        assert b.ledger.statuses()["a"].result == "store_error"
        stored = len(b.keys("raw.eml"))
        assert sum(sizes) == stored == len(b.ledger.seen("a").records)
