"""Look at messages without a catalog: list them, find one, and read what is stored of it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ingest.admin.manifests import read_manifest
from ingest.admin.stored_messages import find_by_key, mailbox_folders, stored_messages
from ingest.errors import MailhaulError
from ingest.usecases.tombstones import read_raw_erased

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from concurrent.futures import Executor

    from ingest.admin.stored_messages import StoredMessage
    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Mailbox
    from ingest.domain.manifest import Attachment, Manifest
    from ingest.domain.record import ObjectRef
    from ingest.ports.ledger import Ledger
    from ingest.ports.store import Store

State = Literal["complete", "partial", "oversize", "failed", "open", "unprocessed", "purged"]


class NoSuchMessageError(MailhaulError):
    """No stored message has this key, several begin with it, or it does not have what was asked for."""

    code = "unknown_message"


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message of a listing.

    Attributes:
        stored: its objects.
        written: when its manifest was written, or its raw mail if it has no manifest (seconds since 1970).
        state: how it was read; `open` is not yet, `unprocessed` is neither read nor known to the ledger.
        manifest: None if it has none.
    """

    stored: StoredMessage
    written: float
    state: State
    manifest: Manifest | None


@dataclass(frozen=True)
class StoredMessages:
    """Finds messages in the store.

    Attributes:
        configured: mailboxes by id.
        workers: read several manifests at once.
    """

    store: Store
    layout: Layout
    ledger: Ledger
    configured: Mapping[str, Mailbox]
    workers: Executor

    def latest(
        self, mailboxes: Collection[str], limit: int, *, since: float = 0.0, until: float = float("inf")
    ) -> list[MessageRow]:
        """Return the newest messages of a period, the newest first; reads listings, and the manifests of these.

        Args:
            mailboxes: ids, or names of folders of mailboxes that are not configured any more; empty for all.
            limit: messages.
            since: seconds since 1970, inclusive; compared with `MessageRow.written`.
            until: seconds since 1970, exclusive.

        Raises:
            StoreError, LedgerUnavailableError: the store or the ledger is unavailable.
        """
        dated = ((_written(one), one) for one in self._listed(mailboxes))
        chosen = heapq.nlargest(
            limit,
            (found for found in dated if since <= found[0] < until),
            key=lambda found: (found[0], found[1].folder),
        )
        manifests = list(self.workers.map(self.manifest, [stored for _, stored in chosen]))
        unread = [stored for (_, stored), manifest in zip(chosen, manifests, strict=True) if manifest is None]
        states = self._states(unread)
        return [
            MessageRow(stored, written, manifest.parse.status if manifest else states[stored.folder], manifest)
            for (written, stored), manifest in zip(chosen, manifests, strict=True)
        ]

    def find(self, beginning: str, mailbox: str | None = None) -> StoredMessage:
        """Return a message; the one written last, if it is stored twice.

        Args:
            beginning: its key, or an unambiguous beginning of it.
            mailbox: the only one to search, which is faster.

        Raises:
            NoSuchMessageError: no message has this key, or several begin with it.
            StoreError: the store is unavailable.
        """
        found = find_by_key(lambda: self._listed([mailbox] if mailbox else []), [beginning], NoSuchMessageError)
        return max(found, key=_written)

    def manifest(self, stored: StoredMessage) -> Manifest | None:
        """Return the manifest of a message; None if it was purged, is not processed, or is damaged."""
        return read_manifest(self.store, stored.manifest.key) if stored.manifest else None

    def require_manifest(self, stored: StoredMessage) -> Manifest:
        """Return the manifest of a message.

        Raises:
            NoSuchMessageError: it has none; the text says why, and what to do.
        """
        manifest = self.manifest(stored)
        if manifest is not None:
            return manifest
        state = self._states([stored])[stored.folder]
        raise NoSuchMessageError(
            {
                "purged": "the message was purged: nothing of it is kept",
                "failed": f"the message failed; see why with: mailhaul failed show {stored.key}",
                "open": "the message is not processed yet: is a processor running? See `mailhaul status`",
            }.get(state, "it has no manifest, and the ledger does not know it; `mailhaul reconcile` opens it")
        )

    def raw(self, stored: StoredMessage) -> ObjectRef:
        """Return the raw mail of a message.

        Raises:
            NoSuchMessageError: it is not stored, or was erased.
        """
        if read_raw_erased(self.store, stored.folder) is not None:
            raise NoSuchMessageError("the raw mail was erased by a retention rule; the rest of the message is kept")
        failed = (one.message for one in self.ledger.failed_messages() if one.message.key == stored.key)
        unread = self.ledger.open_messages([stored.key])[0] or next(failed, None)
        if unread is not None and unread.kind == "whole":
            return unread.source
        raw = self.require_manifest(stored).raw
        if raw is None:
            raise NoSuchMessageError("the message is oversize: its raw mail is not stored")
        return raw

    def attachment(self, stored: StoredMessage, part: str) -> Attachment:
        """Return one attachment of a message.

        Raises:
            NoSuchMessageError: there is none; the text names those that there are.
        """
        attachments = self.require_manifest(stored).attachments
        for one in attachments:
            if one.part == part:
                return one
        parts = ", ".join(one.part for one in attachments)
        raise NoSuchMessageError(f"the message has no attachment {part}; it has {parts or 'none at all'}")

    def _listed(self, mailboxes: Collection[str]) -> Iterator[StoredMessage]:
        named = {folder for mailbox in mailboxes for folder in mailbox_folders(self.configured, mailbox)}
        folders: list[str | None] = [*sorted(named)] or [None]
        for folder in folders:
            yield from stored_messages(self.store, self.layout.everything(), folder)

    def _states(self, unread: list[StoredMessage]) -> dict[str, State]:
        """Return the states of messages that have no manifest, by their folders."""
        opened = self.ledger.open_messages([stored.key for stored in unread]) if unread else []
        failed = {one.message.key for one in self.ledger.failed_messages()} if unread else set()
        states: dict[str, State] = {}
        for stored, is_open in zip(unread, opened, strict=True):
            unknown: State = "purged" if stored.manifest else "unprocessed"
            states[stored.folder] = "open" if is_open else "failed" if stored.key in failed else unknown
        return states


def _written(stored: StoredMessage) -> float:
    if stored.manifest is not None:
        return stored.manifest.modified
    return max(one.modified for one in stored.sources or stored.objects)
