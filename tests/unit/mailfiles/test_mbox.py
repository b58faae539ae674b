"""mbox files: what was written in a dialect comes out as it was before."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.mailfiles.mbox import Dialect, NoMboxError, begins_mbox, read_mbox

if TYPE_CHECKING:
    from collections.abc import Callable

SEPARATOR = b"From billing@example.org Mon Nov 23 08:00:00 2026\n"


def read(data: bytes, dialect: Dialect = Dialect.AUTO) -> list[bytes]:
    return [b"".join(message.pieces) for message in read_mbox(io.BytesIO(data), dialect)]


def _quoted(body: bytes, pattern: bytes) -> bytes:
    return re.sub(pattern, rb">\g<0>", body, flags=re.MULTILINE)


def _with_length(header: bytes, body: bytes) -> bytes:
    return header + b"Content-Length: %d\n\n" % len(body) + body


WRITERS: dict[Dialect, Callable[[bytes, bytes], bytes]] = {
    Dialect.MBOXO: lambda header, body: header + b"\n" + _quoted(body, rb"^From "),
    Dialect.MBOXRD: lambda header, body: header + b"\n" + _quoted(body, rb"^>*From "),
    Dialect.MBOXCL: lambda header, body: _with_length(header, _quoted(body, rb"^From ")),
    Dialect.MBOXCL2: _with_length,
}


def written(mails: list[tuple[bytes, bytes]], dialect: Dialect) -> bytes:
    return b"".join(SEPARATOR + WRITERS[dialect](header, body) + b"\n" for header, body in mails)


LINES = st.sampled_from([b"text\n", b"\n", b"From here on\n", b">From there\n", b">>From\n", b" From\n", SEPARATOR])
MAIL = st.tuples(
    st.sampled_from([b"Subject: a\n", b"Subject: b\nTo: c\n\td\n", b"X: From here\n"]),
    st.lists(LINES, max_size=6).map(b"".join),
)


@pytest.mark.parametrize("dialect", WRITERS)
@given(mails=st.lists(MAIL, min_size=1, max_size=4))
@example(mails=[(b"Subject: a\n", SEPARATOR * 2), (b"Subject: b\n", b"")])
def test_what_was_written_in_a_dialect_is_read_back(dialect: Dialect, mails: list[tuple[bytes, bytes]]) -> None:
    if dialect in (Dialect.MBOXO, Dialect.MBOXCL):  # they cannot tell a `>From ` of the message from their own
        mails = [(header, body.replace(b">From ", b"")) for header, body in mails]
    expected = [header + b"\n" + body for header, body in mails]
    assert read(written(mails, dialect), dialect) == expected


@pytest.mark.parametrize("dialect", [Dialect.MBOXRD, Dialect.MBOXCL2])
@given(mails=st.lists(MAIL, min_size=1, max_size=4))
def test_dialect_is_found_where_it_can_be(dialect: Dialect, mails: list[tuple[bytes, bytes]]) -> None:
    """A body without a line that begins with `From ` and with one of `>From ` may be either of mboxcl's."""
    mails = [(header, body.replace(b">From ", b"") if dialect is Dialect.MBOXCL2 else body) for header, body in mails]
    assert read(written(mails, dialect)) == [header + b"\n" + body for header, body in mails]


def test_notes_of_mail_programs_are_left_out_with_their_continuation_lines() -> None:
    notes = b"Status: RO\nX-UID: 7\n 8\nX-Mozilla-Status: 0001\nx-keywords:\n"
    mail = SEPARATOR + b"Subject: a\n" + notes + b"X-Status-Report: kept\n\nStatus: of the body\n"
    assert read(mail) == [b"Subject: a\nX-Status-Report: kept\n\nStatus: of the body\n"]


def test_notes_of_a_server_in_place_of_a_message_are_no_message() -> None:
    notes = b"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\nText\n\n"
    assert read(SEPARATOR + notes + SEPARATOR + b"Subject: a\n\nb\n") == [b"Subject: a\n\nb\n"]


@pytest.mark.parametrize("length", [b"3", b"999999", b"x", b"99999999999999999999999"])
def test_a_content_length_that_does_not_hold_is_not_followed(length: bytes) -> None:
    mail = (
        SEPARATOR + b"Subject: a\nContent-Length: " + length + b"\n\nsome text\n\n" + SEPARATOR + b"Subject: b\n\nc\n"
    )
    assert read(mail, Dialect.MBOXCL2) == [b"Subject: a\n\nsome text\n", b"Subject: b\n\nc\n"]


def test_separator_counts_without_a_blank_line_before_it() -> None:
    """Two messages must not become one, even if the program that wrote them forgot the blank line."""
    assert read(SEPARATOR + b"A: a\n\nx\n" + SEPARATOR + b"A: b\n\ny") == [b"A: a\n\nx\n", b"A: b\n\ny"]


def test_message_that_was_not_read_is_skipped() -> None:
    data = written([(b"Subject: a\n", b"long\n" * 9), (b"Subject: b\n", b"c\n")], Dialect.MBOXRD)
    last = list(read_mbox(io.BytesIO(data)))[-1]
    assert last.position == data.rindex(b"From ")


def test_long_lines_are_not_quoted_or_separated_in_their_middle() -> None:
    line = b"x" * 64 * 1024 + SEPARATOR
    assert read(SEPARATOR + b"Subject: a\n\n" + line) == [b"Subject: a\n\n" + line]


def test_windows_line_ends_are_understood() -> None:
    data = written([(b"Subject: a\n", b"b\n"), (b"Subject: c\n", b">From d\n")], Dialect.MBOXRD).replace(
        b"\n", b"\r\n"
    )
    assert read(data) == [b"Subject: a\r\n\r\nb\r\n", b"Subject: c\r\n\r\n>From d\r\n"]


def test_file_without_a_separator_is_no_mbox() -> None:
    with pytest.raises(NoMboxError):
        read(b"Subject: a\n\nb\n")
    assert read(b"") == []


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (SEPARATOR, True),
        (b"From - Tue Nov 24 12:00:00 2026\r\n", True),
        (b"From 1234@xxx Tue Nov 24 12:00:00 +0000 2026\n", True),
        (b"\n" + SEPARATOR, True),
        (b"From: billing@example.org\n", False),
        (b"From here on\n", False),
        (b"", False),
    ],
)
def test_mbox_file_is_recognised_by_its_first_line(head: bytes, expected: bool) -> None:  # noqa: FBT001 - a parameter
    assert begins_mbox(head) is expected
