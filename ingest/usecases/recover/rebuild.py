"""Heal what the ledger lost of one mailbox, from the store: what is done, what is open, what was told.

The store is the system of record. A manifest proves that a message is done; raw mail without one is still to be
processed; manifests younger than what is known to be published belong to events that the lost stream may have held.
Doing it again is safe: what is open stays open once, and events that are told again have the same ids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.domain import keys
from ingest.domain.message import OpenMessage
from ingest.mime import received_at
from ingest.ports.seen import Registration
from ingest.usecases.batches import batches
from ingest.usecases.recover.republish import event_from_manifest
from ingest.usecases.spool import HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from ingest.domain.events import Event
    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Mailbox
    from ingest.ports.ledger import Ledger
    from ingest.ports.store import Store, Stored
    from ingest.usecases.claims import Lease
    from ingest.usecases.deliver.watermark import DeliveryWatermark
    from ingest.usecases.recover.checkpoint import Checkpoints

log = get_logger()

# Committed in one step; between steps the claim is looked at.
BATCH = 100
# Messages looked at between two words about it.
PROGRESS_EVERY = 1_000
_OBJECT = re.compile(r"(?:\d{4}/\d\d/\d\d|undated)/[0-9a-f]{32}/(message\.json|raw\.eml|top\.eml)")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What the ledger knows again: digests that are done, ids of events that were told again, messages reopened.

    `looked` is how many messages the store has of the mailbox.
    """

    done: dict[bytes, int]
    told: frozenset[str] = frozenset()
    reopened: int = 0
    looked: int = 0


@dataclass(slots=True)
class _Unfinished:
    """Manifests whose events may be lost, and messages without a manifest, of so many that were looked at."""

    looked: int = 0
    manifests: list[Stored] = field(default_factory=list)
    messages: list[Stored] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rebuilder:
    """Everything that rebuilding needs, passed in."""

    store: Store
    layout: Layout
    ledger: Ledger
    checkpoints: Checkpoints
    published: DeliveryWatermark

    def rebuild(
        self,
        mailbox: Mailbox,
        lease: Lease,
        *,
        told: Callable[[], Collection[str]] = tuple,
        listen: Callable[[int], None] = lambda _: None,
    ) -> Rebuilt:
        """Give the ledger back what the store knows of a claimed mailbox, which is known only when all is done.

        Args:
            mailbox: whose claim is held.
            lease: on that claim.
            told: asks for the ids of events that need not be told again: the stream holds them now.
            listen: told now and then how many messages have been looked at.

        Raises:
            StoreError: the store is away; nothing is lost, and another poll begins anew.
            LedgerError: the ledger is away, or the claim is lost.
        """
        unfinished = self._look_through(mailbox, self.published.read(), listen)
        again: set[str] = set()
        for manifests in batches(unfinished.manifests, BATCH):
            events = list(self._unpublished(manifests, told))
            lease.check()
            self.ledger.republish(lease.claim, events)
            again.update(event.id for event in events)
        reopened = 0
        for messages in batches(unfinished.messages, BATCH):
            registrations = [self._reopened(mailbox, message) for message in self._lost(messages)]
            lease.check()
            reopened += self.ledger.register(lease.claim, registrations)
        if again or reopened:
            log.warning("mailbox.rebuilt", mailbox=mailbox.id, republished=len(again), reopened=reopened)
        done = self.checkpoints.restore(mailbox, lease.claim)
        return Rebuilt(done, frozenset(again), reopened, unfinished.looked)

    def _unpublished(self, manifests: Sequence[Stored], told: Callable[[], Collection[str]]) -> Iterator[Event]:
        """Of manifests whose messages are not open: those are told of when they have been processed.

        The stream is asked afterwards: it has the events of messages that were finished up to that moment.
        """
        closed = list(self._closed(manifests))
        ids = told()
        for manifest in closed:
            if (event := event_from_manifest(self.store, manifest)) is not None and event.id not in ids:
                yield event

    def _lost(self, mails: Sequence[Stored]) -> Iterator[Stored]:
        """Those that are neither open nor done.

        Their manifests are asked for afterwards: some may have been finished since the store was looked through.
        """
        for mail in self._closed(mails):
            if self.store.stat(f"{mail.key.rpartition('/')[0]}/{keys.MANIFEST}") is None:
                yield mail

    def _closed(self, objects: Sequence[Stored]) -> Iterator[Stored]:
        """Those of messages that are not open."""
        open_messages = self.ledger.open_messages([_key_of(stored) for stored in objects])
        return (stored for stored, message in zip(objects, open_messages, strict=True) if message is None)

    def _look_through(self, mailbox: Mailbox, published: float, listen: Callable[[int], None]) -> _Unfinished:
        """Every message of the mailbox, by what is missing of it. A manifest comes before its mail in a listing."""
        found, done, last = _Unfinished(), "", ""
        root = self.layout.mailbox(mailbox.folder)
        for stored in self.store.stored(root):
            match = _OBJECT.fullmatch(stored.key, len(root))
            if match is None:
                continue
            folder = stored.key.rpartition("/")[0]
            if folder != last:
                found.looked, last = found.looked + 1, folder
                if found.looked % PROGRESS_EVERY == 0:
                    listen(found.looked)
            if match[1] == keys.MANIFEST:
                done = folder
                if stored.modified >= published:
                    found.manifests.append(stored)
            elif folder != done:
                found.messages.append(stored)
        return found

    def _reopened(self, mailbox: Mailbox, mail: Stored) -> Registration:
        folder, _, name = mail.key.rpartition("/")
        key = _key_of(mail)
        source = self.store.stat(mail.key)
        with self.store.open(mail.key) as body:
            received = received_at(body.read(HEAD_BYTES))
        assert source is not None  # it was just read
        message = OpenMessage(
            key=key,
            mailbox=mailbox.id,
            unique_id="",
            folder=folder,
            kind="whole" if name == keys.RAW else "oversize",
            source=source,
            first_seen=datetime.fromtimestamp(mail.modified, UTC),
            received_at=received,
            labels=dict(mailbox.labels),
        )
        return Registration(bytes.fromhex(key), message, stored=name == keys.RAW)


def _key_of(stored: Stored) -> str:
    """The message key of an object in a message's folder."""
    return stored.key.split("/")[-2]
