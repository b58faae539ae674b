"""Contradictory headers, parts without headers, and text outside of all parts."""

from __future__ import annotations

import base64

import pytest

from tests.support.mime import Read, read_alike

PART = b"Content-Type: text/plain\n\n"


def roles(found: Read) -> dict[str, tuple[str, bytes]]:
    return {path: (leaf.head.role, leaf.content) for path, leaf in found.leaves.items()}


@pytest.mark.parametrize(
    ("types", "boundary"),
    [
        ([b"multipart/mixed; boundary=a; boundary=b"], b"a"),
        ([b"multipart/mixed; boundary=a; boundary=b"], b"b"),
        ([b'multipart/mixed; boundary="a"; BOUNDARY="b"'], b"b"),
        ([b"multipart/mixed; boundary=a", b"multipart/mixed; boundary=b"], b"a"),
        ([b"multipart/mixed; boundary=a", b"multipart/mixed; boundary=b"], b"b"),
        ([b"multipart/mixed; boundary=a", b"text/plain"], b"a"),
        ([b"text/plain", b"multipart/mixed; boundary=b"], b"b"),
    ],
)
@pytest.mark.parametrize("preamble", [b"", b"before\n\n"])
def test_of_two_boundaries_the_first_that_occurs_counts(types: list[bytes], boundary: bytes, preamble: bytes) -> None:
    """From then on the other one is content."""
    other = b"b" if boundary == b"a" else b"a"
    head = b"".join(b"Content-Type: " + value + b"\n" for value in types) + b"\n"
    if types[0] == b"text/plain":
        preamble = b"\n"
    body = b"--%b\n%bone\n--%b\n--%b--\n" % (boundary, PART, other, boundary)
    found = read_alike(head + preamble + body)
    assert roles(found) == {"1": ("text", b"one\n--" + other)}
    outside = ("text_outside_parts",) if preamble.strip() else ()
    assert found.defects == ("duplicate_content_type", *outside)


@pytest.mark.parametrize(
    ("types", "body", "expected"),
    [
        (["application/pdf", "text/html"], b"whatever", "application/pdf"),
        (["text/plain", "application/pdf"], b"%PDF-1.7", "application/pdf"),
        (["text/html", "application/pdf"], b"<html>", "text/html"),
        (["text/plain", "multipart/mixed; boundary=b"], b"no boundary\n--b\n", "text/plain"),
        (["text/plain", "text/html"], b"words", "text/plain"),
    ],
)
def test_the_first_of_two_types_counts_unless_the_content_matches_the_other(
    types: list[str], body: bytes, expected: str
) -> None:
    head = "".join(f"Content-Type: {value}\n" for value in types).encode() + b"\n"
    leaf = read_alike(head + body).leaves["1"]
    assert (leaf.head.declared_type, leaf.content) == (expected, body)
    assert leaf.defects == ("duplicate_content_type",)


def test_two_types_are_compared_with_the_decoded_content() -> None:
    head = b"Content-Type: text/plain\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n"
    leaf = read_alike(head + base64.encodebytes(b"%PDF-1.7" + bytes(3000))).leaves["1"]
    assert (leaf.head.declared_type, leaf.head.role) == ("application/pdf", "attachment")


def test_the_next_part_does_not_decide_between_two_types() -> None:
    body = b"--o\nContent-Type: text/plain\nContent-Type: application/pdf\n\nwords\n--o\n\n%PDF-1.7\n--o--\n"
    found = read_alike(b"Content-Type: multipart/mixed; boundary=o\n\n" + body)
    assert found.leaves["1"].head.declared_type == "text/plain"


def test_repeating_the_same_boundary_is_not_a_defect() -> None:
    found = read_alike(b"Content-Type: multipart/mixed; boundary=a; boundary=a\n\n--a\n" + PART + b"x\n--a--\n")
    assert (roles(found), found.defects) == ({"1": ("text", b"x")}, ())


@pytest.mark.parametrize(
    ("part", "content"),
    [
        (b"\nwords", b"words"),
        (b"no header at all\n\nwords", b"no header at all\n\nwords"),
        (b"no header at all", b"no header at all"),
    ],
)
def test_a_part_without_headers_is_text_with_a_defect(part: bytes, content: bytes) -> None:
    leaf = read_alike(b"Content-Type: multipart/mixed; boundary=a\n\n--a\n" + part + b"\n--a--\n").leaves["1"]
    assert (leaf.head.role, leaf.content.rstrip(), leaf.defects) == ("text", content, ("no_headers",))


