"""Write to stores and look into them."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.adapters.stores.rest.store import RestStore
    from ingest.domain.record import ObjectRef
    from ingest.ports.store import Store, StoreWriter


def put(store: StoreWriter, key: str, content: bytes, **options: Any) -> ObjectRef:
    """Store an object with its true size and checksum, as plain text unless `options` say otherwise."""
    return store.put(
        key,
        io.BytesIO(content),
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        **{"content_type": "text/plain", **options},
    )


def read(store: Store, key: str) -> bytes:
    """Return the content of an object."""
    with store.open(key) as body:
        return body.read()


def stored_keys(store: Store, prefix: str) -> list[str]:
    """Return the keys of all objects with this prefix, in the store's own order."""
    return [found.key for found in store.stored(prefix)]


def every_call(store: Store) -> list[Callable[[], object]]:
    """Return a call of each method that asks the server of a store, but for those of one kind of store only."""
    return [
        lambda: put(store, "box/a", b"bytes"),
        lambda: put(store, "box/a", b"bytes", only_if_absent=True),
        lambda: store.stat("box/a"),
        lambda: read(store, "box/a"),
        lambda: stored_keys(store, ""),
        lambda: store.delete("box/a"),
    ]


def every_rest_call(store: RestStore) -> list[Callable[[], object]]:
    """Return the same for a store of Google or Azure, with the methods that only these have."""
    return [*every_call(store), lambda: store.erase("box"), lambda: store.restorable_until("box")]
