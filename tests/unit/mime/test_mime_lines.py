"""Line ends of all kinds: what ends a line is found out once, and bytes come out as they went in."""

from __future__ import annotations

import pytest

from tests.support.mime import read, read_alike

MAIL = (
    b"Subject: s\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/plain\n\none\ntwo\n"
    b"--a\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\nJVBE\nRi0=\n"
    b"--a\nContent-Type: application/x-data\nContent-Transfer-Encoding: quoted-printable\n\nx=3D=\ny\n--a--\n"
)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_a_mail_may_end_its_lines_with_any_of_them(end: bytes) -> None:
    found = read_alike(MAIL.replace(b"\n", end))
    assert [leaf.content for leaf in found.leaves.values()] == [b"one" + end + b"two", b"%PDF-", b"x=y"]
    assert (found.headers.subject, found.defects) == ("s", ())


def test_a_bare_cr_in_a_mail_with_other_line_ends_is_content() -> None:
    body = b"one\r--a\rstill one\r\r"
    raw = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: text/plain\r\n\r\n" + body
    assert read_alike(raw + b"\r\n--a--\r\n").leaves["1"].content == body


def test_other_line_ends_in_a_mail_of_bare_cr_end_lines_too() -> None:
    raw = MAIL.replace(b"\n", b"\r").replace(b"two\r--a", b"two\r\n--a").replace(b"--a--\r", b"--a--\n")
    found = read_alike(raw)
    assert [leaf.content for leaf in found.leaves.values()] == [b"one\rtwo", b"%PDF-", b"x=y"]


def test_several_cr_before_lf_are_one_line_end() -> None:
    """What some programs make of CRLF when they write it as text."""
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


def test_fields_may_be_parted_by_bare_cr_where_all_else_is_not() -> None:
    found = read_alike(b"Subject: s\r\nContent-Type: application/pdf\rContent-Disposition: inline\r\n\r\nx")
    assert found.leaves["1"].head.disposition == "inline"


@pytest.mark.parametrize("count", [1, 1000, 1024, 1025, 5000])
def test_any_number_of_cr_reads_alike_in_any_pieces(count: int) -> None:
    for raw in (b"\r" * count, b"Subject: s" + b"\r" * count, b"Subject: s" + b"\r" * count + b"x\n\nbody"):
        assert read_alike(raw).status == "complete"


def test_a_long_line_in_a_header_is_no_boundary_however_it_is_cut() -> None:
    long = b"--a" + b"x" * 3000 + b"\n"
    found = read_alike(b"Subject: s\n" + long + b"Content-Type: application/pdf\n\n%PDF-")
    assert (found.headers.subject, found.leaves["1"].content) == ("s", b"%PDF-")


def test_a_boundary_in_a_header_ends_it() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: application/pdf\n--a\n" + b"\nx\n--a--"
    found = read_alike(raw)
    assert [(leaf.head.declared_type, leaf.content) for leaf in found.leaves.values()] == [
        ("application/pdf", b""),
        ("text/plain", b"x"),
    ]


def test_the_raw_bytes_of_a_body_are_not_changed_by_the_way_they_come() -> None:
    body = bytes(range(256)) * 20 + b"\r\n\n\r--\r\n-\n--"
    for size in (1, 2, 3, 5, 8, 13, 1000):
        found = read(b"Content-Type: application/x-data\n\n" + body, size)
        assert found.leaves["1"].content == body
