"""Line ends of all kinds are accepted, and content keeps the line ends it came with."""

from __future__ import annotations

import pytest

from tests.support.mime import read, read_alike

MAIL = (
    b"Subject: s\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/plain\n\none\ntwo\n"
    b"--a\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\nJVBE\nRi0=\n"
    b"--a\nContent-Type: application/x-data\nContent-Transfer-Encoding: quoted-printable\n\nx=3D=\ny\n--a--\n"
)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_a_mail_may_use_any_line_end(end: bytes) -> None:
    found = read_alike(MAIL.replace(b"\n", end))
    assert [leaf.content for leaf in found.leaves.values()] == [b"one" + end + b"two", b"%PDF-", b"x=y"]
    assert (found.headers.subject, found.defects) == ("s", ())


def test_a_bare_cr_in_a_mail_with_other_line_ends_is_content() -> None:
    body = b"one\r--b\rstill one\r\r"
    raw = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: text/plain\r\n\r\n" + body
    assert read_alike(raw + b"\r\n--a--\r\n").leaves["1"].content == body


def test_other_line_ends_in_a_mail_of_bare_cr_end_lines_too() -> None:
    raw = MAIL.replace(b"\n", b"\r").replace(b"two\r--a", b"two\r\n--a").replace(b"--a--\r", b"--a--\n")
    found = read_alike(raw)
    assert [leaf.content for leaf in found.leaves.values()] == [b"one\rtwo", b"%PDF-", b"x=y"]


def test_several_cr_before_lf_are_one_line_end() -> None:
    """Some programs produce this when they write CRLF in text mode."""
    found = read_alike(MAIL.replace(b"\n", b"\r\r\n"))
    assert found.headers.subject == "s"
    assert [leaf.head.declared_type for leaf in found.leaves.values()] == [
        *("text/plain", "application/pdf", "application/x-data")
    ]


def test_a_nested_mail_has_line_ends_of_its_own() -> None:
    inner = MAIL.replace(b"\n", b"\r")
    found = read_alike(b"Content-Type: message/rfc822\r\n\r\n" + inner)
    assert found.leaves["1"].content == inner
    assert found.leaves["1.2"].content == b"%PDF-"


def test_fields_may_be_separated_by_bare_cr_in_a_crlf_mail() -> None:
    found = read_alike(b"Subject: s\r\nContent-Type: application/pdf\rContent-Disposition: inline\r\n\r\nx")
    assert found.leaves["1"].head.disposition == "inline"


@pytest.mark.parametrize("count", [1, 1000, 1024, 1025, 5000])
def test_any_number_of_cr_reads_alike_in_any_pieces(count: int) -> None:
    for raw in (b"\r" * count, b"Subject: s" + b"\r" * count, b"Subject: s" + b"\r" * count + b"x\n\nbody"):
        assert read_alike(raw).leaves.keys() == {"1"}


def test_a_long_line_in_a_header_is_not_a_delimiter_in_any_chunks() -> None:
    long = b"--a" + b"x" * 3000 + b"\n"
    found = read_alike(b"Subject: s\n" + long + b"Content-Type: application/pdf\n\n%PDF-")
    assert (found.headers.subject, found.leaves["1"].content) == ("s", b"%PDF-")


def test_a_delimiter_ends_a_header() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: application/pdf\n--a\n" + b"\nx\n--a--"
    found = read_alike(raw)
    assert [(leaf.head.declared_type, leaf.content) for leaf in found.leaves.values()] == [
        ("application/pdf", b""),
        ("text/plain", b"x"),
    ]


def test_chunk_sizes_do_not_change_the_bytes_of_a_body() -> None:
    body = bytes(range(256)) * 20 + b"\r\n\n\r--\r\n-\n--"
    for size in (1, 2, 3, 5, 8, 13, 1000):
        found = read(b"Content-Type: application/x-data\n\n" + body, size)
        assert found.leaves["1"].content == body
