"""Read a manifest from the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, overload

from pydantic import BaseModel, ValidationError

from ingest.domain.manifest import Manifest
from ingest.errors import ObjectMissingError

if TYPE_CHECKING:
    from ingest.ports.store import Store

# Bytes; a message with a hundred thousand attachments has a larger one, and is not shown.
LARGEST = 64 * 2**20


_Model = TypeVar("_Model", bound=BaseModel)


@overload
def read_manifest(store: Store, key: str) -> Manifest | None: ...
@overload
def read_manifest(store: Store, key: str, model: type[_Model]) -> _Model | None: ...
def read_manifest(store: Store, key: str, model: type[BaseModel] = Manifest) -> BaseModel | None:
    """Return a manifest; None if the message was purged, or nothing that can be read is there.

    Args:
        store: the store.
        key: of the manifest.
        model: which fields are read; all without it.

    Raises:
        StoreError: the store is unavailable.
    """
    try:
        with store.open(key) as body:
            return model.model_validate_json(body.read(LARGEST))
    except (ObjectMissingError, ValidationError):
        return None
