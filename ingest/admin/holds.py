"""Legal holds: messages and mailboxes of which nothing may be erased. A hold wins over every rule and every request.

A hold is an object in the store, so that it outlives the ledger and the configuration. That it is there counts, not
what is in it. It is looked up anew before each message is erased.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - pydantic resolves it at run time
from typing import TYPE_CHECKING, Literal, cast

from pydantic import ConfigDict, Field, ValidationError

from ingest.admin.erase import NotPurgedError
from ingest.config.names import require_configured
from ingest.domain.manifest import Manifest
from ingest.domain.record import Record
from ingest.errors import MailhaulError, ObjectMissingError
from ingest.usecases.tombstones import read_tombstone

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from ingest.admin.purge import Purge
    from ingest.admin.stored_messages import StoredMessage
    from ingest.domain.keys import Layout
    from ingest.ports.store import Store

Kind = Literal["message", "mailbox"]
_SUFFIX = ".json"


class Hold(Record):
    """A legal hold."""

    schema_: Literal["mailhaul.hold/1"] = Field(default="mailhaul.hold/1", alias="schema")
    kind: Kind
    name: str = Field(description="The message key; of a mailbox its id, or the name of its folder")
    since: datetime | None = None
    reason: str | None = Field(default=None, max_length=1000)

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


@dataclass(frozen=True, slots=True)
class HeldNames:
    """What is held: message keys, and ids and folders of mailboxes."""

    messages: frozenset[str] = frozenset()
    mailboxes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LegalHolds:
    """Reads and writes the legal holds of a store. Every method raises `StoreError` if the store is unavailable.

    Attributes:
        configured: ids of the configured mailboxes.
    """

    store: Store
    layout: Layout
    configured: Collection[str]

    def add(self, hold: Hold) -> None:
        """Write a hold; one of the same name is replaced."""
        body = hold.model_dump_json(by_alias=True).encode()
        self.store.put(
            self._key(hold.kind, hold.name),
            io.BytesIO(body),
            size=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            content_type="application/json",
        )

    def remove(self, kind: Kind, name: str) -> bool:
        """Remove a hold; return whether there was one."""
        key = self._key(kind, name)
        found = self.store.stat(key) is not None
        self.store.delete(key)
        return found

    def names(self) -> HeldNames:
        """Return what is held now."""
        found = list(self._listed())
        return HeldNames(
            frozenset(name for kind, name in found if kind == "message"),
            frozenset(name for kind, name in found if kind == "mailbox"),
        )

    def all(self) -> list[Hold]:
        """Return every hold, ordered by kind and name; of one that cannot be read, only these."""
        return [self._read(kind, name) for kind, name in self._listed()]

    def is_held(self, stored: StoredMessage, mailbox: str, names: HeldNames | None = None) -> bool:
        """Return whether a message is held, by itself or with its mailbox.

        A mailbox may have been removed from the configuration, and its folder renamed before, or given to another
        mailbox: its id is in the manifest. A message without one is held with any mailbox whose name its folder does
        not tell.

        Args:
            stored: the message.
            mailbox: the id of its mailbox, or the name of its folder.
            names: what is held, if it was just looked up.
        """
        if names is None:
            # A listing may be behind; what is asked for by its name is not.
            if self._is_there("message", stored.key) or self._is_there("mailbox", mailbox):
                return True
            names = self.names()
        if stored.key in names.messages or {mailbox, stored.root} & names.mailboxes:
            return True
        if not names.mailboxes:
            return False
        owner = self.owner(stored)
        return mailbox not in self.configured if owner is None else owner in names.mailboxes

    def owner(self, stored: StoredMessage) -> str | None:
        """Return the id of a message's mailbox by its manifest or tombstone; None without one that can be read."""
        if stored.manifest is None:
            return None
        try:
            with self.store.open(stored.manifest.key) as body:
                content = body.read()
            return Manifest.model_validate_json(content).mailbox.id
        except ObjectMissingError:
            return None
        except ValidationError:
            tombstone = read_tombstone(self.store, stored.manifest.key)
            return None if tombstone is None else tombstone.mailbox

    def _is_there(self, kind: Kind, name: str) -> bool:
        return self.store.stat(self._key(kind, name)) is not None

    def _listed(self) -> Iterator[tuple[Kind, str]]:
        root = self.layout.holds()
        for stored in self.store.stored(root):
            kind, _, name = stored.key.removeprefix(root).partition("/")
            if kind in ("message", "mailbox"):
                yield cast("Kind", kind), name.removesuffix(_SUFFIX)

    def _read(self, kind: Kind, name: str) -> Hold:
        try:
            with self.store.open(self._key(kind, name)) as body:
                return Hold.model_validate_json(body.read())
        except (ObjectMissingError, ValidationError):
            return Hold(kind=kind, name=name)

    def _key(self, kind: Kind, name: str) -> str:
        return f"{self.layout.holds()}{kind}/{name}{_SUFFIX}"


