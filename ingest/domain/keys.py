"""Identity and names: all of them follow from content, so that doing a step twice writes the same thing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import date

    from typing_extensions import Buffer

DIGEST_BYTES = 16


class Hasher(Protocol):
    """What `hashlib.sha256` gives, as far as we use it."""

    def update(self, data: Buffer, /) -> None:
        """Take more bytes."""

    def digest(self) -> bytes:
        """The hash of all bytes so far."""
        ...


def message_hasher(mailbox: str) -> Hasher:
    """A SHA-256 that has taken mailbox id and NUL already; feed it the raw bytes as they come."""
    return hashlib.sha256(mailbox.encode("ascii") + b"\0")


def message_key(hasher: Hasher) -> str:
    """The identity of a message: 32 hex digits, the first 16 bytes of `message_hasher` after all raw bytes."""
    return hasher.digest()[:DIGEST_BYTES].hex()


def unique_id_digest(unique_id: bytes) -> bytes:
    """16 bytes that stand for a unique-id in the ledger, however long the server made it."""
    return hashlib.sha256(unique_id).digest()[:DIGEST_BYTES]


def event_id(event_type: str, key: str) -> str:
    """The id of an event: 32 hex digits that follow from its type and message, so a repeat has the same id."""
    return hashlib.sha256(f"{event_type}\0{key}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where objects lie below one store's prefix (empty, or without leading and trailing slash)."""

    prefix: str = ""

    def folder(self, mailbox: str, day: date | None, key: str) -> str:
        """The folder of one message, without a trailing slash.

        Args:
            mailbox: its id, or the prefix configured in its place.
            day: UTC date of the topmost Received header, else of Date, else None.
            key: the message key.
        """
        dated = day.strftime("%Y/%m/%d") if day else "undated"
        return self._join(mailbox, dated, key)

    def everything(self) -> str:
        """What all keys begin with: empty, or with a slash at its end."""
        return self._join("")

    def mailbox(self, mailbox: str) -> str:
        """What the keys of everything of one mailbox begin with, with the slash at its end."""
        return self._join(mailbox, "")

    def published(self) -> str:
        """The key of the object that says how far the event stream is confirmed."""
        return self._join("_state", "watermark.json")

    def state(self, mailbox: str, name: str) -> str:
        """The key of an object in the mailbox's `_state` folder."""
        return self._join(mailbox, "_state", name)

    def probe(self, name: str) -> str:
        """The key of a short-lived object that `mailhaul check` writes, reads and deletes."""
        return self._join("_probe", name)

    def _join(self, *parts: str) -> str:
        return "/".join((self.prefix, *parts) if self.prefix else parts)


RAW = "raw.eml"
TOP = "top.eml"
MANIFEST = "message.json"
BODY_TEXT = "body.txt"
BODY_HTML = "body.html"


def attachment_name(part: str, safe_name: str) -> str:
    """The name of an attachment's object inside its message's folder.

    Args:
        part: the part's path, digits and dots only.
        safe_name: a file name without separators, control characters and dot segments.
    """
    return f"attachments/{part}-{safe_name}"


def quarantine_name(part: str, safe_name: str) -> str:
    """The same for an attachment that is infected and is to be kept apart."""
    return f"quarantine/{part}-{safe_name}"
