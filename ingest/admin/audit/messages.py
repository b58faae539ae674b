"""What the store holds of a message, as statements describe it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from heapq import merge
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from ingest.admin.stored_messages import StoredMessage, stored_messages
from ingest.domain import keys
from ingest.domain.manifest import Manifest
from ingest.domain.record import ObjectRef
from ingest.domain.statement import ObjectHash, State
from ingest.domain.tombstone import Tombstone
from ingest.errors import ObjectMissingError
from ingest.usecases.spool import CHUNK_BYTES
from ingest.usecases.tombstones import read_raw_erased

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from ingest.domain.keys import Hasher
    from ingest.ports.store import Store, Stored

_Left = TypeVar("_Left")
_Right = TypeVar("_Right")


@dataclass(frozen=True, slots=True)
class Description:
    """What the store holds of a message.

    Attributes:
        state: what the message is, as far as the store shows it.
        raw: its raw mail, or the header of an oversize message; None if there is none, or it is erased.
        raw_erased: whether its raw mail alone was erased on purpose.
        manifest: its manifest or tombstone.
        replaced: hashes of the manifests before it, which reprocessing has kept.
        updates: how many updates it had.
        others: objects that the manifest does not name.
        written: when its manifest was written (seconds since 1970).
    """

    state: State
    raw: ObjectHash | None = None
    raw_erased: bool = False
    manifest: ObjectHash | None = None
    replaced: list[str] = field(default_factory=list)
    updates: int = 0
    others: list[ObjectHash] = field(default_factory=list)
    written: float = 0.0


def describe(store: Store, message: StoredMessage, *, is_open: bool) -> Description:
    """Read a message's manifest, and what the manifest does not name, and return what is there.

    Args:
        store: where it is.
        message: its objects, as they were just listed.
        is_open: whether it is still to be processed, so that its manifest, if any, is not the last one.

    Raises:
        StoreError: the store is unavailable.
    """
    manifest = None if is_open else message.manifest
    data = None if manifest is None else read_all(store, manifest.key)
    if manifest is None or data is None:
        return Description("unprocessed", raw=_source(store, message))
    found = parse_manifest(data)
    about, written = ObjectHash(size=len(data), sha256=hashlib.sha256(data).hexdigest()), manifest.modified
    if isinstance(found, Tombstone):
        return Description("erased", manifest=about, written=written)
    if found is None:
        return Description("unreadable", raw=_source(store, message), manifest=about, written=written)
    named = named_objects(message, found)
    others = [hash_object(store, one.key) for one in others_of(message, named)]
    return Description(
        state=state_of(found),
        raw=_as_hash(found.raw) if found.raw is not None else _source(store, message),
        raw_erased=is_raw_erased(store, message, found.raw),
        manifest=about,
        replaced=replaced_by(found),
        updates=found.update.number if found.update is not None else 0,
        others=[one for one in others if one is not None],
        written=written,
    )


def state_of(manifest: Manifest) -> State:
    """Return what a processed message is."""
    if manifest.quarantine is not None:
        return "quarantined"
    return "oversize" if manifest.parse.status == "oversize" else "processed"


def replaced_by(manifest: Manifest) -> list[str]:
    """Return the hashes of the manifests before it, in hex, that a manifest names as replaced and kept."""
    superseded = manifest.update.superseded if manifest.update is not None else []
    return [ref.sha256 for ref in superseded if ref.key.endswith(f"/{keys.PREVIOUS}")]


def parse_manifest(data: bytes) -> Manifest | Tombstone | None:
    """Return what is under a manifest's key; None if it is neither a manifest nor a tombstone."""
    for kind in (Manifest, Tombstone):
        try:
            return kind.model_validate_json(data)
        except ValidationError:
            continue
    return None


def named_objects(message: StoredMessage, manifest: Manifest) -> dict[str, ObjectRef]:
    """Return the objects that a manifest names besides raw mail, by where their keys are in this store.

    Keys are taken relative to the message's folder: the store may be a copy below another prefix.
    """
    found = {}
    for ref in _references(manifest):
        inside = ref.key.partition(f"/{manifest.message_key}/")[2]
        found[f"{message.folder}/{inside}" if inside else ref.key] = ref
    for name in (keys.RAW, keys.TOP):
        found.pop(f"{message.folder}/{name}", None)
    return found


def others_of(message: StoredMessage, named: Collection[str]) -> list[Stored]:
    """Return the objects of a message that are neither manifest nor raw mail, and not among those that are named."""
    sources = {stored.key for stored in message.sources}
    return [
        stored
        for stored in message.objects
        if stored.key not in named and stored.key not in sources and stored != message.manifest
    ]


def is_raw_erased(store: Store, message: StoredMessage, raw: ObjectHash | ObjectRef | None) -> bool:
    """Return whether a message has the record that this raw mail alone was erased on purpose.

    That there is an object of this name proves nothing: it has to say of which raw mail it is.

    Raises:
        StoreError: the store is unavailable.
    """
    if not any(stored.key == f"{message.folder}/{keys.RAW_ERASED}" for stored in message.objects):
        return False
    record = read_raw_erased(store, message.folder)
    return record is not None and (raw is None or (record.size, record.sha256) == (raw.size, raw.sha256))


def read_all(store: Store, key: str) -> bytes | None:
    """Return an object's bytes; None if there is none."""
    try:
        with store.open(key) as body:
            return body.read()
    except ObjectMissingError:
        return None


def hash_object(store: Store, key: str, also: Hasher | None = None) -> ObjectHash | None:
    """Read and hash an object; `also` gets the same bytes. None if there is none."""
    digest, size = hashlib.sha256(), 0
    try:
        with store.open(key) as body:
            while chunk := body.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
                if also is not None:
                    also.update(chunk)
    except ObjectMissingError:
        return None
    return ObjectHash(size=size, sha256=digest.hexdigest())


def messages_below(
    store: Store, prefix: str, folders: Collection[str], strays: Callable[[Stored], None] = lambda _: None
) -> Iterator[StoredMessage]:
    """Yield the messages below several mailbox folders, ordered by their own folders.

    Args:
        store: the store.
        prefix: the common prefix of all keys.
        folders: of mailboxes.
        strays: called with each object that is part of no message, whatever it is.
    """
    listings = (stored_messages(store, prefix, folder, strays) for folder in sorted(set(folders)))
    return merge(*listings, key=lambda message: message.folder)


def joined(
    left: Iterator[_Left],
    left_key: Callable[[_Left], str],
    right: Iterator[_Right],
    right_key: Callable[[_Right], str],
) -> Iterator[tuple[_Left | None, _Right | None]]:
    """Yield what two sources have under each key; both are in the order of their keys, without repetitions."""
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        ahead = other is None or (one is not None and left_key(one) < right_key(other))
        behind = one is None or (other is not None and right_key(other) < left_key(one))
        yield (None if behind else one), (None if ahead else other)
        one = one if behind else next(left, None)
        other = other if ahead else next(right, None)


def _references(record: BaseModel) -> Iterator[ObjectRef]:
    """Yield every object that a record names, however deep, so that none is forgotten when fields are added."""
    if isinstance(record, ObjectRef):
        yield record
        return
    for value in record.__dict__.values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, BaseModel):
                yield from _references(one)


def _as_hash(ref: ObjectRef) -> ObjectHash:
    return ObjectHash(size=ref.size, sha256=ref.sha256)


def _source(store: Store, message: StoredMessage) -> ObjectHash | None:
    return next((hash_object(store, stored.key) for stored in message.sources), None)
