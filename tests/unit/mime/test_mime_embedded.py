"""uuencode and yEnc: files inside a text are extracted, the text is kept; as transfer encodings they are decoded."""

from __future__ import annotations

import base64
import binascii
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.mime import MimeLimits
from ingest.mime.charsets import FALLBACK
from ingest.mime.decoders import decoder_for
from tests.support.mime import SIZES, read, read_alike

PDF = b"%PDF-1.4\n" + bytes(range(256))


def uuencoded(data: bytes, name: bytes = b"a.pdf", end: bytes = b"`\nend\n") -> bytes:
    lines = (binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45))
    return b"begin 644 " + name + b"\n" + b"".join(lines) + end


def yencoded(data: bytes, name: bytes = b"a.pdf", width: int = 64, **declared: str) -> bytes:
    """Encode as the draft specifies; `declared` replaces values of the end line."""
    encoded = [bytes([(byte + 42) % 256]) for byte in data]
    escaped = [b"=" + bytes([(char[0] + 64) % 256]) if char in b"\0\n\r=" else char for char in encoded]
    lines = [b"".join(escaped[at : at + width]) for at in range(0, len(escaped), width)]
    values = {"size": str(len(data)), "crc32": f"{crc32(data):08x}", **declared}
    end = " ".join(f"{name}={value}" for name, value in values.items()).encode()
    begin = b"=ybegin line=%d size=%d name=%s\n" % (width, len(data), name)
    return begin + b"\n".join(lines) + b"\n=yend " + end + b"\n"


def text(body: bytes) -> bytes:
    return b"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n" + body


