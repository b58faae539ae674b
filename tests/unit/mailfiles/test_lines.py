"""Line ends: whatever they are, and however the text is cut, they come out as on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.mailfiles.lines import with_crlf


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", b""),
        (b"a", b"a\r\n"),
        (b"a\nb\r\nc", b"a\r\nb\r\nc\r\n"),
        (b"a\r", b"a\r\r\n"),
        (b"a\rb\r\n", b"a\rb\r\n"),
        (b"\n\n", b"\r\n\r\n"),
        (b"a\r\r\nb", b"a\r\r\nb\r\n"),
    ],
)
def test_every_line_ends_with_crlf_and_a_bare_cr_stays(text: bytes, expected: bytes) -> None:
    assert b"".join(with_crlf([text])) == expected


@given(st.text(alphabet="a\r\n"), st.integers(1, 5))
def test_result_does_not_depend_on_where_the_text_is_cut(text: str, size: int) -> None:
    data = text.encode()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert b"".join(with_crlf(pieces)) == b"".join(with_crlf([data]))


@given(st.text(alphabet="a\r\n"))
def test_text_that_is_right_already_is_not_changed(text: str) -> None:
    once = b"".join(with_crlf([text.encode()]))
    assert b"".join(with_crlf([once])) == once
