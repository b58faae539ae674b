"""Rebuild the event of a processed message from its manifest, to publish it again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ingest.domain.events import event_of
from ingest.domain.manifest import Manifest

if TYPE_CHECKING:
    from ingest.domain.events import Event
    from ingest.ports.store import Store, Stored


def event_from_manifest(store: Store, stored: Stored) -> Event | None:
    """Return the event of a stored manifest, with the same id as when it was first published.

    Returns None if the object is not a manifest: the tombstone of a purged message, or damaged.

    Raises:
        StoreError: the store is unavailable, or the manifest is gone.
    """
    with store.open(stored.key) as body:
        data = body.read()
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError:
        return None
    return event_of(manifest, datetime.fromtimestamp(stored.modified, UTC))
