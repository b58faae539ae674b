"""Nothing is deleted on a server unless the store shows the message's objects."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pytest

from ingest.adapters.stores.memory import MemoryStore
from ingest.domain.keys import Layout
from ingest.domain.seen import StoredAt
from ingest.domain.tombstone import Tombstone
from ingest.errors import StoreUnavailableError
from ingest.usecases.poll.proof import StoreProof
from tests.support.bench import mailbox

KEY = "ab" * 16
DAY = date(2026, 3, 9)
FOLDER = f"mail/a/2026/03/09/{KEY}"
RAW = b"Subject: x\r\n\r\n"
STORED_AT = StoredAt(KEY, DAY, len(RAW))
LAYOUT = Layout("mail")


def put(store: MemoryStore, name: str, body: bytes) -> None:
    digest = hashlib.sha256(body).hexdigest()
    store.put(f"{FOLDER}/{name}", io.BytesIO(body), size=len(body), sha256=digest, content_type="text/plain")


def tombstone(key: str) -> bytes:
    return Tombstone(
        message_key=key, mailbox="a", purged_at=datetime(2026, 3, 9, tzinfo=UTC), objects=2, size=9
    ).to_json()


def holds(store: MemoryStore) -> bool:
    with ThreadPoolExecutor(2) as threads:
        (held,) = StoreProof(store, LAYOUT, threads).held(mailbox("a"), [STORED_AT])
    return held


def test_raw_object_and_manifest_prove_a_message() -> None:
    store = MemoryStore()
    put(store, "raw.eml", RAW)
    put(store, "message.json", b"{}" * 1_000)
    assert holds(store)


@pytest.mark.parametrize(
    "objects",
    [
        {},
        {"raw.eml": RAW},
        {"message.json": b"{}"},
        {"raw.eml": RAW[:-1], "message.json": b"{}"},
        {"raw.eml": b"", "message.json": b"{}"},
        {"raw.eml": RAW, "message.json": b""},
        {"raw.eml": b"", "message.json": tombstone("cd" * 16)},
    ],
    ids=["nothing", "no manifest", "no raw", "shorter", "empty raw", "empty manifest", "another's tombstone"],
)
def test_anything_less_proves_nothing(objects: dict[str, bytes]) -> None:
    store = MemoryStore()
    for name, body in objects.items():
        put(store, name, body)
    assert not holds(store)


def test_purged_message_counts_as_held() -> None:
    store = MemoryStore()
    put(store, "raw.eml", b"")
    put(store, "message.json", tombstone(KEY))
    assert holds(store)


def test_unavailable_store_proves_nothing() -> None:
    class Unavailable(MemoryStore):
        def stat(self, key: str) -> None:
            raise StoreUnavailableError("busy")

    with pytest.raises(StoreUnavailableError):
        holds(Unavailable())
