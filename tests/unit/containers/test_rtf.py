"""RTF of Outlook: decompressed, and its text, or the HTML that it was made of, is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.containers import rtf
from ingest.containers.rtf import RtfText, decompress, text_of
from tests.support.rtf import compressed, from_html
from tests.support.work import counting_work

# The examples of MS-OXRTFCP section 4: references into the dictionary, and one that overlaps what it writes.
SIMPLE = bytes.fromhex(
    "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
)
OVERLAPPING = bytes.fromhex("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0")


def test_the_examples_of_the_specification() -> None:
    assert len(rtf._DICTIONARY) == 207
    assert decompress(SIMPLE) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    assert decompress(OVERLAPPING) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"


@given(st.binary(max_size=5000))
def test_literal_bytes_are_read_back(data: bytes) -> None:
    assert decompress(compressed(data)) == data


def test_uncompressed_rtf_is_read_as_it_is() -> None:
    assert decompress(b"\x11\0\0\0\x05\0\0\0MELA\0\0\0\0{\\rtf...") == b"{\\rtf"


@pytest.mark.parametrize("data", [b"", b"x" * 40, b"\0" * 16])
def test_other_data_is_not_decompressed(data: bytes) -> None:
    assert decompress(data) is None


def test_html_is_taken_out_and_what_is_for_readers_of_rtf_is_not() -> None:
    assert text_of(from_html("<p>&lt;ü&gt;</p>")) == RtfText("html", "<p>&lt;ü&gt;</p>")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r"Hello\par World\tab x", "Hello\r\nWorld\tx"),
        (r"a\{b\}c\\d\~e", "a{b}c\\d\xa0e"),
        (r"\'e4\'f6 {\b bold} plain", "äö bold plain"),
        (r"\u252?\u-10179?\u-8704?", "ü\U0001f600"),
        (r"\uc2\u252xxy\uc0\u252 z", "üyüz"),
        (r"\u252\~\~x", "ü\xa0x"),
        (r"{\info\~\{ nothing}seen", "seen"),
        (r"{\*\unknown nothing}{\pict 00ff}{\info{\title t}}seen", "seen"),
        (r"\f1 \'cf\'f0 {\f0 \'e4}", "Пр ä"),
        (r"\ldblquote x\rdblquote\emdash", "\u201cx\u201d\u2014"),
        ("a\\bin3 {{{b", "ab"),
        ("line\r\nbreaks are\nnothing", "linebreaks arenothing"),
    ],
)
def test_the_text_of_plain_rtf(body: str, text: str) -> None:
    fonts = r"{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset204 Arial;}}"
    assert text_of((r"{\rtf1\ansi\ansicpg1252" + fonts + "\\pard " + body + "}").encode()) == RtfText("text", text)


def test_other_data_is_no_rtf() -> None:
    assert text_of(b"<p>") is None


@given(st.binary(max_size=300), st.sampled_from([b"", b"\\fromhtml1 "]))
def test_arbitrary_bytes_do_not_raise(data: bytes, source: bytes) -> None:
    decompress(b"\xff\0\0\0\xff\0\0\0LZFu\0\0\0\0" + data)
    found = text_of(b"{\\rtf1 " + source + data)
    assert found is not None
    found.text.encode()


@pytest.mark.parametrize("unit", [b"{", b"}", b"\\'e4", b"\\u1?", b"{\\f1 a}", b"a\\par ", b"{\\*\\htmltag x}"])
def test_work_grows_no_faster_than_the_text(unit: bytes) -> None:
    def work(count: int) -> int:
        with counting_work(str(Path(rtf.__file__).parent)) as counted:
            text_of(b"{\\rtf1 \\fromhtml1 " + unit * count)
        return counted.done

    assert work(4000) <= 2.2 * work(2000) + 1000


def test_a_text_that_unpacks_to_more_than_the_limit_is_cut() -> None:
    repeated = bytes.fromhex("ff") + b"\x00\x1f" * 8
    data = bytes(8) + b"LZFu" + bytes(4) + repeated * 100_000
    assert len(decompress(data) or b"") <= rtf.MOST_BYTES + 200
