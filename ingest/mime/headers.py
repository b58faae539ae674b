"""The headers that a manifest holds, decoded and capped."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from ingest.domain.manifest import Address, Headers
from ingest.mime.addresses import parse_addresses
from ingest.mime.dates import parse_date
from ingest.mime.fields import Fields, split_fields
from ingest.mime.limits import MimeLimits
from ingest.mime.text import clean, decode_header

if TYPE_CHECKING:
    from ingest.mime.defects import Defect

_ID = re.compile(rb"<[^<>\s]{1,998}>")
_RESPONDERS = frozenset({b"x-autoreply", b"x-autorespond", b"x-autoresponse"})


def parse_headers(head: bytes) -> Headers:
    """The headers of a message of which no more is known."""
    limits = MimeLimits()
    defects: set[Defect] = set()
    return make_headers(split_fields(head[: limits.header_octets], limits, defects), limits, defects)


def make_headers(fields: Fields, limits: MimeLimits, defects: set[Defect]) -> Headers:
    """What a manifest says of a message's fields. The first of each name counts."""
    date, message_id = fields.first(b"date"), fields.first(b"message-id")
    return Headers(
        message_id=_id(message_id) or _text(message_id, limits, defects),
        date=parse_date(date) if date is not None else None,
        subject=_text(fields.first(b"subject"), limits, defects),
        from_=_addresses(fields.first(b"from"), limits, defects),
        to=_addresses(fields.first(b"to"), limits, defects),
        cc=_addresses(fields.first(b"cc"), limits, defects),
        reply_to=_addresses(fields.first(b"reply-to"), limits, defects),
        in_reply_to=_id(fields.first(b"in-reply-to")),
        references=_ids(fields.first(b"references"), limits),
        auto_submitted=_text(fields.first(b"auto-submitted"), limits, defects) or _automatic(fields),
        list_id=_text(fields.first(b"list-id"), limits, defects),
    )


def _text(value: bytes | None, limits: MimeLimits, defects: set[Defect]) -> str | None:
    return None if value is None else clean(decode_header(value[: limits.text * 8], defects))[: limits.text]


def _addresses(value: bytes | None, limits: MimeLimits, defects: set[Defect]) -> list[Address]:
    return [] if value is None else parse_addresses(value, limits.addresses, defects)


def _id(value: bytes | None) -> str | None:
    found = _ID.search(value) if value is not None else None
    return None if found is None else clean(found[0].decode("utf-8", "replace"))


def _ids(value: bytes | None, limits: MimeLimits) -> list[str]:
    if value is None:
        return []
    found = islice(_ID.finditer(value), limits.references)
    return [clean(match[0].decode("utf-8", "replace")) for match in found]


def _automatic(fields: Fields) -> str | None:
    """What RFC 3834 section 5 calls a reply that nobody wrote, of software that does not say so itself.

    That is a report (RFC 6522), or what older responders put into other fields.
    """
    kind, precedence = fields.first(b"content-type"), fields.first(b"precedence")
    report = kind is not None and kind[:16].lower() == b"multipart/report"
    responder = precedence is not None and precedence.lower() == b"auto_reply"
    if report or responder or fields.has_any(_RESPONDERS):
        return "auto-replied"
    return None
