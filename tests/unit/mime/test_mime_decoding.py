"""Transfer encodings: exactly what the sender encoded comes out, and every repair is a defect."""

from __future__ import annotations

import base64
import quopri
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.mime.decoders import Decoder, decoder_for


def decoded(encoding: str, data: bytes, size: int = 7) -> tuple[bytes, set[str]]:
    decoder: Decoder = decoder_for(encoding)
    out = b"".join(decoder.feed(data[at : at + size]) for at in range(0, len(data), size)) + decoder.close()
    return out, {defect.value for defect in decoder.defects}


@given(st.binary(max_size=300), st.integers(1, 50))
def test_base64_round_trip(data: bytes, size: int) -> None:
    assert decoded("base64", base64.encodebytes(data).replace(b"\n", b"\r\n"), size) == (data, set())


@given(st.binary(max_size=300).map(lambda data: data.replace(b"\r", b"")), st.integers(1, 50))
def test_quoted_printable_round_trip(data: bytes, size: int) -> None:
    assert decoded("quoted-printable", quopri.encodestring(data, quotetabs=True), size) == (data, set())


@given(st.binary(max_size=300), st.integers(1, 50))
def test_identity_round_trip(data: bytes, size: int) -> None:
    assert decoded("binary", data, size) == (data, set())


@pytest.mark.parametrize(
    ("data", "expected", "defects"),
    [
        (b"SGVsbG8", b"Hello", set()),
        (b"SGVsbG8=", b"Hello", set()),
        (b"SGVs\x00bG8!=", b"Hello", {"base64_noise"}),
        (b"SGVsbG8=\r\nV29ybGQ=", b"HelloWorld", {"base64_resumed"}),
        (b"SGVsbG8=\r\n-- \r\nno base64?", None, {"base64_noise", "base64_resumed"}),
        (b"SGVsbG8=\r\n-- \r\nno letters?", b"Hello", {"base64_noise"}),
        (b"SGVsbG8=\r\n____\r\nA list of people\r\nlist@example.org\r\n", b"Hello", {"base64_noise"}),
        (b"SGVsbG8=\r\n> V29y bGQ=", b"HelloWorld", {"base64_noise", "base64_resumed"}),
        (
            b"SGVsbG8=\r\nand then there is more\r\nV29ybGQgd2l0aCBhIGxvbmcgbGluZTEy\r\nMzQ=",
            b"HelloWorld with a long line1234",
            {"base64_noise", "base64_resumed"},
        ),
        (b"SGVsbA=", b"Hell", set()),
        (b"SGVsb", b"Hel", {"base64_truncated"}),
        (b"", b"", set()),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_damaged_base64(data: bytes, expected: bytes | None, defects: set[str], size: int) -> None:
    """Padding may be missing or stand in the middle; what is not in the alphabet is skipped."""
    out, found = decoded("base64", data, size)
    assert found >= defects
    assert expected is None or (out, found) == (expected, defects)


@pytest.mark.parametrize(
    ("data", "expected", "defects"),
    [
        (b"a=3Db", b"a=b", set()),
        (b"a=3db", b"a=b", set()),
        (b"soft=\r\nbreak", b"softbreak", set()),
        (b"soft= \t\r\nbreak", b"softbreak", set()),
        (b"lf\nstays", b"lf\nstays", set()),
        (b"a=" + b" " * 400 + b"\r\nb", b"a=" + b" " * 400 + b"\r\nb", {"bad_quoted_printable"}),
        (b"bad =ZZ escape", b"bad =ZZ escape", {"bad_quoted_printable"}),
        (b"a == b", b"a == b", {"bad_quoted_printable"}),
        (b"end=", b"end", set()),
        (b"end=3", b"end=3", {"bad_quoted_printable"}),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_damaged_quoted_printable(data: bytes, expected: bytes, defects: set[str], size: int) -> None:
    """Invalid escapes are kept, and line ends are not changed."""
    assert decoded("quoted-printable", data, size) == (expected, defects)


@pytest.mark.parametrize(
    "spelling", ["base64", "BASE64", '"base64"', "base64;", "base64 (comment)", " Base64 ", "Base-64"]
)
def test_spellings_of_an_encoding(spelling: str) -> None:
    """Letter case, quotes, semicolons and comments are ignored."""
    assert decoded(spelling, b"SGVsbG8=")[0] == b"Hello"


@pytest.mark.parametrize("media_type", ["application/pdf", "application/xml", "text/plain"])
def test_a_footer_behind_base64_changes_no_byte(media_type: str) -> None:
    content = b"<invoice>" + bytes(range(32, 127)) + b"</invoice>"
    data = base64.encodebytes(content) + b"\n__________\nThis message was checked.\nVisit www.scanner.example\n"
    decoder, out = decoder_for("base64", media_type), b""
    for at in range(0, len(data), 7):
        out += decoder.feed(data[at : at + 7])
    out += decoder.close()
    assert out == content
    assert sum(decoder.skipped.values()) == len("__________Thismessagewaschecked.Visitwww.scanner.example")


def test_an_unknown_encoding_leaves_bytes_as_they_are() -> None:
    assert decoded("x-rot13", b"Hello") == (b"Hello", {"unknown_transfer_encoding"})


def test_padding_behind_each_letter_costs_no_call_for_each() -> None:
    """It cost two seconds for each megabyte."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    decoder, data = decoder_for("base64"), b"QQ=" * 100_000
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        out = decoder.feed(data) + decoder.close()
    finally:
        sys.setprofile(before)
    assert out == b"A" * 100_000
    assert calls < 100
