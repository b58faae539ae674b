"""The limits of the MIME parser. Each default has its reason beside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MimeLimits:
    """Where the parser stops reading; it reports each limit that was reached as a defect."""

    depth: int = 50  # real mail stays below ten; forwards of forwards reach twenty
    parts: int = 1000  # a digest of a busy list has a few hundred
    messages: int = 10  # nested in one another; each is scanned again, so this bounds the work
    header_bytes: int = 2**20  # ten thousand recipients fit
    header_fields: int = 1000  # thirty hops add about three hundred
    text: int = 998  # characters of a subject or an id: the longest line that RFC 5322 allows
    addresses: int = 100  # of one field, in a manifest; all of them are in the raw message
    references: int = 100
