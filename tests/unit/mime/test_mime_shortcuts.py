"""The fast paths for common input give the same results as the general code."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.mime import MimeLimits
from ingest.mime.addresses import parse_addresses
from ingest.mime.body import Utf8Text
from ingest.mime.dates import parse_date
from ingest.mime.decoders import Decoder, decode, decoder_for
from ingest.mime.defects import Defect
from ingest.mime.entity import read_entities
from ingest.mime.fields import has_bare_cr, parse_structured, split_fields
from ingest.mime.text import decode_header

UUENCODED = b"begin 644 x\n#86)C\n`\nend\n"
ESCAPE = re.compile(rb"=(?:([0-9A-Fa-f]{2})|[ \t]{0,250}(?:\r\n?|\n))")


def joined(*pieces: bytes) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(pieces), max_size=12).map(b"".join)


def fed(decoder: Decoder | Utf8Text, data: bytes, size: int) -> tuple[bytes, set[str]]:
    out = b"".join(decoder.feed(data[at : at + size]) for at in range(0, len(data), size)) + decoder.close()
    return out, {defect.value for defect in decoder.defects}


@given(joined(b"=3D", b"=", b"=\r\n", b"=\n", b"=\r", b"=4", b"A", b"Z", b" ", b"\r\n", b"=e4", b"=  \r\n", b"\r"))
def test_quoted_printable_decodes_as_one_regular_expression_does(data: bytes) -> None:
    whole = fed(decoder_for("quoted-printable"), data + b".", 1000)
    expected = ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()) if match[1] else b"", data) + b"."
    assert whole[0] == expected
    assert fed(decoder_for("quoted-printable"), data + b".", 1) == whole


@given(joined(b"QUJD", b"QQ==", b"=", b"\r\n", b"Q", b"!", b"\0", b" ", b"QUI=", b"\xff"), st.integers(1, 9))
def test_base64_decodes_alike_in_pieces_and_whole(data: bytes, size: int) -> None:
    assert fed(decoder_for("base64"), data, size) == fed(decoder_for("base64"), data, 1000)


@given(
    st.binary(min_size=4000, max_size=9000),
    st.integers(1, 100),
    st.sampled_from([b"\n", b"\r\n", b"\r", b" \n", b"!\n"]),
    st.tuples(st.integers(0, 6000), st.sampled_from([b"", b"\r\n", b"!", b" ", b"=", b"-- \r\n"])),
    st.integers(1, 9000),
)
def test_lines_of_one_length_are_joined_exactly(
    data: bytes, width: int, end: bytes, disturbed: tuple[int, bytes], size: int
) -> None:
    """For any line length, any line end and any disturbance."""
    place, put = disturbed
    text = base64.b64encode(data)
    lines = b"".join(text[at : at + width] + end for at in range(0, len(text), width))
    lines = lines[:place] + put + lines[place:]
    found = fed(decoder_for("base64"), lines, size)
    assert found == fed(decoder_for("base64"), lines, 100)
    assert put not in (b"", b"\r\n", b"!", b" ") or found[0] == data


@given(st.binary(max_size=300), st.sampled_from(["utf-8", None, "x-none", "us-ascii", "latin-1"]), st.integers(1, 9))
def test_a_body_is_converted_alike_in_pieces_and_whole(data: bytes, charset: str | None, size: int) -> None:
    assert fed(Utf8Text(charset), data, size) == fed(Utf8Text(charset), data, 1000)


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1972, 1, 1), datetime(2099, 1, 1), timezones=zones))  # noqa: DTZ001 - zones are drawn
def test_a_usual_date_is_the_one_that_was_written(date: datetime) -> None:
    assert parse_date(format_datetime(date).encode()) == date.replace(microsecond=0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Mon, 2 Mar 2026 08:15:30 +0100", "2026-03-02T07:15:30"),
        (b"2 Mar 2026 08:15:30 -0130", "2026-03-02T09:45:30"),
        (b"Mon, 02 Mar 2026 08:15 +0000", "2026-03-02T08:15:00"),
        (b"Mon, 2 Mar 2026 08:15:30 GMT", "2026-03-02T08:15:30"),
        (b"Mon, 2 Mar 2026 08:15:30 +0100 (CET)", "2026-03-02T07:15:30"),
        (b"Mon, 2 Mar 2026 08:15:30 -0000", "2026-03-02T08:15:30"),
        (b"Mon,  2  Mar 2026 08:15:30 EST", "2026-03-02T13:15:30"),
        (b"Mon, 2 Mar 26 08:15:30 +0100", "2026-03-02T07:15:30"),
        (b"Mon, 32 Mar 2026 08:15:30 +0100", None),
        (b"Mon, 2 Foo 2026 08:15:30 +0100", None),
        (b"Mon, 2 Mar 2026 25:15:30 +0100", None),
        (b"yesterday", None),
        (b"", None),
    ],
)
def test_dates(value: bytes, expected: str | None) -> None:
    found = parse_date(value)
    assert (found.isoformat() if found else None) == (f"{expected}+00:00" if expected else None)
    assert found is None or found.tzinfo is UTC


@given(
    joined(
        *(
            b"a@b.example",
            b"<a@b.example>",
            b"Jane",
            b'"Doe, Jane"',
            b" ",
            b"=?utf-8?q?J=C3=B6rg?=",
            b".",
            b"-",
            b"+",
        ),
        *(b"(Jane)", b"\xc3\xb6", b"\\", b"@", b":", b"=?x-none?b?SsO2?=", b"<>", b"=?utf-8?q?=00?="),
    )
)
def test_one_address_reads_as_it_would_in_a_list(value: bytes) -> None:
    """With a comma behind, none is read by the shortcut."""
    alone, listed = set[Defect](), set[Defect]()
    assert parse_addresses(value.strip(), 10, alone) == parse_addresses(value.strip() + b",", 10, listed)
    assert alone == listed


@given(
    joined(
        *(
            b"text/plain",
            b"; ",
            b";",
            b"charset=utf-8",
            b"name=",
            b'"a b.pdf"',
            b'"=_x"',
            b"a=b",
            b"%41",
            b'"%41"',
            b" ",
        ),
        *(
            b'"=?utf-8?q?x?="',
            b"(c)",
            b"boundary=",
            b"BOUNDARY=x",
            b"\xfc",
            b"'",
            b"Text/HTML",
            b"a;b",
            b"\t",
        ),
    )
)
def test_a_usual_value_reads_as_an_unusual_one(value: bytes) -> None:
    """With a continued parameter behind, none is read by the shortcut."""
    short, long = set[Defect](), set[Defect]()
    usual, unusual = parse_structured(value, short), parse_structured(value + b' ; z*0="y"', long)
    parameters = {name: text for name, text in unusual.parameters.items() if name != "z"}
    assert (usual.value, usual.parameters, short) == (unusual.value, parameters, long)
    assert [data for data in usual.boundaries if data] == [data for data in unusual.boundaries if data]


@pytest.mark.parametrize("word", [b"=?utf-8?q?J=C3=B6rg?=", b"=?utf-8*de?B?SsO2cmc=?=", b"=?x-none?q?J=F6rg?="])
def test_one_word_reads_as_it_would_among_others(word: bytes) -> None:
    assert decode_header(word, set()) == "Jörg"
    assert decode_header(b"a " + word + b" b", set()) == "a Jörg b"


@given(
    st.sampled_from(["base64", "quoted-printable", "x-uuencode", "7bit", "unknown", " Base64"]),
    st.sampled_from(["application/pdf", "text/plain"]),
    joined(b"QUJD", b"QQ==", b"=", b"\r\n", b"\n", b"=3D", b"=4", b"!", b" ", b"\xff", UUENCODED),
    st.integers(1, 9),
)
def test_a_whole_part_decodes_as_it_does_in_pieces(encoding: str, media_type: str, data: bytes, size: int) -> None:
    defects: set[Defect] = set()
    decoded, skipped = decode(data, encoding, media_type, defects)
    decoder = decoder_for(encoding, media_type)
    assert (decoded, {defect.value for defect in defects}) == fed(decoder, data, size)
    assert dict(skipped) == dict(decoder.skipped)


@given(
    joined(
        *(b";boundary=x", b'; boundary="=_x.y"', b"; BOUNDARY=--_=Part", b';boundary="a b"', b";boundary='x'"),
        *(b';type="a/b"', b"; report-type=a-b", b";charset=utf-8", b"; name=x", b" ", b";", b"=?", b"\xfc"),
    ),
    st.sampled_from([None, b"7bit", b"inline"]),
)
def test_a_usual_multipart_reads_as_one_with_a_description(value: bytes, disposition: bytes | None) -> None:
    """With a description, none is read by the shortcut."""
    short, long = set[Defect](), set[Defect]()
    value = b"Multipart/mixed" + value
    usual = read_entities((True, [value], None, disposition, None, None, None), "mixed", short)
    unusual = read_entities((True, [value], None, disposition, None, None, b"x"), "mixed", long)
    assert usual == [entity._replace(description=None) for entity in unusual]
    assert short == long


@given(joined(b"a", b" ", b"\t", b"\r", b"\n ", b"\r\n\t", b"b;", b"\xfc"))
def test_a_field_unfolds_to_its_lines_with_one_blank_between_them(value: bytes) -> None:
    fields = split_fields(b"X:" + value, MimeLimits(), set())
    lines = [line.strip(b" \t\r") for line in value.split(b"\n")]
    assert has_bare_cr(b"X:" + value) or fields.first(b"x") == b" ".join(line for line in lines if line)
