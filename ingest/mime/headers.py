"""The headers that a manifest holds, decoded and capped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest.domain.manifest import Address, Headers
from ingest.mime.addresses import parse_addresses
from ingest.mime.dates import parse_date
from ingest.mime.fields import Field, first, split_fields
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


def make_headers(fields: list[Field], limits: MimeLimits, defects: set[Defect]) -> Headers:
    """What a manifest says of a message's fields. The first of each name counts."""

    def text(name: str) -> str | None:
        value = first(fields, name)
        return None if value is None else clean(decode_header(value[: limits.text * 8], defects))[: limits.text]

    def ids(name: str) -> list[str]:
        value = first(fields, name) or b""
        found = (match[0] for match in _ID.finditer(value))
        return [
            clean(id_.decode("utf-8", "replace")) for id_, _ in zip(found, range(limits.references), strict=False)
        ]

    def addresses(name: str) -> list[Address]:
        value = first(fields, name)
        return [] if value is None else parse_addresses(value, limits.addresses, defects)

    date = first(fields, "date")
    return Headers(
        message_id=next(iter(ids("message-id")), None) or text("message-id"),
        date=parse_date(date) if date is not None else None,
        subject=text("subject"),
        from_=addresses("from"),
        to=addresses("to"),
        cc=addresses("cc"),
        reply_to=addresses("reply-to"),
        in_reply_to=next(iter(ids("in-reply-to")), None),
        references=ids("references"),
        auto_submitted=text("auto-submitted"),
        list_id=text("list-id"),
    )
