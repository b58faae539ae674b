"""CMS: signed content is extracted exactly from every encoding in use; encrypted content is recognised."""

from __future__ import annotations

import base64
import codecs
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import pkcs7
from hypothesis import given
from hypothesis import strategies as st

from ingest.containers import cms
from ingest.containers.cms import HEAD_BYTES, kind_of, read_signed
from ingest.containers.stream import FileEnd
from tests.support import cms as made
from tests.support.containers import Files, read_files, read_files_alike
from tests.support.work import counting_work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INVOICE = b"<?xml version='1.0'?>\r\n<p:FatturaElettronica/>" + bytes(range(256)) * 30
BROKEN = ("container_broken",)


def files(data: bytes) -> Files:
    return read_files_alike(read_signed, data)


def openssl_segments(content: bytes) -> bytes:
    return made.in_segments([content[at : at + 1000] for at in range(0, len(content), 1000)])


SIGNED: dict[str, Callable[[bytes], bytes]] = {
    "DER": made.signed,
    "one indefinite segment": lambda content: made.signed_ber(made.der(0x04, content)),
    "many indefinite segments": lambda content: made.signed_ber(openssl_segments(content)),
    "segments inside of one another": lambda content: made.signed_ber(
        made.ber(0x24, made.in_segments([content[:7], b""]), made.in_segments([content[7:]], marked=False))
    ),
}
ENCODED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "PEM": made.pem,
    "PEM of CMS, CRLF": lambda data: made.pem(data, "CMS").replace(b"\n", b"\r\n"),
    "base64": base64.encodebytes,
    "base64 behind a mark of UTF-8": lambda data: codecs.BOM_UTF8 + base64.encodebytes(data),
    "base64 in one line behind blanks": lambda data: b"\r\n " + base64.b64encode(data),
    "PEM in base64": lambda data: base64.encodebytes(made.pem(data)),
    "base64 in base64": lambda data: base64.encodebytes(base64.encodebytes(data)),
}


@pytest.mark.parametrize("encode", ENCODED.values(), ids=ENCODED)
@pytest.mark.parametrize("sign", SIGNED.values(), ids=SIGNED)
def test_signed_content_is_extracted(sign: Callable[[bytes], bytes], encode: Callable[[bytes], bytes]) -> None:
    data = encode(sign(INVOICE))
    assert kind_of(data[:HEAD_BYTES]) == "signed"
    found = files(data)
    assert found.contents == [INVOICE]
    assert found.names == [None]
    assert found.defects == ()


@pytest.mark.parametrize("encode", ENCODED.values(), ids=ENCODED)
def test_encrypted_data_is_recognised(encode: Callable[[bytes], bytes]) -> None:
    assert kind_of(encode(made.signed_ber(b"", made.ENVELOPED))[:HEAD_BYTES]) == "encrypted"


def test_detached_signature_has_no_content() -> None:
    assert files(made.signed(INVOICE, pkcs7.PKCS7Options.DetachedSignature)) == Files([], ())
    assert files(made.signed_ber(b"")) == Files([], ())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"0",
        b"MIIB",
        b"hello, this is text",
        b"%PDF-1.7",
        b"-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----\n",
        b"-----BEGIN PKCS7-----",
        made.der(0x30, made.der(0x06, made.DATA)),
        made.der(0x30, made.der(0x06, made.DATA * 9)),
        b"\x30\x89" + bytes(9),
        b"\x1f\x80",
    ],
)
def test_other_data_is_not_cms(data: bytes) -> None:
    assert kind_of(data) is None
    assert files(data) == Files([], BROKEN)


def test_truncated_file_yields_everything_up_to_the_cut() -> None:
    whole = made.signed_ber(made.in_segments([b"x" * 100] * 3))
    for end in range(len(whole) - 14):  # where the content's end markers and what follows begin
        found = read_files(read_signed, whole[:end])
        assert b"".join(found.contents) == b"x" * whole[:end].count(b"x")
        assert found.defects == BROKEN
        assert all(file.defects for _, file in found.found)
    assert read_files(read_signed, whole).defects == ()


@pytest.mark.parametrize(
    "content",
    [
        made.der(0x24, made.der(0x04, b"good") + b"\x04\x84\x7f\xff\xff\xff"),  # longer than what it is in
        made.der(0x24, made.der(0x04, b"good") + b"\x04\x88" + b"\xff" * 8),
        made.der(0x24, made.der(0x04, b"good") + b"\x04\x80"),  # no length, and not constructed
        made.der(0x24, made.der(0x04, b"good") + made.der(0x02, b"\1")),  # a number among bytes
        made.der(0x24, made.der(0x04, b"good") + b"\x24\x80" * 40),  # deeper than any signature
    ],
)
def test_wrong_length_or_type_ends_the_content(content: bytes) -> None:
    found = files(made.signed_ber(content))
    assert found.contents == [b"good"]
    assert found.defects == BROKEN


