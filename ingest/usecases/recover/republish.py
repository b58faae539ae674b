"""Republish: the events of a processed message, rebuilt from its manifest, unless the stream holds them already."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ingest.domain.cloudevents import events_of
from ingest.domain.manifest import Manifest
from ingest.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from ingest.domain.events import Event
    from ingest.ports.eventlog import EventLog
    from ingest.ports.store import Store, Stored


def events_from_manifest(store: Store, stored: Stored) -> list[Event]:
    """Return the events of a stored manifest, with the same ids as when they were first published.

    Returns none if the object is not a manifest: the tombstone of a purged message, or damaged.

    Raises:
        StoreError: the store is unavailable, the manifest is gone, or only a part of it came.
    """
    with store.open(stored.key) as body:
        data = body.read()
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError:
        if not _is_json(data):
            raise_if_cut(stored, len(data))
        return []
    return events_of(manifest, datetime.fromtimestamp(stored.modified, UTC))


def _is_json(data: bytes) -> bool:
    """Return whether this is a whole JSON document, such as a tombstone that was written meanwhile."""
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def raise_if_cut(stored: Stored, size: int) -> None:
    """Raise `StoreUnavailableError` if not as many bytes of an object came as a listing has shown.

    Something between here and the store may cut answers, so that they look complete: then nothing may follow from
    them, and the object is read again later. So it is if somebody replaced the object meanwhile.
    """
    if size != stored.size:
        raise StoreUnavailableError(f"the object {stored.key} was listed with {stored.size} bytes, and {size} came")


@dataclass(slots=True)
class StreamIds:
    """The ids of the events in the stream. Reading them again reads only what was appended since."""

    events: EventLog
    _ids: set[str] = field(default_factory=set)
    _position: str = ""

    def read(self) -> AbstractSet[str]:
        """Return the ids of all events in the stream now, and of those that were in it when it was read before.

        Raises:
            LedgerUnavailableError: the ledger is unavailable.
        """
        more, self._position = self.events.ids(self._position)
        self._ids.update(more)
        return self._ids
