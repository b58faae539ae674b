"""What identifies the messages of a listing.

A unique-id alone does not. After a deletion a server may give it to another message, some servers use the message
number, repeat one id, or have several nodes with ids of their own, and after a migration another server has the same
ids. Wherever maildrop, unique-id or size differ it is another message, which is fetched, and its content decides.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.domain.keys import listing_digest
from ingest.errors import NoUniqueIdsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ingest.domain.mailbox import Mailbox
    from ingest.ports.maildrop import Listed, Listing


_NO_UNIQUE_IDS = (
    "The server has no UIDL, so whatever stays on it would have to be fetched in full at every poll. "
    "Set `policy: delete` for this mailbox: its messages are then deleted there once they are done."
)


_BLANK_LINE = b"\r\n\r\n"
_MESSAGE_ID = re.compile(rb"^message-id[ \t]*:\s*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class IdentifiedRow:
    """A row of a listing.

    Attributes:
        listed: the row as the server listed it.
        digest: 16 bytes that identify the message in every session, None if nothing does before it is fetched.
        header: what TOP returned, if that identifies the message.
        id: the digest or, within one poll only, the message number.
    """

    listed: Listed
    digest: bytes | None
    header: Header | None = None
    id: bytes = field(init=False, compare=False)  # asked for many times a message

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.digest or b"%d" % self.listed.number)


@dataclass(frozen=True, slots=True)
class Header:
    """The least of a header, as TOP returned it, that tells whether a message begins with it.

    Attributes:
        message_id: its Message-ID; None if it has none.
        size: bytes, without blank lines at the end.
        sha256: of these bytes.
    """

    message_id: bytes | None
    size: int
    sha256: bytes

    @classmethod
    def of(cls, header: bytes) -> Header:
        """Return that of a header."""
        header = header.rstrip(b"\r\n")
        return cls(_message_id(header), len(header), hashlib.sha256(header).digest())

    def contradicts(self, head: bytes) -> bool:
        """Return whether a message that begins with these bytes is certainly another one.

        Two Message-IDs decide. Where one is missing, the whole header has to be the same: some servers add fields to
        what TOP returns.
        """
        known = _message_id(head.partition(_BLANK_LINE)[0])
        if known is not None and self.message_id is not None:
            return known != self.message_id
        return hashlib.sha256(head[: self.size]).digest() != self.sha256


def unreliable(rows: Sequence[Listed]) -> set[bytes]:
    """Return the unique-ids of a listing that identify no message.

    These are ids that several messages have, and all ids if each is the message's number: the numbers of other
    messages change when one is deleted (RFC 1939 section 5), and so would these ids.
    """
    counts = Counter(row.unique_id for row in rows if row.unique_id is not None)
    if counts and all(row.unique_id is None or _number(row.unique_id) == row.number for row in rows):
        return set(counts)
    return {unique_id for unique_id, count in counts.items() if count > 1}


def identify(
    maildrop: bytes, rows: Sequence[Listed], tops: Callable[[Sequence[Listed]], Iterable[bytes]]
) -> list[IdentifiedRow]:
    """Identify each row, by unique-id and size or, where the unique-id is unreliable, by header and size.

    Args:
        maildrop: see `maildrop_identity`.
        rows: of one listing.
        tops: returns the headers of messages, each empty if the server does not support TOP. It is called only for
            rows with an unreliable unique-id, and is much cheaper than fetching the whole messages. Several messages
            with the same header and size are left to their content.
    """
    untrusted = unreliable(rows)
    doubted = [row for row in rows if row.unique_id in untrusted]
    # One after the other: the headers of all messages together may take gigabytes.
    by_header = {
        row.number: _by_header(maildrop, row, header) for row, header in zip(doubted, tops(doubted), strict=True)
    }
    identified = [by_header.get(row.number) or _by_unique_id(maildrop, row) for row in rows]
    counts = Counter(one.digest for one in identified)
    return [one if counts[one.digest] == 1 else IdentifiedRow(one.listed, None) for one in identified]


def _by_unique_id(maildrop: bytes, row: Listed) -> IdentifiedRow:
    return IdentifiedRow(row, None if row.unique_id is None else listing_digest(maildrop, row.unique_id, row.size))


def _by_header(maildrop: bytes, row: Listed, header: bytes) -> IdentifiedRow:
    if not header:
        return IdentifiedRow(row, None)
    # A blank cannot be part of a unique-id (RFC 1939 section 7), so the two kinds of digest cannot collide.
    digest = listing_digest(maildrop, b"top " + hashlib.sha256(header).digest(), row.size)
    return IdentifiedRow(row, digest, Header.of(header))


def _message_id(header: bytes) -> bytes | None:
    found = _MESSAGE_ID.search(header)
    return found[1].rstrip() if found is not None else None


def _number(unique_id: bytes) -> int | None:
    return int(unique_id) if unique_id.isdigit() else None


def require_unique_ids(listing: Listing, mailbox: Mailbox) -> None:
    """Raise `NoUniqueIdsError` if mail would stay on a server without UIDL."""
    if not listing.unique_ids and mailbox.deletion.after != 0:
        raise NoUniqueIdsError(_NO_UNIQUE_IDS)
