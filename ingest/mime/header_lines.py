"""Where a header begins and ends, and which of its lines are not fields."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ingest.mime.lines import BLANKS

_FIELD: Final = re.compile(rb"^[!-9;-~]{1,76}+[ \t]*+:.*+(?:\n[ \t].*+)*+\n?", re.MULTILINE)
# A well-formed header, up to its blank line: nothing but fields, no line of blanks, and no delimiter.
# Its outer group is not possessive: up to Python 3.11.4, one with a lookahead matches too little (CPython 106052).
CLEAN_HEADER: Final = re.compile(
    rb"(?:(?!--)[!-9;-~]{1,76}+[ \t]*+:.*+\n(?:[ \t]++[^\s\0\xa0\xc2].*+\n)*+)*(\r?+\n)",
)
# After a line of blanks, the header goes on if a field or a continuation follows. A URL is not a field.
GOES_ON: Final = re.compile(rb"[!-9;-~]{1,76}+[ \t]{0,50}:(?!//)|[ \t]+[^\s\0\xa0]")
LOOK_AHEAD: Final = 160  # bytes that decide it
_LEADING_BLANKS: Final = re.compile(rb"(?:\r{0,8}\n|\r(?!\n)){1,64}")
_MIME_FIELD: Final = re.compile(
    rb"content-(?:type|transfer-encoding|disposition|id|description)[ \t]{0,8}:", re.IGNORECASE
)
_MAIL_FIELD: Final = re.compile(
    rb"(?:content-[a-z\-]{2,20}|mime-version|received|return-path|delivered-to|from|to|cc|date|subject|message-id"
    rb"|reply-to|sender|in-reply-to|references|list-[a-z]{2,16}|dkim-signature|authentication-results"
    rb"|x-[a-z\-]{1,24})[ \t]{0,8}:",
    re.IGNORECASE,
)
_BARE_CR: Final = re.compile(rb"\r(?!\n)")
_MBOX_LINE: Final = re.compile(rb">?From ")
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_LONGEST_NAME: Final = 40


class Gaps(NamedTuple):
    """What a header holds beside its fields.

    `skipped` are runs of lines before and between the fields, `capped` counts the bytes after the last field that is
    read, and `tail` is where the lines after the last field begin.
    """

    skipped: list[bytes]
    capped: int
    tail: int


def find_gaps(head: bytes, most_fields: int) -> Gaps:
    """Find the lines of a header that belong to no field, or to a field beyond the limit."""
    view = head
    if head.count(b"\r") > head.count(b"\n"):
        view = head.replace(b"\r\n", b"\0\n").replace(b"\r", b"\n")
    skipped: list[bytes] = []
    end = 0
    for number, match in enumerate(_FIELD.finditer(view)):
        if number == most_fields:
            return Gaps(skipped, len(head) - end, len(head))
        if match.start() > end:
            skipped.append(head[end : match.start()])
        end = match.end()
    return Gaps(skipped, 0, end)


def looks_like_content(lines: bytes) -> bool:
    """Whether skipped header lines look like content: neither blank, nor of a mailbox file, nor a damaged field."""
    return any(line.strip(BLANKS) and b":" not in line and not _MBOX_LINE.match(line) for line in lines.splitlines())


def skip_leading_blanks(view: bytes, at: int, *, final: bool, part: bool) -> int | None:
    """Return where a header begins that has blank lines before it.

    Args:
        view: the bytes.
        at: where the blank lines begin.
        final: no more bytes follow.
        part: it is the header of a part; only MIME fields count then, since a part needs no header.

    Returns:
        `at` if no field follows the blank lines, None if more bytes are needed to decide.
    """
    blanks = _LEADING_BLANKS.match(view, at)
    if blanks is None:
        return None if not final and len(view) - at < _LONGEST_NAME else at
    if (_MIME_FIELD if part else _MAIL_FIELD).match(view, blanks.end()):
        return blanks.end()
    return at if final or len(view) - blanks.end() >= _LONGEST_NAME else None


def header_begin(head: bytes) -> int:
    """Return where the header of a message begins that may have a byte order mark and blank lines before it."""
    at = len(BYTE_ORDER_MARK) if head.startswith(BYTE_ORDER_MARK) else 0
    return skip_leading_blanks(head, at, final=True, part=False) or at


def is_ordinary(head: bytes, lines: int) -> bool:
    """Return whether a header of fields holds no bare CR, and fewer lines than given, of three bytes at least."""
    if b"\r" in head and _BARE_CR.search(head) is not None:
        return False
    return len(head) < 3 * lines or head.count(b"\n") < lines
