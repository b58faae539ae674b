"""What identifies the messages of a listing.

A unique-id alone does not. After a deletion a server may give it to another message, some servers use the message
number, repeat one id, or have several nodes with ids of their own, and after a migration another server has the same
ids. Wherever maildrop, unique-id or size differ it is another message, which is fetched, and its content decides.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.domain.keys import listing_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.ports.maildrop import Listed


@dataclass(frozen=True, slots=True)
class IdentifiedRow:
    """A row of a listing.

    Attributes:
        listed: the row as the server listed it.
        digest: 16 bytes that identify the message in every session, None if nothing does before it is fetched.
    """

    listed: Listed
    digest: bytes | None

    @property
    def id(self) -> bytes:
        """The digest or, within one poll only, the message number."""
        return self.digest or b"%d" % self.listed.number


def unreliable(rows: Sequence[Listed]) -> set[bytes]:
    """Return the unique-ids of a listing that identify no message.

    These are ids that several messages have, and all ids if each is the message's number: the numbers of other
    messages change when one is deleted (RFC 1939 section 5), and so would these ids.
    """
    counts = Counter(row.unique_id for row in rows if row.unique_id is not None)
    if counts and all(row.unique_id is None or _number(row.unique_id) == row.number for row in rows):
        return set(counts)
    return {unique_id for unique_id, count in counts.items() if count > 1}


def identify(maildrop: bytes, rows: Sequence[Listed], top: Callable[[Listed], bytes]) -> list[IdentifiedRow]:
    """Identify each row, by unique-id and size or, where the unique-id is unreliable, by header and size.

    Args:
        maildrop: see `maildrop_identity`.
        rows: of one listing.
        top: returns the header of a message, empty if the server does not support TOP. It is called only for rows
            with an unreliable unique-id, and is much cheaper than fetching the whole message. Several messages with
            the same header and size are left to their content.
    """
    untrusted = unreliable(rows)
    digests = [_digest(maildrop, row, untrusted, top) for row in rows]
    counts = Counter(digests)
    return [
        IdentifiedRow(row, digest if counts[digest] == 1 else None) for row, digest in zip(rows, digests, strict=True)
    ]


def _digest(maildrop: bytes, row: Listed, untrusted: set[bytes], top: Callable[[Listed], bytes]) -> bytes | None:
    if row.unique_id is None:
        return None
    if row.unique_id not in untrusted:
        return listing_digest(maildrop, row.unique_id, row.size)
    header = top(row)
    # A blank cannot be part of a unique-id (RFC 1939 section 7), so the two kinds of digest cannot collide.
    return listing_digest(maildrop, b"top " + hashlib.sha256(header).digest(), row.size) if header else None


def _number(unique_id: bytes) -> int | None:
    return int(unique_id) if unique_id.isdigit() else None