def test_a_message_of_a_digest_needs_no_headers() -> None:
    """RFC 2046 section 5.1.5."""
    found = read_alike(b"Content-Type: multipart/digest; boundary=d\n\n--d\n\nSubject: s\n\nwords\n--d--\n")
    assert (found.leaves["1"].head.role, found.leaves["1"].defects, found.defects) == ("message", (), ())


@pytest.mark.parametrize(
    "field", [b"Content-Type: text/plain", b"content-disposition : x", b"Content-Transfer-Encoding:"]
)
@pytest.mark.parametrize("place", ["preamble", "epilogue", "inner epilogue"])
def test_headers_outside_of_parts_are_a_defect(field: bytes, place: str) -> None:
    """They are not read as a part, but another program might read them."""
    hidden = field + b"\n\nhidden\n"
    inner = b"--a\nContent-Type: multipart/mixed; boundary=i\n\n--i\n" + PART + b"x\n--i--\n"
    body = {
        "preamble": hidden + b"--a\n" + PART + b"x\n--a--\n",
        "epilogue": b"--a\n" + PART + b"x\n--a--\n" + hidden,
        "inner epilogue": inner + hidden + b"--a--\n",
    }[place]
    found = read_alike(b"Content-Type: multipart/mixed; boundary=a\n\n" + body)
    assert [leaf.content for leaf in found.leaves.values()] == [b"x"]
    assert found.defects == ("headers_outside_parts", "text_outside_parts")
    assert found.status == "partial"


@pytest.mark.parametrize(
    ("preamble", "epilogue", "status"),
    [
        (b"This is a multi-part message in MIME format.\nIts Content-Type: mixed\n", b"", "complete"),
        (b"important words\n", b"", "partial"),
        (b"", b"important words\n", "partial"),
        (b"", b"--a--\n-- \n.\n", "complete"),
    ],
)
def test_text_outside_of_parts_is_a_defect_and_partial_if_it_is_no_notice(
    preamble: bytes, epilogue: bytes, status: str
) -> None:
    body = preamble + b"--a\n" + PART + b"x\n--a--\n" + epilogue
    found = read_alike(b"Content-Type: multipart/mixed; boundary=a\n\n" + body)
    assert roles(found) == {"1": ("text", b"x")}
    assert (found.defects, found.status) == (("text_outside_parts",), status)
    assert found.skipped == {"text_outside_parts": len(b"".join((preamble + epilogue).split()))}


@pytest.mark.parametrize("body", [b"--other words\nmore text\n--other--\n", b"just text\n"])
def test_a_multipart_whose_boundary_never_occurs_is_text(body: bytes) -> None:
    found = read_alike(b"Content-Type: multipart/mixed; boundary=a\n\n" + body)
    assert roles(found) == {"1": ("text", body)}
    assert (found.leaves["1"].defects, found.defects) == (("boundary_absent",), ("truncated",))


def test_an_inner_multipart_whose_boundary_never_occurs_is_text_in_its_place() -> None:
    inner = b"--a\nContent-Type: multipart/mixed; boundary=i\n\nwords\n--a\n" + PART + b"x\n--a--\n"
    found = read_alike(b"Content-Type: multipart/mixed; boundary=a\n\n" + inner)
    assert roles(found) == {"1.1": ("text", b"words"), "2": ("inline", b"x")}


@pytest.mark.parametrize("end", [b"", b"--a\n" + PART + b"x\n--a--\n"])
def test_a_preamble_larger_than_any_is_text_at_once(end: bytes) -> None:
    """So that memory is bounded; a delimiter that comes later still counts."""
    text = b"words\n" * 20_000
    found = read_alike(b"Content-Type: multipart/mixed; boundary=a\n\n" + text + end)
    assert found.leaves["1"].content == (text[:-1] if end else text)
    assert found.leaves["1"].defects == ("boundary_absent",)
    assert found.status == "complete"
    assert [leaf.content for leaf in found.leaves.values()][1:] == ([b"x"] if end else [])


def test_an_empty_multipart_whose_boundary_never_occurs_is_a_defect() -> None:
    found = read_alike(b"Content-Type: multipart/mixed; boundary=a\n\n")
    assert (found.leaves, found.defects) == ({}, ("boundary_absent", "truncated"))


def test_a_multipart_that_closes_at_once_is_empty_and_complete() -> None:
    found = read_alike(b"Content-Type: multipart/mixed; boundary=a\n\n--a--\n")
    assert (found.leaves, found.defects) == ({}, ())
