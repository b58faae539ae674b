"""Rebuild what the ledger lost of one mailbox from the store: what is done, what is open, what to republish.

The store is the system of record. A manifest proves that a message is done; raw mail without a manifest is still to
be processed; manifests younger than the delivery watermark belong to events that the lost stream may have held.
Rebuilding twice is safe: an open message is opened only once, and republished events have the same ids.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import nlargest
from itertools import chain
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.domain import keys
from ingest.domain.events import event_ids
from ingest.domain.message import OpenMessage
from ingest.domain.tombstone import MOST_BYTES
from ingest.errors import ObjectMissingError
from ingest.mime import received_at
from ingest.ports.seen import Registration
from ingest.usecases.batches import batches
from ingest.usecases.recover.content import MOST_MANIFESTS
from ingest.usecases.recover.republish import events_from_manifest, raise_if_cut
from ingest.usecases.spool import CHUNK_BYTES, HEAD_BYTES
from ingest.usecases.tombstones import read_tombstone

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from ingest.domain.events import Event
    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Mailbox
    from ingest.domain.seen import SeenRecord
    from ingest.domain.tombstone import Tombstone
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger
    from ingest.ports.store import Store, Stored
    from ingest.usecases.claims import Lease
    from ingest.usecases.recover.checkpoint import Checkpoints
    from ingest.usecases.recover.content import ContentRestorer
    from ingest.usecases.recover.watermark import DeliveryWatermark

log = get_logger()

# Messages committed in one step; the lease is checked between steps.
BATCH = 100
# Messages between two progress reports.
PROGRESS_EVERY = 1_000
_OBJECT = re.compile(r"(?:\d{4}/\d\d/\d\d|undated)/[0-9a-f]{32}/(message\.json|raw\.eml|top\.eml)")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was given back to the ledger.

    Attributes:
        done: digests of messages that are done, with the second each was registered at (since 1970).
        republished: ids of events that were republished.
        reopened: how many messages were opened again.
        messages: how many messages the store holds of the mailbox.
    """

    done: dict[bytes, SeenRecord]
    republished: frozenset[str] = frozenset()
    reopened: int = 0
    messages: int = 0


@dataclass(slots=True)
class _Survey:
    """What the store holds of a mailbox.

    Attributes:
        messages: how many messages.
        young_manifests: manifests whose events may be lost.
        newest: the newest manifests, and some others.
        watermark: since when events, and all else that follows from a manifest, may be lost.
        unprocessed: raw mail, or headers of oversize mail, without a manifest.
    """

    messages: int = 0
    young_manifests: list[Stored] = field(default_factory=list)
    unprocessed: list[Stored] = field(default_factory=list)
    newest: list[Stored] = field(default_factory=list)
    watermark: float = 0.0

    def add_manifest(self, stored: Stored) -> None:
        """Add a manifest, and let the oldest go once there are too many."""
        if stored.modified >= self.watermark:
            self.young_manifests.append(stored)
        self.newest.append(stored)
        if len(self.newest) >= 2 * MOST_MANIFESTS:
            self.newest = nlargest(MOST_MANIFESTS, self.newest, key=lambda each: each.modified)


