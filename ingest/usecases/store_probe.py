"""A small object that is written to the store and read back, to learn whether the store works."""

from __future__ import annotations

import hashlib
import io
import uuid
from typing import TYPE_CHECKING

from ingest.errors import StoreError

if TYPE_CHECKING:
    from ingest.domain.keys import Layout
    from ingest.ports.store import Store

_BODY = b"written and deleted by mailhaul\n"


def write_probe(store: Store, layout: Layout) -> str:
    """Write an object, read it back, and return its key; the caller deletes it.

    Raises:
        StoreError: the store does not answer, refuses, or returned other bytes.
    """
    key = layout.probe(uuid.uuid4().hex)
    _put(store, key)
    with store.open(key) as probe:
        if probe.read() != _BODY:
            raise StoreError("the probe object was changed: do not use this store for mail")
    return key


def store_time(store: Store, layout: Layout) -> float:
    """Return the time on the store's clock (seconds since 1970), by which it writes objects.

    An object of one and the same key is written and stays, as the right to delete is not needed otherwise.

    Raises:
        StoreError: the store is unavailable, or does not list what was just written to it.
    """
    key = layout.clock()
    _put(store, key)
    found = next((stored.modified for stored in store.stored(key) if stored.key == key), None)
    if found is None:
        raise StoreError("the store does not list what was just written to it")
    return found


def _put(store: Store, key: str) -> None:
    store.put(
        key,
        io.BytesIO(_BODY),
        size=len(_BODY),
        sha256=hashlib.sha256(_BODY).hexdigest(),
        content_type="text/plain",
    )
