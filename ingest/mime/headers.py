"""The header fields of a manifest, decoded and capped."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from ingest.domain.manifest import Headers
from ingest.mime.addresses import parse_addresses
from ingest.mime.dates import parse_date
from ingest.mime.defects import Defect
from ingest.mime.fields import Fields, split_fields
from ingest.mime.header_lines import header_begin
from ingest.mime.limits import MimeLimits
from ingest.mime.text import clean, decode_header

if TYPE_CHECKING:
    from datetime import datetime

_ID = re.compile(rb"<[^<>\s]{1,998}>")
_NAMES = (
    *(b"date", b"message-id", b"subject", b"from", b"to", b"cc", b"reply-to"),
    *(b"in-reply-to", b"references", b"auto-submitted", b"list-id", b"content-type"),
)
_RESPONDERS = frozenset({b"x-autoreply", b"x-autorespond", b"x-autoresponse"})


def parse_headers(head: bytes) -> Headers:
    """Return the headers of a message of which only the header was fetched."""
    limits = MimeLimits()
    defects: set[Defect] = set()
    head = head[header_begin(head) :][: limits.header_bytes]
    return make_headers(split_fields(head, limits, defects), limits, defects)


def decode_headers(head: bytes | Fields, limits: MimeLimits, defects: set[Defect]) -> Headers:
    """Return the headers of a message whose header was read; see `make_headers`."""
    return make_headers(split_fields(head, limits, defects) if isinstance(head, bytes) else head, limits, defects)


def make_headers(fields: Fields, limits: MimeLimits, defects: set[Defect]) -> Headers:
    """Return the manifest's headers. The first field of each name counts; of To and Cc all do."""
    date, message_id, subject, from_, to, cc, reply_to, in_reply_to, references, automatic, list_id, content_type = (
        fields.firsts(_NAMES)
    )
    return Headers(
        message_id=None if message_id is None else _id(message_id) or _text(message_id, limits, defects),
        date=None if not date else _date(date, defects),
        subject=None if subject is None else _text(subject, limits, defects),
        from_=[] if from_ is None else parse_addresses(from_, limits.addresses, defects),
        to=[] if to is None else parse_addresses(_all_of(fields, b"to"), limits.addresses, defects),
        cc=[] if cc is None else parse_addresses(_all_of(fields, b"cc"), limits.addresses, defects),
        reply_to=[] if reply_to is None else parse_addresses(reply_to, limits.addresses, defects),
        in_reply_to=None if in_reply_to is None else _id(in_reply_to),
        references=[] if references is None else _ids(references, limits),
        auto_submitted=_automatic(fields, content_type) if not automatic else _text(automatic, limits, defects),
        list_id=None if list_id is None else _text(list_id, limits, defects),
    )


def _date(value: bytes, defects: set[Defect]) -> datetime | None:
    date = parse_date(value)
    if date is None:
        defects.add(Defect.BAD_DATE)
    return date


def _all_of(fields: Fields, name: bytes) -> bytes:
    """Join the address lists of repeated fields."""
    return b", ".join(value.rstrip(b" ,") for value in fields.every(name))


def _text(value: bytes, limits: MimeLimits, defects: set[Defect]) -> str:
    return clean(decode_header(value[: limits.text * 8], defects))[: limits.text]


def _id(value: bytes) -> str | None:
    found = _ID.search(value)
    return None if found is None else clean(found[0].decode("utf-8", "replace"))


def _ids(value: bytes, limits: MimeLimits) -> list[str]:
    found = islice(_ID.finditer(value), limits.references)
    return [clean(match[0].decode("utf-8", "replace")) for match in found]


def _automatic(fields: Fields, content_type: bytes | None) -> str | None:
    """Return `auto-replied` for an automatic reply without an Auto-Submitted field (RFC 3834 section 5).

    These are reports (RFC 6522) and replies of older responders, which mark them in other fields.
    """
    report = content_type is not None and content_type[:16].lower() == b"multipart/report"
    precedence = fields.first(b"precedence")
    responder = precedence is not None and precedence.lower() == b"auto_reply"
    return "auto-replied" if report or responder or fields.has_any(_RESPONDERS) else None