@dataclass(frozen=True, slots=True)
class HoldOrders:
    """Holds and releases what a person names. Every method but `all` returns what was done, in lines.

    Attributes:
        purge: finds messages.
        now: the wall clock, in UTC.
        patience: seconds to wait until an erasure that may not have seen a new hold is over.
    """

    purge: Purge
    now: Callable[[], datetime]
    patience: float = 600.0

    def all(self) -> list[Hold]:
        """Return every hold."""
        return self._holds.all()

    def hold_messages(self, wanted: Sequence[str], reason: str | None) -> list[str]:
        """Hold messages, by their keys or beginnings of these.

        Raises:
            NotPurgedError: a message is unknown or ambiguous, was purged already, or may be being erased.
            StoreError: the store is unavailable.
        """
        found = self.purge.find(wanted)
        for stored in found:
            self._holds.add(Hold(kind="message", name=stored.key, since=self.now(), reason=reason))
        marked = self._mark(found, on=True)
        self._wait_for_erasures(
            {name for one in found for name in (self.purge.claimed_as(one), self._holds.owner(one))}
        )
        # Every erasure that had not seen the hold is over, so that its tombstone is there.
        gone = [stored.key for stored in self.purge.find(wanted) if self.purge.eraser.tombstone(stored) is not None]
        if gone:
            raise NotPurgedError(f"{', '.join(gone)} was purged already; the hold on it has no effect")
        return [f"message {key} is held" for key in sorted({one.key for one in found})] + marked

    def hold_mailbox(self, mailbox: str, reason: str | None) -> list[str]:
        """Hold a mailbox, by its id or, if it is not configured any more, the name of its folder.

        Raises:
            ConfigError: it is not configured, and nothing of it is stored; the text may suggest a similar id.
            NotPurgedError: it is the folder of another mailbox, or some of it may be being erased.
            StoreError: the store is unavailable.
        """
        folders = self.purge.folders(mailbox)
        if next(self.purge.stored(mailbox), None) is None:
            require_configured("mailbox", [mailbox], self.purge.configured)
        for name in sorted({mailbox, *folders}):
            self._holds.add(Hold(kind="mailbox", name=name, since=self.now(), reason=reason))
        marked = self._mark(self.purge.stored(mailbox), on=True)
        self._wait_for_erasures({mailbox})
        return [f"mailbox {mailbox} is held", *marked]

    def release_messages(self, wanted: Sequence[str]) -> list[str]:
        """Release messages; raises as `hold_messages` does."""
        found = self.purge.find(wanted)
        lines = []
        for key in sorted({one.key for one in found}):
            released = self._holds.remove("message", key)
            lines.append(f"message {key} is released" if released else f"message {key} was not held by itself")
        return lines + self._mark(found, on=False)

    def release_mailbox(self, mailbox: str) -> list[str]:
        """Release a mailbox; raises as `hold_mailbox` does."""
        names = sorted({mailbox, *self.purge.folders(mailbox)})
        released = [self._holds.remove("mailbox", name) for name in names]
        line = f"mailbox {mailbox} is released" if any(released) else f"mailbox {mailbox} was not held"
        return [line, *self._mark(self.purge.stored(mailbox), on=False)]

    @property
    def _holds(self) -> LegalHolds:
        return self.purge.eraser.holds

    def _wait_for_erasures(self, mailboxes: Collection[str | None]) -> None:
        """Wait until every erasure that may not have seen a new hold is over."""
        try:
            self.purge.wait_for_erasures(filter(None, mailboxes), self.patience)
        except MailhaulError as error:
            raise NotPurgedError(
                "the hold is written and nothing more will be erased, but an erasure that began before it may not be"
                f" over ({error}): add the hold again later, to learn what it has saved"
            ) from error

    def _mark(self, found: Iterable[StoredMessage], *, on: bool) -> list[str]:
        """Put the store's own legal hold on messages, or remove it from those that no other hold is on."""
        names, marked = self._holds.names(), 0
        for stored in found:
            if on or not self._holds.is_held(stored, self.purge.owner(stored), names):
                marked += self.purge.store.set_legal_hold(stored.folder, on=on)
        what = "put on" if on else "removed from"
        return [f"the store's own legal hold was {what} {marked:,} objects"] if marked else []
