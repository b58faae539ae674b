"""Read a manifest from the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from ingest.domain.manifest import Manifest
from ingest.errors import ObjectMissingError

if TYPE_CHECKING:
    from ingest.ports.store import Store

# Bytes; a message with a hundred thousand attachments has a larger one, and is not shown.
LARGEST = 64 * 2**20


def read_manifest(store: Store, key: str) -> Manifest | None:
    """Return a manifest; None if the message was purged, or nothing that can be read is there.

    Raises:
        StoreError: the store is unavailable.
    """
    try:
        with store.open(key) as body:
            return Manifest.model_validate_json(body.read(LARGEST))
    except (ObjectMissingError, ValidationError):
        return None
