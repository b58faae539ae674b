"""When a message was received, as its own header says: the same bytes always give the same date."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from ingest.mime.fields import split_fields
from ingest.mime.limits import MimeLimits

_YEARS = range(1971, 2101)
_MONTHS = {name: number for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
# RFC 5322 section 3.3 as nearly all software writes it; the standard library, which takes more, takes longer.
_USUAL = re.compile(
    rb"""
      (?:[A-Za-z]{3},?[ ]*)? (\d\d?)[ ]([A-Za-z]{3})[ ](\d{4}) [ ](\d\d?):(\d\d)(?::(\d\d))?
      [ ](?: ([+-])(\d\d)([0-5]\d) | GMT | UTC?) (?:[ ]*\([^()]*\))?
    """,
    re.VERBOSE,
)
_BYTES = 256
_HEADER_ENDS = (b"\n\r\n", b"\n\n", b"\r\r")


def parse_date(value: bytes) -> datetime | None:
    """An RFC 5322 date in UTC; None for what is no date, or lies outside 1971 to 2100."""
    usual = _USUAL.fullmatch(value)
    try:
        date = _usual(usual) if usual is not None else _unusual(value)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError):
        return None
    return date if date.year in _YEARS else None


def _usual(match: re.Match[bytes]) -> datetime:
    day, month, year, hour, minute, second, sign, hours, minutes = match.groups(b"0")
    local = datetime(int(year), _MONTHS[month.lower()], int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    east = timedelta(hours=int(hours), minutes=int(minutes))
    return local + east if sign == b"-" else local - east


def _unusual(value: bytes) -> datetime:
    date = parsedate_to_datetime(value[:_BYTES].decode("ascii", "replace"))
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)


def received_at(head: bytes) -> datetime | None:
    """The date of the topmost Received header, else of Date, in UTC; None where neither has one.

    Args:
        head: the message's first bytes; up to 256 KiB are looked at.
    """
    end = min((at for at in map(head.find, _HEADER_ENDS) if at >= 0), default=len(head))
    fields = split_fields(head[:end], MimeLimits(), set())
    received, date = fields.first(b"received"), fields.first(b"date")
    # The date of a Received header follows its last semicolon (RFC 5321 section 4.4).
    found = parse_date(received.rpartition(b";")[2]) if received is not None else None
    return found or (parse_date(date) if date is not None else None)
