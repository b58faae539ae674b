"""Looking into stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.ports.store import Store


def stored_keys(store: Store, prefix: str) -> list[str]:
    """The keys of all objects that begin so, in the store's own order."""
    return [found.key for found in store.stored(prefix)]
