"""A store carries an id of its own."""

from __future__ import annotations

import hashlib
import io

import pytest

from ingest.domain.keys import Layout
from ingest.errors import StoreRefusedError, StoreUnavailableError
from ingest.testing import MemoryStore
from ingest.usecases.store_identity import IDENTITY_SECONDS, StoreIdentity

LAYOUT = Layout("mail")


def test_store_keeps_its_id() -> None:
    store = MemoryStore()
    identities = [StoreIdentity(store, LAYOUT, lambda: 0.0) for _ in range(2)]
    assert len(identities[0].read()) == 16
    assert identities[0].read() == identities[1].read()


def test_emptied_store_is_another_store() -> None:
    store, clock = MemoryStore(), [1_000.0]
    identity = StoreIdentity(store, LAYOUT, lambda: clock[0])
    before = identity.read()
    store.objects.clear()
    assert identity.read() == before, "read once a minute"
    clock[0] += IDENTITY_SECONDS
    assert identity.read() != before


def test_store_keeps_the_id_that_was_read_last_while_it_is_unavailable() -> None:
    def fault(*_: str) -> None:
        raise StoreUnavailableError("unavailable")

    store, clock = MemoryStore(), [1_000.0]
    identity = StoreIdentity(store, LAYOUT, lambda: clock[0])
    before = identity.read()
    store.fault = fault
    clock[0] += IDENTITY_SECONDS
    assert identity.read() == before
    with pytest.raises(StoreUnavailableError):
        StoreIdentity(store, LAYOUT, lambda: 0.0).read()


def test_id_that_was_read_last_is_returned_without_a_request() -> None:
    store, clock = MemoryStore(), [1_000.0]
    identity = StoreIdentity(store, LAYOUT, lambda: clock[0])
    before = identity.last()
    assert before == identity.peek()
    store.objects.clear()
    clock[0] += IDENTITY_SECONDS
    assert identity.last() == before
    assert identity.last() != identity.read() == identity.last()


@pytest.mark.parametrize("text", [b"<html>maintenance</html>", b"", b"ab" * 15, b"ab" * 17, b"\xff"])
def test_store_that_answers_something_else_has_no_id(text: bytes) -> None:
    store = MemoryStore()
    digest = hashlib.sha256(text).hexdigest()
    store.put(LAYOUT.store_id(), io.BytesIO(text), size=len(text), sha256=digest, content_type="text/plain")
    with pytest.raises(StoreRefusedError, match="is not a store id"):
        StoreIdentity(store, LAYOUT, lambda: 0.0).read()


def test_store_that_forgets_what_it_acknowledged_has_no_id() -> None:
    class Forgetful(MemoryStore):
        def put(self, *arguments: object, **named: object) -> None:  # type: ignore[override]
            """Acknowledge everything, store nothing."""

    with pytest.raises(StoreRefusedError, match="does not return it"):
        StoreIdentity(Forgetful(), LAYOUT, lambda: 0.0).read()
