"""Dates of a header, among them the time of receipt: equal bytes always give equal dates."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from ingest.mime.fields import first_value
from ingest.mime.header_lines import header_begin
from ingest.mime.limits import MimeLimits
from ingest.mime.text import decode_header

_YEARS: Final = range(1971, 2101)
_MONTHS: Final = {
    name: number for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)
}
# RFC 5322 section 3.3 as nearly all software writes it; the standard library accepts more, and is slower.
_USUAL: Final = re.compile(
    rb"""
      (?:[A-Za-z]{3},?[ ]*)? (\d\d?)[ ]([A-Za-z]{3})[ ](\d{4}) [ ](\d\d?):(\d\d)(?::(\d\d))?
      [ ](?: ([+-])(\d\d)([0-5]\d) | GMT | UTC?) (?:[ ]*\([^()]*\))?
    """,
    re.VERBOSE,
)
# What people's software writes besides: any words for day and month, offsets behind a zone's name.
_LENIENT: Final = re.compile(
    r"""
      \W* (?:[^\W\d]+\W+)? (\d\d?)[.\s-]+ ([^\W\d]{3,10}|\d\d?)[.\s-]+ (\d{4}|1\d\d|\d\d) [,\s]+ (?:[^\W\d]{1,3}\s+)?
      (\d\d?)[:.](\d\d)(?:[:.](\d\d))?(?:[.,]\d{1,9})?
      \s* (?: [A-Za-z]{0,5} \s* ([+-]) (\d\d?) (?: :? ([0-5]\d) )? | ([A-Za-z]{1,5}) )? (?: \b.* )?
    """,
    re.VERBOSE | re.DOTALL,
)
# The first three letters of months in the languages of mail software that translates them.
_MONTH_NAMES: Final = {
    1: "jan gen ene sty led",
    2: "feb fév fev lut úno",
    3: "mar mär mrz mrt maa bře",
    4: "apr avr abr kwi dub",
    5: "may mai mei mag maj kvě",
    6: "jun jui giu cze čer",
    7: "jul lug lip",
    8: "aug aoû aou ago sie srp",
    9: "sep set wrz zář",
    10: "oct okt ott out paź říj",
    11: "nov lis",
    12: "dec dez déc dic gru pro",
}
_FOREIGN_MONTHS: Final = {name: number for number, names in _MONTH_NAMES.items() for name in names.split()}
_JULY: Final = ("juil", "jul")  # French juin and juillet begin alike
_ZONES: Final = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7} | {
    **dict.fromkeys(("CET", "MEZ", "BST", "WEST"), 1),
    **dict.fromkeys(("CEST", "MESZ", "EET", "SAST"), 2),
    **dict.fromkeys(("EEST", "MSK"), 3),
    "JST": 9,
    "KST": 9,
    "HKT": 8,
}
# Offsets that the standard library does not read: `GMT+01:00`, `+01:00`.
_ODD_OFFSET: Final = re.compile(rb"[A-Za-z]\s*[+-]\d|[+-]\d\d?:|\b(?:" + "|".join(_ZONES).encode() + rb")\b")
_HALF_DAY: Final = re.compile(rb"\b(\d\d?)((?:[:.]\d\d){1,2})\s*([AaPp])[Mm]\b")
_NOON: Final = 12
_CENTURY: Final = 50  # a year of two digits below it is in this century
_MOST_HOURS: Final = 14  # of an offset
_LAST_SECOND: Final = 59  # a leap second is read as the one before it
_BYTES: Final = 256
_LIMITS: Final = MimeLimits()
_HEADER_ENDS: Final = (b"\n\r\n", b"\n\n", b"\r\r")


def parse_date(value: bytes) -> datetime | None:
    """Return a date in UTC; None if the value is no date, or lies outside 1971 to 2100."""
    usual = _USUAL.fullmatch(value)
    if usual is None and (half := _HALF_DAY.search(value[:_BYTES])) is not None and int(half[1]) <= _NOON:
        hour = int(half[1]) % _NOON + (_NOON if half[3] in b"Pp" else 0)
        return parse_date(value[: half.start()] + b"%02d%s" % (hour, half[2]) + value[half.end() : _BYTES])
    try:
        date = _usual(usual) if usual is not None else _unusual(value)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError):
        return _lenient(value)
    return date if date.year in _YEARS else _lenient(value)


def _lenient(value: bytes) -> datetime | None:
    text = decode_header(value[:_BYTES], set()).lower()
    match = _LENIENT.fullmatch(text)
    if match is None:
        return _iso_8601(text)
    day, month, year, hour, minute, second, sign, hours, minutes = [group or "0" for group in match.groups()[:9]]
    if int(hours) > _MOST_HOURS:
        return None
    number = int(month) if month.isdecimal() else _month(month)
    try:
        local = datetime(_year(year), number, int(day), int(hour), int(minute), _second(second), tzinfo=UTC)
        east = timedelta(hours=int(hours), minutes=int(minutes)) if sign != "0" else _zone(match[10])
        date = local + east if sign == "-" else local - east
    except (ValueError, OverflowError):
        return None
    return date if date.year in _YEARS else None


def _iso_8601(text: str) -> datetime | None:
    try:
        date = datetime.fromisoformat(text.strip().upper())
    except ValueError:
        return None
    date = (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    return date if date.year in _YEARS else None


def _month(name: str) -> int:
    return 7 if name.startswith(_JULY) else _FOREIGN_MONTHS.get(name[:3], 0)


def _year(text: str) -> int:
    """Return a year of four digits; of three or two as RFC 5322 section 4.3 has it."""
    year = int(text)
    if len(text) == 4:  # noqa: PLR2004
        return year
    return year + (2000 if year < _CENTURY else 1900)


def _zone(name: str | None) -> timedelta:
    return timedelta(hours=_ZONES.get((name or "").upper(), 0))


def _second(text: str | bytes) -> int:
    return _LAST_SECOND if int(text) == _LAST_SECOND + 1 else int(text)


def _usual(match: re.Match[bytes]) -> datetime:
    day, month, year, hour, minute, second, sign, hours, minutes = match.groups(b"0")
    local = datetime(int(year), _MONTHS[month.lower()], int(day), int(hour), int(minute), _second(second), tzinfo=UTC)
    east = timedelta(hours=int(hours), minutes=int(minutes))
    if int(hours) > _MOST_HOURS:
        raise ValueError
    return local + east if sign == b"-" else local - east


def _unusual(value: bytes) -> datetime:
    if _ODD_OFFSET.search(value):
        raise ValueError
    date = parsedate_to_datetime(value[:_BYTES].decode("ascii", "replace"))
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)


def received_at(head: bytes) -> datetime | None:
    """Return the date of the topmost Received field, else that of Date, in UTC; None if neither has one.

    Args:
        head: the beginning of the raw message.
    """
    begin = header_begin(head)
    if head[begin : begin + 1] in b"\r\n":
        return None  # it begins with a blank line, and so has no header
    end = len(head)
    for mark in _HEADER_ENDS:  # each is looked for before the one that was found, not in all of the message
        found_at = head.find(mark, begin, end + len(mark) - 1)
        end = found_at if found_at >= 0 else end
    header = head[begin:end]
    if header.endswith(b"\r") and header.count(b"\r\n") == header.count(b"\n") == header.count(b"\r") - 1:
        header = head[begin : end + 1]  # all lines end with CRLF, and the last one has lost its LF
    # The date of a Received header follows its last semicolon (RFC 5321 section 4.4).
    if (received := first_value(header, b"received", _LIMITS)) is not None:
        written = received.rpartition(b";")[2]
        found = parse_date(written.strip()) or parse_date(written)
        if found is not None:
            return found
    date = first_value(header, b"date", _LIMITS)
    return parse_date(date) if date is not None else None