@pytest.mark.parametrize(("depth", "expected"), [(20, Files([(b"x", FileEnd())], ())), (40, Files([], BROKEN))])
def test_nested_segments_are_read_down_to_a_limit(depth: int, expected: Files) -> None:
    content = made.der(0x04, b"x")
    for _ in range(depth):
        content = made.ber(0x24, content)
    assert files(made.signed_ber(content)) == expected


def test_algorithms_of_indefinite_length_are_skipped() -> None:
    algorithms = made.ber(0x31, made.ber(0x30, made.der(0x06, made.DATA)), made.der(0x30, b""))
    inner = made.ber(0x30, made.der(0x06, made.DATA), made.ber(0xA0, made.der(0x04, b"x")))
    data = made.ber(0x30, made.der(0x02, b"\1"), algorithms, inner)
    assert files(made.ber(0x30, made.der(0x06, made.SIGNED), made.ber(0xA0, data))) == Files([(b"x", FileEnd())], ())


def test_signed_data_without_algorithms_is_broken() -> None:
    data = made.ber(0x30, made.der(0x02, b"\1"))
    assert files(made.ber(0x30, made.der(0x06, made.SIGNED), made.ber(0xA0, data))) == Files([], BROKEN)


def test_compressed_content_is_extracted_up_to_the_damage() -> None:
    whole = made.compressed(INVOICE)
    assert files(whole).contents == [INVOICE]
    at = whole.index(b"x\x9c") + 2
    for damaged in (whole[:at] + b"\xff" * 9 + whole[at + 9 :], whole.replace(b"x\x9c", b"\0\0")):
        assert read_files(read_signed, damaged).defects == BROKEN


def test_compressed_content_that_does_not_end_is_broken() -> None:
    whole = made.compressed(bytes(range(256)))
    stream = whole[whole.index(b"x\x9c") :]
    cut = whole.replace(stream, stream[:-8]).replace(made.der(0x04, stream), made.der(0x04, stream[:-8]))
    assert read_files(read_signed, cut).defects == BROKEN


def test_content_that_is_no_octet_string_is_not_extracted() -> None:
    assert files(made.signed_ber(made.der(0x30, b""))) == Files([], BROKEN)


def test_reading_stops_after_a_million_segments() -> None:
    data = made.signed_ber(made.in_segments([b"x"] * 1_000_100))
    found = read_files(read_signed, data)
    assert 990_000 < len(found.contents[0]) < 1_000_000
    assert found.defects == BROKEN


def test_memory_does_not_grow_with_the_content() -> None:
    segment = made.der(0x04, bytes(4096))
    head, tail = made.signed_ber(made.ber(0x24, b"\xff\xfe")).split(b"\xff\xfe")

    def stream(count: int) -> Iterator[bytes]:
        yield head
        for _ in range(count // 16):
            yield segment * 16
        yield tail

    def peak(count: int) -> int:
        tracemalloc.start()
        taken = sum(len(piece) for piece in read_signed(stream(count), set()) if isinstance(piece, bytes))
        assert taken == count * 4096
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(4096) < peak(256) + 100_000


def test_work_grows_no_faster_than_the_content() -> None:
    def work(n: int) -> int:
        data = made.signed_ber(made.in_segments([b"xx"] * n))
        with counting_work(str(Path(cms.__file__).parent)) as counted:
            read_files(read_signed, data, 256)
        return counted.done

    assert work(2000) <= 2.2 * work(1000)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_do_not_raise(data: bytes) -> None:
    for whole in (
        data,
        b"0\x80" + data,
        made.signed_ber(data),
        b"-----BEGIN X-----\n" + data,
        b"MI" + data,
    ):
        kind_of(whole)
        assert sum(map(len, read_files(read_signed, whole, 7).contents)) <= len(whole)


@given(st.data())
def test_damaged_files_do_not_raise(data: st.DataObject) -> None:
    content = bytearray(made.signed_ber(made.in_segments([b"abc" * 9] * 4)))
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=8)):
        content[at] = data.draw(st.integers(0, 255))
    kind_of(bytes(content))
    assert sum(map(len, read_files(read_signed, bytes(content)).contents)) <= len(content)
