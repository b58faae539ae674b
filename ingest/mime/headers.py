"""The headers that a manifest holds, decoded and capped."""

from __future__ import annotations

import re
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


def parse_headers(head: bytes) -> Headers:
    """The headers of a message of which no more is known."""
    limits = MimeLimits()
    defects: set[Defect] = set()
    return make_headers(split_fields(head[: limits.header_octets], limits, defects), limits, defects)


def make_headers(fields: Fields, limits: MimeLimits, defects: set[Defect]) -> Headers:
    """What a manifest says of a message's fields. The first of each name counts."""

    def text(name: bytes) -> str | None:
        value = fields.first(name)
        return None if value is None else clean(decode_header(value[: limits.text * 8], defects))[: limits.text]

    def ids(name: bytes) -> list[str]:
        value = fields.first(name) or b""
        found = (match[0] for match in _ID.finditer(value))
        return [
            clean(id_.decode("utf-8", "replace")) for id_, _ in zip(found, range(limits.references), strict=False)
        ]

    def addresses(name: bytes) -> list[Address]:
        value = fields.first(name)
        return [] if value is None else parse_addresses(value, limits.addresses, defects)

    date = fields.first(b"date")
    return Headers(
        message_id=next(iter(ids(b"message-id")), None) or text(b"message-id"),
        date=parse_date(date) if date is not None else None,
        subject=text(b"subject"),
        from_=addresses(b"from"),
        to=addresses(b"to"),
        cc=addresses(b"cc"),
        reply_to=addresses(b"reply-to"),
        in_reply_to=next(iter(ids(b"in-reply-to")), None),
        references=ids(b"references"),
        auto_submitted=text(b"auto-submitted"),
        list_id=text(b"list-id"),
    )
