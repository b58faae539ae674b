"""Compare one message in the store with the last entry about it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.admin.audit.findings import Finding, Kind
from ingest.admin.audit.messages import (
    hash_object,
    is_raw_erased,
    named_objects,
    others_of,
    parse_manifest,
    read_all,
    replaced_by,
)
from ingest.domain import keys
from ingest.domain.manifest import Manifest
from ingest.domain.statement import PROCESSED, ObjectHash
from ingest.domain.tombstone import Tombstone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.admin.stored_messages import StoredMessage
    from ingest.domain.record import ObjectRef
    from ingest.domain.statement import Entry
    from ingest.ports.store import Store, Stored


@dataclass(slots=True)
class Compared:
    """The result for one message.

    Attributes:
        findings: what is wrong.
        objects: how many objects were read, or looked up.
        size: bytes of these.
        pending: whether it has changed since the last statement, in a way that the next one will state.
    """

    findings: list[Finding] = field(default_factory=list)
    objects: int = 0
    size: int = 0
    pending: bool = False

    def add(self, kind: Kind, where: str, text: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(kind, where, text))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares messages.

    Attributes:
        store: where they are.
        mailbox: the id of their mailbox, which is part of message keys.
        covered_until: the end of the last statement (seconds since 1970): what was written since is not stated yet.
        quick: read manifests only; of other objects compare existence and size.
    """

    store: Store
    mailbox: str
    covered_until: float
    quick: bool

    def unstated(self, message: StoredMessage) -> Compared:
        """Return the result for a message that no statement is about."""
        done = Compared()
        if any(stored.modified < self.covered_until for stored in message.objects):
            done.add(Kind.ADDED, message.folder, "no statement is about this message")
        else:
            done.pending = True
        return done

    def compare(self, entry: Entry, message: StoredMessage | None, folder: str) -> Compared:
        """Return the result for a message that was stated.

        Args:
            entry: the last one about it.
            message: its objects; None if nothing is left.
            folder: its folder, with the store's prefix.

        Raises:
            StoreError: the store is unavailable.
        """
        done = Compared()
        if message is None:
            done.add(Kind.MISSING, folder, "nothing is left of this message, not even a tombstone")
        elif entry.state == "erased":
            self._compare_erased(entry, message, done)
        elif entry.state == "unreadable":
            done.add(Kind.ALTERED, f"{folder}/{keys.MANIFEST}", "it was no manifest when it was stated")
        else:
            self._compare_kept(entry, message, done)
        return done

    def _compare_erased(self, entry: Entry, message: StoredMessage, done: Compared) -> None:
        key = f"{message.folder}/{keys.MANIFEST}"
        data = read_all(self.store, key)
        if data is None:
            done.add(Kind.MISSING, key, "the tombstone of an erased message is gone")
        elif entry.manifest != _hash_of(data):
            done.add(Kind.ALTERED, key, "the message was erased, and this is not its tombstone")
        for stored in message.objects:
            if stored.key != key and stored.size:
                done.add(Kind.ADDED, stored.key, "the message was erased, and this is left or was put there")

    def _compare_kept(self, entry: Entry, message: StoredMessage, done: Compared) -> None:
        key = f"{message.folder}/{keys.MANIFEST}"
        data = read_all(self.store, key)
        found = None if data is None else parse_manifest(data)
        if data is None and entry.state in PROCESSED:
            done.add(Kind.MISSING, key, "the manifest is gone")
        elif data is not None:
            done.objects, done.size = 1, len(data)
            if not self._accept_manifest(entry, message, data, found, done):
                done.add(Kind.ALTERED, key, "the manifest was altered")
                found = None
        if isinstance(found, Tombstone):
            return
        self._compare_raw(entry, message, done)
        if isinstance(found, Manifest):
            named = named_objects(message, found)
            self._compare_named(message, named, done)
            self._compare_others(entry, message, named, done)

    def _accept_manifest(
        self,
        entry: Entry,
        message: StoredMessage,
        data: bytes,
        found: Manifest | Tombstone | None,
        done: Compared,
    ) -> bool:
        """Return whether a manifest is the stated one, or has replaced it since in one of the ways there are."""
        if entry.manifest == _hash_of(data):
            return True
        manifest = message.manifest
        is_new = manifest is not None and manifest.modified >= self.covered_until
        if entry.state not in PROCESSED:
            done.pending = True
            return found is not None
        former = "" if entry.manifest is None else entry.manifest.sha256
        is_update = isinstance(found, Manifest) and former in replaced_by(found)
        done.pending = is_new and (is_update or isinstance(found, Tombstone))
        return done.pending

    def _compare_raw(self, entry: Entry, message: StoredMessage, done: Compared) -> None:
        sources = message.sources
        is_empty = not any(stored.size for stored in sources)
        if is_empty and (entry.raw_erased or is_raw_erased(self.store, message, entry.raw)):
            return
        if not sources:
            done.add(Kind.MISSING, f"{message.folder}/{keys.RAW}", "the raw mail is gone")
        for stored in sources:
            hasher = keys.message_hasher(self.mailbox)
            found = self._content(stored, None if entry.raw is None else entry.raw.sha256, hasher)
            done.objects, done.size = done.objects + 1, done.size + stored.size
            if found is None:
                done.add(Kind.MISSING, stored.key, "the raw mail is gone")
            elif found != entry.raw:
                done.add(Kind.ALTERED, stored.key, "the raw mail is not what was stored")
            elif not self.quick and stored.key.endswith(f"/{keys.RAW}") and keys.message_key(hasher) != message.key:
                done.add(Kind.ALTERED, stored.key, "the raw mail is not that of this message key")

    def _compare_named(self, message: StoredMessage, named: Mapping[str, ObjectRef], done: Compared) -> None:
        listed = {stored.key: stored for stored in message.objects}
        for key, ref in named.items():
            stored = listed.get(key)
            found = None if stored is None else self._content(stored, ref.sha256)
            if found is None:
                done.add(Kind.MISSING, key, "the manifest names this object, and it is gone")
                continue
            done.objects, done.size = done.objects + 1, done.size + found.size
            if (found.size, found.sha256) != (ref.size, ref.sha256):
                done.add(Kind.ALTERED, key, "the object is not what the manifest says")

    def _compare_others(
        self, entry: Entry, message: StoredMessage, named: Mapping[str, ObjectRef], done: Compared
    ) -> None:
        """Compare what the manifest does not name. If that was replaced, the next statement says what is left."""
        if done.pending:
            return
        stated = Counter((one.size, "" if self.quick else one.sha256) for one in entry.others)
        for stored in others_of(message, named):
            if stored.key.endswith(f"/{keys.RAW_ERASED}") and stored.modified >= self.covered_until:
                done.pending = True
                continue
            found = self._content(stored, "")
            content = None if found is None else (found.size, found.sha256)
            if content is not None and not stated[content]:
                done.add(Kind.ADDED, stored.key, "neither manifest nor statement names this object")
            stated[content or (0, "")] -= 1
        if stated.total() > 0:
            done.add(Kind.MISSING, message.folder, f"{stated.total()} objects that were stated are gone")

    def _content(self, stored: Stored, expected: str | None, hasher: keys.Hasher | None = None) -> ObjectHash | None:
        """Return size and hash of an object; `quick` takes the expected hash for its hash."""
        if self.quick:
            return ObjectHash(size=stored.size, sha256=expected or "")
        return hash_object(self.store, stored.key, hasher)


def _hash_of(data: bytes) -> ObjectHash:
    return ObjectHash(size=len(data), sha256=hashlib.sha256(data).hexdigest())
