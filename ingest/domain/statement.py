"""A statement: what one mailbox received on one day, what became of it, and which statement came before.

A statement is canonical JSON (RFC 8785) in an object of its own, and is never written again. Its entries, one for
each message, are lines of canonical JSON in a second object, whose hash and Merkle root the statement has. Entries
name no files, addresses or subjects: they outlast the messages.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field

from ingest.domain.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

State = Literal[
    "processed",
    "quarantined",  # processed, and held back by a rule
    "oversize",  # only its header was stored, as it is too large
    "unprocessed",  # stored, and to be processed
    "failed",  # could not be processed
    "erased",  # purged; a tombstone is left
    "missing",  # was stored, and nothing is left
    "unreadable",  # what is in place of its manifest is none
]
PROCESSED: frozenset[State] = frozenset({"processed", "quarantined", "oversize"})
_SETTLED: frozenset[State] = frozenset({*PROCESSED, "erased", "missing", "unreadable"})


class ObjectHash(Record):
    """The content of an object."""

    size: int = Field(ge=0, description="Bytes")
    sha256: str = Field(description="Hex SHA-256 of the bytes")


class Entry(Record):
    """One message, as it was when the statement was written."""

    folder: str = Field(description="Key of its folder below the store's prefix; the last part is the message key")
    change: Literal["stored", "changed", "carried"] = Field(
        description="stored: its raw mail was; changed: another of its objects was written; carried: neither, and "
        "the last statement left it unsettled"
    )
    state: State = Field(description="What it was when the statement was written")
    reason: str | None = Field(default=None, description="Code of the error of a failed message")
    raw: ObjectHash | None = Field(default=None, description="Its raw mail, or header; null once it was erased")
    raw_erased: bool = Field(default=False, description="Whether its raw mail alone was erased by retention")
    manifest: ObjectHash | None = Field(default=None, description="Its manifest, which has the hashes of its objects")
    replaced: list[str] = Field(
        default_factory=list, description="Hex SHA-256 of the manifests before it, which reprocessing has kept"
    )
    others: list[ObjectHash] = Field(
        default_factory=list, description="Objects in its folder that the manifest does not name (any more)"
    )
    event: str | None = Field(default=None, description="Id of the last event that was published about it")
    delivery: Literal["confirmed", "waiting", "rejected"] | None = Field(
        default=None, description="confirmed: no sink has it before it any more"
    )
    rejected_by: list[str] = Field(default_factory=list, description="Sinks that rejected the event")

    @property
    def key(self) -> str:
        """The message key."""
        return self.folder.rpartition("/")[2]

    @property
    def is_settled(self) -> bool:
        """Whether the next statement need not follow it up."""
        return self.state in _SETTLED and self.delivery in (None, "confirmed")

    def to_line(self) -> bytes:
        """Canonical JSON without what has its default; no line end."""
        return canonical(self.model_dump(mode="json", exclude_defaults=True))


class ServerView(Record):
    """What the last poll found on the server."""

    polled_at: datetime = Field(description="When that poll ended (UTC)")
    succeeded_at: datetime | None = Field(default=None, description="When the last successful poll ended (UTC)")
    result: str = Field(description="success, or what the poll failed with")
    listed: int = Field(description="Messages on the server")
    not_fetched: int = Field(description="Those of them that were still to be fetched")
    unfetchable: int = Field(description="Those of them that could not be fetched")
    left_out: int = Field(description="Those that the server's own lists do not agree on")


class EntriesRef(Record):
    """The object with the entries."""

    count: int = Field(ge=0, description="Entries")
    size: int = Field(ge=0, description="Bytes")
    sha256: str = Field(description="Hex SHA-256 of the bytes; the key has the beginning of it")


class Link(Record):
    """The statement before."""

    day: date
    sha256: str = Field(description="Hex SHA-256 of the whole object")


class Signature(Record):
    """A signature over the canonical JSON of the statement with null in place of this field."""

    algorithm: Literal["ed25519"] = "ed25519"
    key_id: str = Field(description="First 16 hex digits of SHA-256 over the public key (32 bytes)")
    value: str = Field(description="64 bytes, Base64")


class Statement(Record):
    """The statement."""

    schema_: Literal["mailhaul.statement/1"] = Field(default="mailhaul.statement/1", alias="schema")
    store_id: str = Field(description="Of the store, in hex")
    mailbox: str = Field(description="Its id")
    day: date = Field(description="Which day (UTC), by the clock of the store")
    since: datetime | None = Field(description="The end of the last statement; null in the first, which covers all")
    until: datetime = Field(description="The end of the day")
    written_at: datetime = Field(description="When it was written (UTC)")
    server: ServerView | None = Field(description="null where the mailbox was never polled")
    counts: dict[str, int] = Field(description="Entries by change, state and delivery; bytes of raw mail stored")
    confirmed_until: datetime = Field(description="Events of manifests older than this were confirmed by every sink")
    entries: EntriesRef
    merkle_root: str = Field(description="RFC 6962 with SHA-256, in hex; each line of the entries is a leaf")
    previous: Link | None = Field(description="null in the first")
    signature: Signature | None = Field(default=None, description="null where no key is configured")

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return canonical(self.model_dump(mode="json", by_alias=True))

    @property
    def link(self) -> Link:
        """What the next statement has as `previous`, if this one is stored as `to_json` returns it."""
        return Link(day=self.day, sha256=hashlib.sha256(self.to_json()).hexdigest())

    def signed(self, key_id: str, sign: Callable[[bytes], bytes]) -> Statement:
        """Return the statement with a signature.

        Args:
            key_id: see `Signature`.
            sign: returns the Ed25519 signature of bytes.
        """
        value = base64.b64encode(sign(signed_bytes(self.to_json()))).decode("ascii")
        return self.model_copy(update={"signature": Signature(key_id=key_id, value=value)})


def canonical(value: Any) -> bytes:
    """Return JSON as RFC 8785 wants it. All names are ASCII, and all numbers whole."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def is_canonical(data: bytes) -> bool:
    """Return whether bytes are canonical JSON, so that no second text means the same."""
    try:
        return canonical(json.loads(data)) == data
    except (ValueError, UnicodeError):
        return False


def signed_bytes(statement: bytes) -> bytes:
    """Return the bytes that the signature of a stored statement is about: all of it but the signature."""
    return canonical({**json.loads(statement), "signature": None})


def last_closed_day(now: datetime, grace: float) -> date:
    """Return the last day that ended at least `grace` seconds ago; `now` is in UTC."""
    return (now - timedelta(seconds=grace)).date() - timedelta(days=1)
