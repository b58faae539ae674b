"""Identities and object keys. All of them follow from content, so that repeating a step writes the same object."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import date

    from typing_extensions import Buffer

DIGEST_BYTES = 16


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


def unique_id_digest(unique_id: bytes) -> bytes:
    """Return the 16 bytes that represent a unique-id of any length in the ledger."""
    return hashlib.sha256(unique_id).digest()[:DIGEST_BYTES]


def event_id(event_type: str, key: str) -> str:
    """Return the id of an event: 32 hex digits that follow from type and message, the same for every repeat."""
    return hashlib.sha256(f"{event_type}\0{key}".encode()).hexdigest()[:32]


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

    def state(self, mailbox: str, name: str) -> str:
        """Return the key of an object in the mailbox's `_state` folder."""
        return self._join(mailbox, "_state", name)

    def probe(self, name: str) -> str:
        """Return the key of an object that `mailhaul check` writes, reads and deletes."""
        return self._join("_probe", name)

    def _join(self, *parts: str) -> str:
        return "/".join((self.prefix, *parts) if self.prefix else parts)


RAW = "raw.eml"
TOP = "top.eml"
MANIFEST = "message.json"
BODY_TEXT = "body.txt"
BODY_HTML = "body.html"


def attachment_name(part: str, safe_name: str) -> str:
    """Return the key of an attachment relative to its message's folder.

    Args:
        part: the part's path, digits and dots only.
        safe_name: a file name without separators, control characters and dot segments.
    """
    return f"attachments/{part}-{safe_name}"


def quarantine_name(part: str, safe_name: str) -> str:
    """Return the key of a quarantined attachment; arguments as for `attachment_name`."""
    return f"quarantine/{part}-{safe_name}"
