"""Identities and object keys. All of them follow from content, so that repeating a step writes the same object."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from datetime import date

    from typing_extensions import Buffer

DIGEST_BYTES = 16
EVENT_ID_DIGITS = 32
Kind = Literal["raw", "document", "body", "manifest", "state", "statement"]
_STATEMENT = re.compile(r"(?:.*/)?_audit/[^/]+/\d{4}/\d\d/\d\d(?:-[0-9a-f]{16}\.jsonl|\.json)", re.DOTALL)
_IN_MESSAGE = re.compile(
    r"(?:.*/)?(?:\d{4}/\d\d/\d\d|undated)/[0-9a-f]{32}/(?:updates/\d+/)?(?P<name>[^/]+)(?P<more>/.*)?", re.DOTALL
)


class Hasher(Protocol):
    """The part of a `hashlib` hash object that is used."""

    def update(self, data: Buffer, /) -> None:
        """Add bytes."""

    def digest(self) -> bytes:
        """Return the hash of all bytes added so far."""
        ...


def message_hasher(mailbox: str) -> Hasher:
    """Return a SHA-256 that has hashed the mailbox id and NUL already; update it with the raw bytes."""
    return hashlib.sha256(mailbox.encode("ascii") + b"\0")


def message_key(hasher: Hasher) -> str:
    """Return the identity of a message: the first 16 bytes of the completed `message_hasher`, as 32 hex digits."""
    return hasher.digest()[:DIGEST_BYTES].hex()


def listing_digest(maildrop: bytes, unique_id: bytes, size: int | None) -> bytes:
    """Return 16 bytes that identify a message on its server, as far as a listing can.

    A unique-id alone does not: servers reuse them after a deletion, reset them, and another server has the same ones.
    If maildrop, unique-id or size differ, it is another message.

    Args:
        maildrop: identifies server and account, see `maildrop_identity`.
        unique_id: as UIDL returned it.
        size: bytes as LIST returned it; None if the server does not say.
    """
    listed = b"" if size is None else b"%d" % size
    return hashlib.sha256(b"\0".join((maildrop, unique_id, listed))).digest()[:DIGEST_BYTES]


def maildrop_identity(store_id: bytes, host: str, port: int, username: str) -> bytes:
    """Return what identifies a maildrop: server and account. The mailbox id stays the same when these are edited.

    What was seen before another store was configured is not in that store, so the store's id is part of it.
    """
    return store_id + f"{host.lower()}\0{port}\0{username}".encode("utf-8", "surrogateescape")


def event_id(event_type: str, key: str, update: int | None = None) -> str:
    """Return the id of an event, the same for every repeat.

    32 hex digits that follow from type and message, for an update with a hyphen and its number behind them.
    """
    digits = hashlib.sha256(f"{event_type}\0{key}".encode()).hexdigest()[:EVENT_ID_DIGITS]
    return digits if update is None else f"{digits}-{update}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys of objects, below the store's prefix (empty, or without leading and trailing slash)."""

    prefix: str = ""

    def folder(self, mailbox: str, day: date | None, key: str) -> str:
        """Return the folder of one message, without a trailing slash.

        Args:
            mailbox: its id, or the prefix configured instead.
            day: UTC date of the topmost Received header, else of Date, else None.
            key: the message key.
        """
        dated = day.strftime("%Y/%m/%d") if day else "undated"
        return self._join(mailbox, dated, key)

    def everything(self) -> str:
        """Return the common prefix of all keys: empty, or with a trailing slash."""
        return self._join("")

    def mailbox(self, mailbox: str) -> str:
        """Return the common prefix of all keys of one mailbox, with a trailing slash."""
        return self._join(mailbox, "")

    def watermark(self) -> str:
        """Return the key of the delivery watermark."""
        return self._join("_state", "watermark.json")

    def store_id(self) -> str:
        """Return the key of the object that identifies this store."""
        return self._join("_state", "store-id")

    def state(self, mailbox: str, name: str) -> str:
        """Return the key of an object in the mailbox's `_state` folder."""
        return self._join(mailbox, "_state", name)

    def statements(self, mailbox: str = "") -> str:
        """Return the common prefix of the keys of a mailbox's statements, or of all, with a trailing slash.

        Args:
            mailbox: its id, also where it has a prefix, which may be changed.
        """
        return self._join("_audit", mailbox, "") if mailbox else self._join("_audit", "")

    def statement(self, mailbox: str, day: date) -> str:
        """Return the key of a mailbox's statement about a day."""
        return f"{self.statements(mailbox)}{day:%Y/%m/%d}.json"

    def statement_entries(self, mailbox: str, day: date, sha256: str) -> str:
        """Return the key of the entries of a statement, which have this hash."""
        return f"{self.statements(mailbox)}{day:%Y/%m/%d}-{sha256[:16]}.jsonl"

    def holds(self) -> str:
        """Return the common prefix of the keys of legal holds, with a trailing slash."""
        return self._join("_state", "holds", "")

    def clock(self) -> str:
        """Return the key of the object that is written to learn the time on the store's clock."""
        return self._join("_state", "clock.txt")

    def probe(self, name: str) -> str:
        """Return the key of an object that a starting process or `mailhaul check` writes, reads and deletes."""
        return self._join("_probe", name)

    def _join(self, *parts: str) -> str:
        return "/".join((self.prefix, *parts) if self.prefix else parts)


