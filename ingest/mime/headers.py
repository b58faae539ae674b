"""The header fields of a manifest, decoded and capped."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from ingest.domain.mail import Headers, Resent
from ingest.mime.addresses import parse_addresses
from ingest.mime.dates import parse_date
from ingest.mime.defects import Defect
from ingest.mime.fields import Fields, split_fields
from ingest.mime.header_lines import header_begin
from ingest.mime.limits import MimeLimits
from ingest.mime.text import clean, decode_header

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ingest.domain.mail import Importance

_ID: Final = re.compile(rb"<[^<>\s]{1,998}>")
_NAMES: Final = (
    *(b"date", b"message-id", b"subject", b"from", b"to", b"cc", b"reply-to"),
    *(b"in-reply-to", b"references", b"auto-submitted", b"list-id", b"content-type"),
)
_FEW_NAMES: Final = (  # that most messages lack
    *(b"sender", b"bcc", b"precedence", b"list-unsubscribe", b"thread-index"),
    *(b"importance", b"priority", b"x-priority", b"x-msmail-priority"),
)
_FEW: Final = frozenset(_FEW_NAMES)
_RESENT: Final = frozenset({b"resent-from", b"resent-to", b"resent-date", b"resent-message-id", b"resent-sender"})
_URL: Final = re.compile(rb"<\s*((?:https?|mailto):[^<>\s]{1,990})\s*>", re.IGNORECASE)
_MOST_URLS: Final = 4
# RFC 2156's Importance and Priority, and X-Priority of Outlook and Eudora, which counts from 1, the highest.
_IMPORTANCE: Final[dict[bytes, Importance]] = {
    b"high": "high",
    b"urgent": "high",
    b"1": "high",
    b"2": "high",
    b"normal": "normal",
    b"3": "normal",
    b"low": "low",
    b"non-urgent": "low",
    b"4": "low",
    b"5": "low",
}
_EXTRA_FIELDS, _EXTRA_VALUES = 32, 8
_RESPONDERS: Final = frozenset({b"x-autoreply", b"x-autorespond", b"x-autoresponse"})


def read_header(head: bytes) -> MessageHeader:
    """Return the header of a message of which nothing else was read.

    Args:
        head: the beginning of the message; what is behind the first blank line does not count.
    """
    limits = MimeLimits()
    return MessageHeader(head[header_begin(head) :][: limits.header_bytes], limits)


def parse_headers(head: bytes) -> Headers:
    """Return the decoded header of a message of which only that was fetched."""
    return read_header(head).decode(set())


class MessageHeader:
    """The header of a message that was read: it is split, and its fields are decoded, when they are asked for.

    Args:
        head: its bytes, or its fields.
        limits: what is kept of it.
    """

    __slots__ = ("_fields", "_head", "_limits")

    def __init__(self, head: bytes | Fields, limits: MimeLimits) -> None:
        self._head, self._limits = head, limits
        self._fields = None if isinstance(head, bytes) else head

    def fields(self, defects: set[Defect]) -> Fields:
        """Return its fields; `defects` grows the first time."""
        if self._fields is None:
            assert isinstance(self._head, bytes)
            self._fields = split_fields(self._head, self._limits, defects)
        return self._fields

    def decode(self, defects: set[Defect]) -> Headers:
        """Return its decoded fields; see `make_headers`."""
        return make_headers(self.fields(defects), self._limits, defects)


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
        to=[] if to is None else parse_addresses(_all_of(fields, b"to", to), limits.addresses, defects),
        cc=[] if cc is None else parse_addresses(_all_of(fields, b"cc", cc), limits.addresses, defects),
        reply_to=[] if reply_to is None else parse_addresses(reply_to, limits.addresses, defects),
        in_reply_to=None if in_reply_to is None else _id(in_reply_to),
        references=[] if references is None else _ids(references, limits),
        auto_submitted=_automatic(fields, content_type) if not automatic else _text(automatic, limits, defects),
        list_id=None if list_id is None else _text(list_id, limits, defects),
        **_few(fields, limits, defects),
    )


def _few(fields: Fields, limits: MimeLimits, defects: set[Defect]) -> dict[str, Any]:
    """Return those of the fields that most messages lack, by their name in `Headers`."""
    found: dict[str, Any] = {}
    if fields.has_any(_RESENT):
        found["resent"] = _resent(fields, limits, defects)
    if not fields.has_any(_FEW):
        return found
    sender, bcc, precedence, unsubscribe, thread, *ranks = fields.firsts(_FEW_NAMES)
    if sender is not None:
        found["sender"] = next(iter(parse_addresses(sender, 1, defects)), None)
    if bcc is not None:
        found["bcc"] = parse_addresses(_all_of(fields, b"bcc", bcc), limits.addresses, defects)
    if precedence is not None:
        found["precedence"] = _text(precedence, limits, defects).lower()
    if unsubscribe is not None:
        urls = islice(_URL.finditer(unsubscribe), _MOST_URLS)
        found["list_unsubscribe"] = [clean(url[1].decode("utf-8", "replace")) for url in urls]
    if thread is not None:
        found["thread_index"] = _text(thread.replace(b" ", b""), limits, defects)
    named = (_IMPORTANCE.get(rank.split()[0].lower()) for rank in ranks if rank)
    found["importance"] = next((rank for rank in named if rank is not None), None)
    return found


def _resent(fields: Fields, limits: MimeLimits, defects: set[Defect]) -> Resent:
    from_, sender, to, date, message_id = fields.firsts(
        (b"resent-from", b"resent-sender", b"resent-to", b"resent-date", b"resent-message-id")
    )
    return Resent(
        from_=parse_addresses(from_ or sender or b"", limits.addresses, defects),
        to=parse_addresses(to or b"", limits.addresses, defects),
        date=_date(date, defects) if date else None,
        message_id=_id(message_id) if message_id else None,
    )


def extra_fields(fields: Fields, names: Sequence[str], limits: MimeLimits) -> dict[str, list[str]]:
    """Return the values of chosen fields, decoded and capped, by their name.

    Args:
        fields: of the header.
        names: in lower case; one that ends in `*` stands for all that begin like it.
        limits: on the length of a value.
    """
    exact = frozenset(name for name in names if not name.endswith("*"))
    begins = tuple(name[:-1] for name in names if name.endswith("*"))
    found: dict[str, list[str]] = {}
    for name, value in fields:
        if name not in exact and not name.startswith(begins):
            continue
        if name not in found and len(found) == _EXTRA_FIELDS:
            continue
        values = found.setdefault(name, [])
        if len(values) < _EXTRA_VALUES:
            values.append(_text(value, limits, set()))
    return found


def _date(value: bytes, defects: set[Defect]) -> datetime | None:
    date = parse_date(value)
    if date is None:
        defects.add(Defect.BAD_DATE)
    return date


def _all_of(fields: Fields, name: bytes, first: bytes) -> bytes:
    """Join the address lists of repeated fields, of which the first is known."""
    if fields.count(name) == 1:
        return first.rstrip(b" ,")
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