@dataclass(frozen=True, slots=True)
class Rebuilder:
    """Rebuilds the ledger's knowledge of a mailbox from the store."""

    store: Store
    layout: Layout
    ledger: Ledger
    events: EventLog
    checkpoints: Checkpoints
    watermark: DeliveryWatermark
    store_id: Callable[[], bytes]
    content: ContentRestorer | None = None

    def rebuild(
        self,
        mailbox: Mailbox,
        lease: Lease,
        *,
        in_stream: Callable[[], Collection[str]] = tuple,
        listen: Callable[[int], None] = lambda _: None,
    ) -> Rebuilt:
        """Give back to the ledger what the store knows of a mailbox. The mailbox counts as known only at the end.

        Args:
            mailbox: the mailbox whose claim is held.
            lease: on that claim.
            in_stream: returns the ids of events that the stream holds now, which need not be republished.
            listen: called now and then with the number of messages examined so far.

        Raises:
            StoreError: the store is unavailable; nothing is lost, and another poll starts over.
            LedgerError: the ledger is unavailable, or the claim is lost.
        """
        incarnation = self.ledger.incarnation()
        survey = self._survey(mailbox, lease, listen)
        self._forget_purged(survey, lease)
        self._restore_content(mailbox, survey, lease)
        republished = self._republish(survey, lease, in_stream)
        reopened = self._reopen(mailbox, survey, lease)
        if republished or reopened:
            log.warning("mailbox.rebuilt", mailbox=mailbox.id, republished=len(republished), reopened=reopened)
        done = self.checkpoints.restore(mailbox, lease.claim, incarnation)
        return Rebuilt(done, republished, reopened, survey.messages)

    def _restore_content(self, mailbox: Mailbox, survey: _Survey, lease: Lease) -> None:
        """Restore what messages had in them, before messages are opened again that may have the same."""
        if self.content is not None:
            newest = nlargest(MOST_MANIFESTS, survey.newest, key=lambda each: each.modified)
            now, since = self.watermark.clock(), survey.watermark
            self.content.restore(mailbox.id, newest, now=now, lost_since=since, progress=lease.progress)

    def _republish(self, survey: _Survey, lease: Lease, in_stream: Callable[[], Collection[str]]) -> frozenset[str]:
        """Publish the events that may have been lost; return their ids."""
        republished: set[str] = set()
        for manifests in batches(survey.young_manifests, BATCH):
            events = list(self._unpublished(survey, manifests, lease, in_stream))
            lease.check()
            self.ledger.republish(lease.claim, events, min(stored.modified for stored in manifests))
            republished.update(event.id for event in events)
        return frozenset(republished)

    def _reopen(self, mailbox: Mailbox, survey: _Survey, lease: Lease) -> int:
        """Open the messages that were stored and not processed; return how many the ledger did not know."""
        reopened = 0
        store_id = self.store_id().hex() if survey.unprocessed else ""
        for unprocessed in batches(survey.unprocessed, BATCH):
            found = [self._registration(mailbox, raw, lease, store_id) for raw in self._lost(unprocessed)]
            registrations = [registration for registration in found if registration is not None]
            lease.check()
            reopened += self.ledger.register(lease.claim, registrations)
        return reopened

    def _forget_purged(self, survey: _Survey, lease: Lease) -> None:
        """Drop what a ledger that lost its last writes still has of messages that were purged.

        Such a tombstone is younger than the watermark, which has not been written since the loss.
        """
        found = [(stored, self._tombstone(stored, lease)) for stored in survey.young_manifests]
        tombstones = [(stored, tombstone) for stored, tombstone in found if tombstone is not None]
        for purged in batches(tombstones, BATCH):
            message_keys = [_message_key(stored) for stored, _ in purged]
            lease.check()
            self.ledger.drop_purged(lease.claim, message_keys)
            self.ledger.forget_messages(message_keys)
            ids = event_ids(message_keys, max(tombstone.updates for _, tombstone in purged))
            for sink in self.ledger.sinks.members() | self.events.left().keys():
                self.events.drop_rejected(sink, ids)
            self.events.erase(ids)
        gone = {stored.key for stored, _ in tombstones}
        survey.young_manifests = [stored for stored in survey.young_manifests if stored.key not in gone]

    def _tombstone(self, stored: Stored, lease: Lease) -> Tombstone | None:
        lease.progress()
        return read_tombstone(self.store, stored.key) if stored.size <= MOST_BYTES else None

    def _unpublished(
        self, survey: _Survey, manifests: Sequence[Stored], lease: Lease, in_stream: Callable[[], Collection[str]]
    ) -> Iterator[Event]:
        """Yield the events of manifests whose messages are not open: an open message is published when it is done.

        The stream is read after the open messages: so it holds the events of messages that were done in between.
        A message whose manifest is listed, but is not there, counts as not processed.
        """
        closed = list(self._closed(manifests))
        ids = in_stream()
        for manifest in closed:
            lease.progress()
            try:
                events = events_from_manifest(self.store, manifest)
            except ObjectMissingError:
                log.warning("object.missing", message=_message_key(manifest))
                survey.unprocessed += self._sources(manifest)
                continue
            yield from (event for event in events if event.id not in ids)

    def _sources(self, manifest: Stored) -> list[Stored]:
        """Return the raw mail, or the header of oversize mail, beside a manifest."""
        folder = manifest.key.rpartition("/")[0]
        names = {f"{folder}/{keys.RAW}", f"{folder}/{keys.TOP}"}
        return [one for one in self.store.stored(f"{folder}/") if one.key in names]

    def _lost(self, unprocessed: Sequence[Stored]) -> Iterator[Stored]:
        """Yield the raw mail of messages that are neither open nor done.

        The manifest is looked up after the open messages: the message may have been done since the survey.
        """
        for raw in self._closed(unprocessed):
            if self.store.stat(f"{raw.key.rpartition('/')[0]}/{keys.MANIFEST}") is None:
                yield raw

    def _closed(self, objects: Sequence[Stored]) -> Iterator[Stored]:
        """Yield the objects of messages that are not open."""
        open_messages = self.ledger.open_messages([_message_key(stored) for stored in objects])
        return (stored for stored, message in zip(objects, open_messages, strict=True) if message is None)

    def _survey(self, mailbox: Mailbox, lease: Lease, listen: Callable[[int], None]) -> _Survey:
        """List the mailbox's messages. In a listing, a message's manifest comes before its raw mail."""
        survey, done, last = _Survey(watermark=self.watermark.read()), "", ""
        root = self.layout.mailbox(mailbox.folder)
        for stored in self.store.stored(root):
            lease.progress()
            match = _OBJECT.fullmatch(stored.key, len(root))
            if match is None:
                continue
            folder = stored.key.rpartition("/")[0]
            if folder != last:
                survey.messages, last = survey.messages + 1, folder
                if survey.messages % PROGRESS_EVERY == 0:
                    listen(survey.messages)
            if match[1] == keys.MANIFEST:
                done = folder
                survey.add_manifest(stored)
            elif folder != done:
                survey.unprocessed.append(stored)
        return survey

    def _registration(self, mailbox: Mailbox, raw: Stored, lease: Lease, store_id: str) -> Registration | None:
        """Return the registration of unprocessed raw mail; None if these are not the bytes of the message.

        None, too, if it is listed, but is not there: then only the server can have it.
        """
        folder, _, name = raw.key.rpartition("/")
        key = _message_key(raw)
        source = self.store.stat(raw.key)
        hasher, digest, size = keys.message_hasher(mailbox.id), hashlib.sha256(), 0
        try:
            with self.store.open(raw.key) as body:
                head = body.read(HEAD_BYTES)
                for chunk in chain([head], iter(lambda: body.read(CHUNK_BYTES), b"")):
                    lease.progress()
                    hasher.update(chunk)
                    digest.update(chunk)
                    size += len(chunk)
        except ObjectMissingError:
            source = None
        if source is None:
            log.warning("object.missing", mailbox=mailbox.id, message=key)
            return None
        raise_if_cut(raw, size)
        received = received_at(head)
        if name == keys.RAW and keys.message_key(hasher) != key:
            log.error("message.damaged", mailbox=mailbox.id, message=key)
            return None
        source = source.model_copy(update={"sha256": digest.hexdigest()})
        message = OpenMessage(
            key=key,
            mailbox=mailbox.id,
            unique_id="",
            folder=folder,
            kind="whole" if name == keys.RAW else "oversize",
            source=source,
            first_seen=datetime.fromtimestamp(min(raw.modified, self.watermark.clock()), UTC),
            received_at=received,
            labels=dict(mailbox.labels),
            store_id=store_id,
        )
        return Registration(bytes.fromhex(key), message, stored=name == keys.RAW)


def _message_key(stored: Stored) -> str:
    """Return the message key of an object in a message's folder."""
    return stored.key.split("/")[-2]