@given(st.binary(max_size=500), st.sampled_from(SIZES), st.booleans(), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_a_file_in_a_text_is_extracted_exactly(data: bytes, size: int, yenc: bool, end: bytes) -> None:  # noqa: FBT001 - drawn
    block = yencoded(data) if yenc else uuencoded(data)
    raw = text(b"before\n\n" + block + b"after\n").replace(b"\n", end)
    found = read(raw, size)
    assert found.leaves.keys() == {"1", "1.1"}
    file = found.leaves["1.1"]
    assert (file.content, file.head.filename, file.defects) == (data, "a.pdf", ())
    assert (file.head.role, file.head.parent) == ("attachment", "1")


def in_base64(data: bytes, name: bytes = b"a.pdf") -> bytes:
    return b"begin-base64 644 " + name + b"\n" + base64.encodebytes(data) + b"====\n"


@pytest.mark.parametrize("data", [b"", b"a", PDF, PDF * 40])
def test_a_file_in_the_base64_form_of_uuencode_is_extracted(data: bytes) -> None:
    found = read_alike(text(b"before\n" + in_base64(data, b"a b.pdf") + b"after\n" + uuencoded(b"two", b"2.txt")))
    files = [(leaf.head.filename, leaf.content, leaf.defects) for path, leaf in found.leaves.items() if path != "1"]
    assert files == [("a b.pdf", data, ()), ("2.txt", b"two", ())]


def test_words_behind_a_first_line_of_base64_are_text() -> None:
    assert read_alike(text(b"begin-base64 644 a.pdf\nand some words\n")).leaves.keys() == {"1"}
    found = read_alike(text(in_base64(b"one").replace(b"\n====", b"\nsome words\n===="))).leaves["1.1"]
    assert (found.content, found.defects) == (b"one", ("bad_uuencode",))


def test_quotes_around_the_name_of_a_yenc_file_are_not_part_of_it() -> None:
    assert read_alike(text(yencoded(PDF, b'"a b.pdf"'))).leaves["1.1"].head.filename == "a b.pdf"


@pytest.mark.parametrize("block", [uuencoded(PDF), yencoded(PDF)], ids=["uuencode", "yenc"])
def test_the_text_around_a_file_is_kept_with_it(block: bytes) -> None:
    body = b"before\n" + block + b"after\n"
    assert read_alike(text(body)).leaves["1"].content == body.decode("cp1252", FALLBACK).encode()


def test_each_file_is_a_part_of_its_own() -> None:
    found = read_alike(text(uuencoded(b"one", b"1.txt") + yencoded(b"two", b"2.txt") + uuencoded(b"three", b"3.txt")))
    files = [(path, leaf.head.filename, leaf.content) for path, leaf in found.leaves.items() if path != "1"]
    assert files == [("1.1", "1.txt", b"one"), ("1.2", "2.txt", b"two"), ("1.3", "3.txt", b"three")]


@pytest.mark.parametrize(
    "line",
    [
        b"begin 100 days from now\nand see what comes\n",
        b"begin 644 x.pdf\n\nnothing follows\n",
        b"we begin 644 x.pdf\n" + uuencoded(PDF).partition(b"\n")[2],
        b"begin at once\n#86)C\nend\n",
        b"=ybegin name=x\nabc\n=yend size=3\n",
        b"begin 644 x",
    ],
)
def test_a_line_that_only_looks_like_a_first_line_is_text(line: bytes) -> None:
    assert read_alike(text(line)).leaves.keys() == {"1"}


@pytest.mark.parametrize(
    ("block", "content", "defects"),
    [
        (uuencoded(b"abc", end=b""), b"abc", ("embedded_truncated",)),
        (uuencoded(b"abc", end=b"!not a line at all!\nend\n"), b"abc", ("bad_uuencode",)),
        (uuencoded(b"abc", end=b"\n \nend\n"), b"abc", ()),
        (uuencoded(b"a\0\0").replace(b"80``", b"80"), b"a\0\0", ()),
        (uuencoded(b"").replace(b"`\n", b""), b"", ()),
        (yencoded(b"abc", crc32="1"), b"abc", ("yenc_mismatch",)),
        (yencoded(b"abc", size="4"), b"abc", ("yenc_mismatch",)),
        (yencoded(b"abc", crc32=f"ffffffff{crc32(b'abc'):08x}"), b"abc", ()),
        (yencoded(b"abc").partition(b"=yend")[0], b"abc", ("embedded_truncated",)),
        (
            yencoded(b"abc", crc32="1", pcrc32=f"{crc32(b'abc'):x}").replace(b"a.pdf\n", b"a.pdf\n=ypart begin=1\n"),
            b"abc",
            ("message_partial",),
        ),
    ],
)
def test_damage_to_a_file_is_a_defect_of_that_file(block: bytes, content: bytes, defects: tuple[str, ...]) -> None:
    leaf = read_alike(text(block)).leaves["1.1"]
    assert (leaf.content, leaf.defects) == (content, defects)


def test_a_file_without_an_end_line_ends_at_the_next_file() -> None:
    found = read_alike(text(uuencoded(b"one", end=b"") + uuencoded(b"two")))
    assert [(leaf.content, leaf.defects) for path, leaf in found.leaves.items() if path != "1"] == [
        (b"one", ("embedded_truncated",)),
        (b"two", ()),
    ]


def test_a_very_long_line_is_decoded_in_pieces() -> None:
    data = bytes(range(256)) * 100
    leaf = read_alike(text(yencoded(data, width=len(data)))).leaves["1.1"]
    assert (leaf.content, leaf.defects) == (data, ())


def test_a_file_inside_a_nested_text_is_found_too() -> None:
    """The text stays in the nested message, which is the file's parent."""
    found = read_alike(b"Content-Type: message/rfc822\n\n" + text(uuencoded(PDF)))
    assert found.leaves.keys() == {"1", "1.1.1"}
    assert (found.leaves["1.1.1"].content, found.leaves["1.1.1"].head.parent) == (PDF, "1")


def test_files_inside_text_count_as_parts() -> None:
    found = read_alike(text(uuencoded(b"x") * 20), limits=MimeLimits(parts=5))
    assert (found.status, found.defects, len(found.leaves)) == ("partial", ("parts_limit",), 6)


def test_files_in_an_attached_text_are_not_extracted() -> None:
    head = b'Content-Type: text/plain; name="a.txt"\n\n'
    assert read_alike(head + uuencoded(PDF)).leaves.keys() == {"1"}


@pytest.mark.parametrize("encoding", ["x-uuencode", "uuencode", "X-UUE", "x-uue;"])
def test_uuencode_as_a_transfer_encoding(encoding: str) -> None:
    raw = f"Content-Type: application/pdf\nContent-Transfer-Encoding: {encoding}\n\n".encode() + uuencoded(PDF)
    leaf = read_alike(raw).leaves["1"]
    assert (leaf.content, leaf.defects) == (PDF, ())


def test_yenc_as_a_transfer_encoding() -> None:
    decoder = decoder_for("x-yencode")
    assert decoder.feed(yencoded(PDF)) + decoder.close() == PDF
    assert not decoder.defects


@pytest.mark.parametrize("text", [b"no such thing\n", b"x", b"a line of text\n" * 6000, b"begin 644\n"])
@pytest.mark.parametrize("encoding", [b"x-uuencode", b"x-yencode"])
def test_a_part_declared_as_a_file_that_holds_none_is_read_as_it_is(text: bytes, encoding: bytes) -> None:
    raw = b"Content-Type: application/pdf\nContent-Transfer-Encoding: " + encoding + b"\n\n" + text
    found = read_alike(raw)
    assert (found.leaves["1"].content, found.leaves["1"].defects) == (text, ("embedded_absent",))
    assert (found.status, dict(found.skipped)) == ("complete", {})