RAW = "raw.eml"
TOP = "top.eml"
MANIFEST = "message.json"
# The record that raw mail was erased on purpose.
RAW_ERASED = "raw-erased.json"
# The manifest before an update, in the folder of the update.
PREVIOUS = "previous.json"
_MANIFESTS = frozenset({MANIFEST, PREVIOUS, RAW_ERASED})
_DOCUMENTS = frozenset({"attachments", "quarantine"})
BODY_TEXT = "body.txt"
BODY_HTML = "body.html"
DERIVED_PLAIN = "derived/body.txt"
DERIVED_SAFE_HTML = "derived/body.html"


def kind(key: str) -> Kind:
    """Return what an object is to its message, by its key; `statement` or `state` if it is not part of one."""
    found = _IN_MESSAGE.fullmatch(key)
    if found is None:
        return "statement" if _STATEMENT.fullmatch(key) else "state"
    name = found["name"]
    if found["more"]:
        return "document" if name in _DOCUMENTS else "body"
    return "raw" if name in (RAW, TOP) else "manifest" if name in _MANIFESTS else "body"


def attachment_name(part: str, safe_name: str) -> str:
    """Return the key of an attachment relative to its message's folder.

    Args:
        part: the part's path, digits and dots only.
        safe_name: a file name without separators, control characters and dot segments.
    """
    return f"attachments/{part}-{safe_name}"


def update_name(number: int, name: str) -> str:
    """Return the key, relative to its message's folder, of an object whose own key holds other bytes by now.

    Args:
        number: of the update that writes it.
        name: its own key relative to the folder.
    """
    return f"updates/{number}/{name}"


def quarantine_name(part: str, safe_name: str) -> str:
    """Return the key of a quarantined attachment; arguments as for `attachment_name`."""
    return f"quarantine/{part}-{safe_name}"


def check_of(salt: str, fingerprint: bytes) -> str:
    """Return 16 bits that almost certainly change when a fingerprint of secrets does, and tell nothing about them."""
    return hashlib.sha256(salt.encode() + fingerprint).hexdigest()[:4]


def mark(fingerprint: bytes, salt: str) -> str:
    """Return a text by which `fits` recognises a fingerprint."""
    return f"{salt}:{check_of(salt, fingerprint)}"


def fits(fingerprint: bytes, marked: str) -> bool:
    """Whether a text is a mark of this fingerprint; a wrong one is taken for it once in 65,536 times."""
    return marked == mark(fingerprint, marked.partition(":")[0])
