"""Who a message was really delivered to, from the trace fields that the receiving servers wrote.

A sender can write Delivered-To or Return-Path, too. Servers write theirs above what they received (RFC 5321 section
4.4), so fields count only down to the hop by which the message entered a trusted server.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ingest.domain.mail import MailEnvelope, Recipient
from ingest.mime.authentication import is_of_server
from ingest.mime.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from ingest.mime.fields import Fields

# Fields that name a recipient, those nearest to what the sender's server asked for first.
_RECIPIENT_FIELDS = tuple(
    name.encode()
    for name in (
        "x-original-to",  # Postfix
        "envelope-to",  # Exim
        "x-envelope-to",  # sendmail, Exim in some configurations
        "x-rcpt-to",  # Kerio, MDaemon
        "x-apparently-to",  # Yahoo
        "received",  # its `for` clause
        "x-delivered-to",  # Fastmail
        "delivered-to",  # Postfix, qmail, Gmail: the maildrop at the end of all aliases
    )
)
_RECEIVED = b"received"
_RETURN_PATH = b"return-path"
_RESULTS = b"authentication-results"
_TRACE_FIELDS = frozenset({*_RECIPIENT_FIELDS, _RETURN_PATH, _RESULTS})
_MOST_FIELDS = 200  # of a header that are looked through; thirty hops add about ninety
_MOST_RECIPIENTS = 20
_LONGEST_ADDRESS = 320
_FOR = re.compile(rb"(?i)[\s)]for\s+<?([^\s<>;()]{1,320})>?(?=[\s;(]|\Z)")
_BY = re.compile(rb"(?i)(?:^|[\s)])by\s+([^\s;()]{1,255})")
_ADDRESS = re.compile(rb"<?\s*([^\s<>\"]{1,256}@[^\s<>\",;]{1,255})\s*>?")
_COMMENT = re.compile(rb"\([^()]*\)")
_RECEIVED_BYTES = 4096  # of one field; hosts and addresses have some hundred
_NESTED_COMMENTS = 3
_TAG = re.compile(r"[^+@]+\+([^@]+)@")


class Trust(NamedTuple):
    """Which trace fields of a mailbox are believed.

    Attributes:
        authserv_id: the server whose Authentication-Results are trusted; it is also the hop that is.
        hops: how many Received fields from the top were written by trusted servers; None for the hop that
            `authserv_id` tells, else one.
    """

    authserv_id: str | None = None
    hops: int | None = None


def read_envelope(fields: Fields, trust: Trust) -> MailEnvelope | None:
    """Return what the trusted servers wrote about the delivery, None if they wrote nothing of it.

    Args:
        fields: of the whole header.
        trust: how far down they are believed.
    """
    believed, basis = _believed(fields, trust)
    return_path: str | None = None
    found: dict[bytes, list[str]] = {}
    for name, value in believed:
        if name == _RETURN_PATH:
            return_path = _sender(value) if return_path is None else return_path
        elif name != _RESULTS:
            found.setdefault(name, []).extend(reversed(_recipients(name, value)))
    recipients = _merged(found)
    if return_path is None and not recipients:
        return None
    return MailEnvelope(recipients=recipients, return_path=return_path, trusted_by=basis)


def _believed(
    fields: Fields, trust: Trust
) -> tuple[Sequence[tuple[bytes, bytes]], Literal["authserv_id", "trusted_hops"]]:
    """Return the trace fields that trusted servers wrote, from the top, and what tells that they did."""
    if trust.hops is None and trust.authserv_id is not None:
        top = fields.among(_TRACE_FIELDS, _MOST_FIELDS)
        end = _end_by_server(top, trust.authserv_id)
        if end:
            return top[:end], "authserv_id"
    # A header with fewer hops says nothing certain.
    end = fields.end_of(_RECEIVED, 1 if trust.hops is None else trust.hops, _MOST_FIELDS)
    return fields.among(_TRACE_FIELDS, end), "trusted_hops"


def _end_by_server(top: Sequence[tuple[bytes, bytes]], authserv_id: str) -> int:
    """Return where the hop of a server ends: its Received field is the one above or below its results.

    Milters insert the results below the Received field of their server; others write them above it.
    """
    results = next((at for at, (name, value) in enumerate(top) if _is_result(name, value, authserv_id)), None)
    if results is None:
        return 0
    below = next((at for at in range(results + 1, len(top)) if top[at][0] == _RECEIVED), None)
    if below is not None and _is_by(top[below][1], authserv_id):
        return below + 1
    return results + 1


def _is_result(name: bytes, value: bytes, authserv_id: str) -> bool:
    return name == _RESULTS and is_of_server(value, authserv_id)


def _is_by(received: bytes, server: str) -> bool:
    by = _BY.search(received)
    return by is not None and by[1].decode("ascii", "replace").casefold() == server.casefold()


def _recipients(name: bytes, value: bytes) -> list[str]:
    """Return whom a field names: Exim lists all that share one delivery in Envelope-To."""
    if name == _RECEIVED:
        found = _FOR.findall(_own_words(value))[-1:]
    else:
        found = [match[1] for each in value.split(b",", _MOST_RECIPIENTS) if (match := _ADDRESS.match(each.strip()))]
    return [clean(each.decode("utf-8", "replace"))[:_LONGEST_ADDRESS] for each in found if b"@" in each]


def _own_words(received: bytes) -> bytes:
    """Return what a server wrote itself: comments, and the name that the client gave, may hold anything."""
    words, semicolon, date = received[-_RECEIVED_BYTES:].rpartition(b";")
    words = words if semicolon else date
    for _ in range(_NESTED_COMMENTS):
        words, comments = _COMMENT.subn(b" ", words)
        if not comments:
            break
    by = words.lower().rfind(b" by ")
    return words[by:] if by >= 0 else words


def _sender(value: bytes) -> str | None:
    """Return the address of a Return-Path, empty for the null sender of bounces (RFC 5321 section 4.5.5)."""
    if value.replace(b" ", b"") == b"<>":
        return ""
    found = _ADDRESS.match(value)
    return None if found is None else clean(found[1].decode("utf-8", "replace"))[:_LONGEST_ADDRESS]


def _merged(found: dict[bytes, list[str]]) -> list[Recipient]:
    """Return each address once, with all fields that name it; the lowest field of a name counts first."""
    named: dict[str, tuple[str, list[str]]] = {}
    for name in _RECIPIENT_FIELDS:
        for address in reversed(found.get(name, ())):
            _, fields = named.setdefault(address.casefold(), (address, []))
            field = name.decode("ascii")
            if field not in fields:
                fields.append(field)
    return [
        Recipient(address=address, tag=None if (tag := _TAG.match(address)) is None else tag[1], fields=fields)
        for address, fields in list(named.values())[:_MOST_RECIPIENTS]
    ]
