"""The event of a message that was done before, made again from its manifest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ingest.domain.manifest import Manifest
from ingest.usecases.process.processor import event_of

if TYPE_CHECKING:
    from ingest.domain.events import Event
    from ingest.ports.store import Store, Stored


def event_from_manifest(store: Store, manifest: Stored) -> Event | None:
    """The event that told, or should have told, of a manifest; None when its bytes are not those of a manifest.

    Raises:
        StoreError: the store is away, or the manifest is gone.
    """
    with store.open(manifest.key) as body:
        data = body.read()
    try:
        read = Manifest.model_validate_json(data)
    except ValidationError:
        return None
    return event_of(read, datetime.fromtimestamp(manifest.modified, UTC))
