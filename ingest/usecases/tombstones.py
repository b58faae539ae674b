"""Read what remains of what was erased on purpose: whether a message was purged, or its raw mail erased."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from ingest.domain import keys
from ingest.domain.tombstone import MOST_BYTES, RawErased, Tombstone
from ingest.errors import ObjectMissingError

if TYPE_CHECKING:
    from ingest.ports.store import StoreReader


def read_tombstone(store: StoreReader, key: str) -> Tombstone | None:
    """Return the tombstone under the key of a manifest, None if there is a manifest, or nothing.

    Raises:
        StoreError: the store is unavailable.
    """
    try:
        with store.open(key) as body:
            return Tombstone.model_validate_json(body.read(MOST_BYTES + 1))
    except (ValidationError, ObjectMissingError):
        return None


def is_tombstone(store: StoreReader, key: str) -> bool:
    """Return whether a message was purged, by the key of its manifest; raises as `read_tombstone` does."""
    return read_tombstone(store, key) is not None


def read_raw_erased(store: StoreReader, folder: str) -> RawErased | None:
    """Return the record that the raw mail of a message was erased on purpose, None if it was not.

    A record of another message, such as one that was copied here, proves nothing about this one.

    Args:
        store: where it is.
        folder: the message's, without a trailing slash.

    Raises:
        StoreError: the store is unavailable.
    """
    try:
        with store.open(f"{folder}/{keys.RAW_ERASED}") as body:
            found = RawErased.model_validate_json(body.read(MOST_BYTES + 1))
    except (ValidationError, ObjectMissingError):
        return None
    return found if found.message_key == folder.rpartition("/")[2] else None
