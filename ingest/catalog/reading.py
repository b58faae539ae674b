"""Read manifests for the catalog, several at once, and tell one that is gone from one that cannot be read."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError
from structlog import get_logger

from ingest.admin.manifests import LARGEST
from ingest.catalog.indexed import IndexedManifest
from ingest.domain.tombstone import Tombstone
from ingest.errors import ObjectMissingError, StoreRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import ThreadPoolExecutor

    from ingest.ports.store import Store

log = get_logger()
_T = TypeVar("_T")
_Read = TypeVar("_Read")
# Manifests that are read at once: the store may be far away.
PARALLEL = 8
# Seconds in which a near store has delivered a batch.
_NEAR = 0.05


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The key of a message whose manifest is there and cannot be read: it is refused, or is no manifest.

    It may be readable later, as when something before the store answered instead of it. What the catalog has of the
    message stays.
    """

    key: str


def read_indexed(store: Store, manifest: str, key: str) -> IndexedManifest | Unreadable | None:
    """Return a manifest; None if the message was purged.

    Args:
        store: the store.
        manifest: its key in the store.
        key: the message key.

    Raises:
        StoreUnavailableError: the store is unavailable.
    """
    try:
        with store.open(manifest) as body:
            content = body.read(LARGEST)
        return IndexedManifest.model_validate_json(content)
    except ObjectMissingError:
        return None
    except StoreRefusedError:
        pass
    except ValidationError:
        with suppress(ValidationError):
            Tombstone.model_validate_json(content)
            return None
    log.warning("catalog.unreadable", message=key)
    return Unreadable(key)


def read_all(readers: ThreadPoolExecutor, read: Callable[[_T], _Read], items: Sequence[_T]) -> list[_Read]:
    """Return what `read` returns for each item, in no order.

    From a near store one thread reads them all: handing them to others costs more than reading. What it has not read
    after `_NEAR` seconds is read by `PARALLEL` threads, each of which gets its share at once.
    """
    found: list[_Read] = []
    until = time.monotonic() + _NEAR
    while len(found) < len(items) and time.monotonic() < until:
        found.append(read(items[len(found)]))
    left = items[len(found) :]
    shares = [left[number::PARALLEL] for number in range(min(PARALLEL, len(left)))]
    for share in readers.map(lambda share: [read(item) for item in share], shares):
        found += share
    return found
