"""When a message was received, as its own header says: the same octets always give the same date."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ingest.mime.fields import split_fields
from ingest.mime.limits import MimeLimits

_YEARS = range(1971, 2101)
_OCTETS = 256


def parse_date(value: bytes) -> datetime | None:
    """An RFC 5322 date in UTC; None for what is no date, or lies outside 1971 to 2100."""
    try:
        date = parsedate_to_datetime(value[:_OCTETS].decode("ascii", "replace"))
        date = (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.year in _YEARS else None


def received_at(head: bytes) -> datetime | None:
    """The date of the topmost Received header, else of Date, in UTC; None where neither has one.

    Args:
        head: the message's first octets; up to 256 KiB are looked at.
    """
    end = min((at for at in (head.find(b"\n\r\n"), head.find(b"\n\n")) if at >= 0), default=len(head))
    fields = split_fields(head[:end], MimeLimits(), set())
    received, date = fields.first(b"received"), fields.first(b"date")
    # The date of a Received header follows its last semicolon (RFC 5321 section 4.4).
    found = parse_date(received.rpartition(b";")[2]) if received is not None else None
    return found or (parse_date(date) if date is not None else None)
