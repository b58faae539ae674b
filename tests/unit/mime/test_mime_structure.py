"""Where parts begin and end, their roles, and the defects of broken structure."""

from __future__ import annotations

import base64
import string

import pytest

from ingest.mime import MimeLimits
from tests.support.mime import read, read_alike


def mail(content_type: str, body: bytes, extra: str = "") -> bytes:
    return f"Subject: s\r\nMIME-Version: 1.0\r\n{extra}Content-Type: {content_type}\r\n\r\n".encode() + body


def test_text_and_html_are_bodies_and_a_file_is_an_attachment() -> None:
    found = read_alike(
        mail(
            'multipart/mixed; boundary="a"',
            b'--a\r\nContent-Type: multipart/alternative; boundary="b"\r\n\r\n'
            b"--b\r\n\r\ntext\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>html\r\n--b--\r\n"
            b'--a\r\nContent-Disposition: attachment; filename="x.pdf"\r\nContent-Type: application/pdf\r\n\r\n'
            b"%PDF\x00\r\n\r\n--a--\r\n",
        )
    )
    assert {path: (leaf.head.role, leaf.content) for path, leaf in found.leaves.items()} == {
        "1.1": ("text", b"text"),
        "1.2": ("html", b"<p>html"),
        "2": ("attachment", b"%PDF\x00\r\n"),
    }
    assert (found.status, found.defects) == ("complete", ())


def test_bare_line_feeds_read_like_line_ends() -> None:
    raw = mail('multipart/mixed; boundary="a"', b"--a\r\n\r\none\r\n--a\r\n\r\ntwo\r\nlines\r\n--a--\r\n")
    crlf, lf = read_alike(raw), read_alike(raw.replace(b"\r\n", b"\n"))
    assert [leaf.content.replace(b"\r\n", b"\n") for leaf in crlf.leaves.values()] == [
        leaf.content for leaf in lf.leaves.values()
    ]


def test_a_line_that_only_begins_like_a_delimiter_is_content() -> None:
    found = read_alike(
        mail('multipart/mixed; boundary="a"', b"--a\r\n\r\n--ab\r\n--a \r\n\r\ntwo\r\n--a-\r\n--a--\r\n")
    )
    assert [leaf.content for leaf in found.leaves.values()] == [b"--ab", b"two\r\n--a-"]


def test_a_missing_final_boundary_ends_with_the_message() -> None:
    found = read_alike(mail('multipart/mixed; boundary="a"', b"--a\r\n\r\none\r\n--a\r\n\r\ntwo"))
    assert [leaf.content for leaf in found.leaves.values()] == [b"one", b"two"]
    assert "truncated" in found.defects


@pytest.mark.parametrize("content", [b"hello", b"hi\r\n--\r\nyou\r\n--\r\n", b"a\r\n-----\r\nb\r\n-----\r\n"])
def test_a_multipart_without_a_boundary_and_delimiters_is_text(content: bytes) -> None:
    found = read_alike(mail("multipart/mixed", content))
    assert (found.leaves["1"].head.role, found.leaves["1"].content) == ("text", content)
    assert "no_boundary" in found.defects
    assert found.status == "complete"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    "content",
    [
        b"--x\nContent-Type: text/plain\n\nhello\n--x--\n",
        b"--x\n\nhello\n--x\n\nyou\n--x--\n",
        b"--x\nhello\n--x\nyou\n--x--\n",
        b"--x\nhello\n--x--\n",
        b"----=_x y\nContent-Type: text/plain\n\nhello\n",
    ],
)
def test_a_multipart_without_a_boundary_is_divided_at_its_first_delimiter(content: bytes, end: bytes) -> None:
    found = read_alike(mail("multipart/mixed", content.replace(b"\n", end)))
    assert found.leaves["1"].content.strip() == b"hello"
    assert found.defects[:2] == ("boundary_guessed", "no_boundary")
    assert found.status == "complete"
    inner = b"--o\r\nContent-Type: multipart/mixed\r\n\r\n" + content + b"--o\r\n\r\nafter\r\n--o--\r\n"
    nested = read_alike(mail("multipart/mixed; boundary=o", inner))
    assert nested.leaves["1.1"].content.strip() == b"hello"
    assert nested.leaves["2"].content == b"after"


def test_a_boundary_longer_than_a_line_is_ignored() -> None:
    found = read_alike(mail(f'multipart/mixed; boundary="{"a" * 2000}"', b"hello"))
    assert found.leaves["1"].content == b"hello"
    assert "no_boundary" in found.defects


@pytest.mark.parametrize("times", [1, 12])
def test_blanks_at_the_end_of_a_boundary_count_if_its_delimiters_have_them(times: int) -> None:
    boundary = times * (string.ascii_letters + "'()+_,-./:=?  ")
    almost = f"\r\n--{boundary[:-1]}\r\ntwo".encode()
    content = f"--{boundary}\r\n\r\none".encode() + almost + f"\r\n--{boundary}--\r\n".encode()
    found = read_alike(mail(f'multipart/mixed; boundary="{boundary}"', content))
    assert [leaf.content for leaf in found.leaves.values()] == [b"one" + almost]
    assert found.defects == ()


def test_blanks_at_the_end_of_a_boundary_may_be_stripped_from_its_delimiters() -> None:
    found = read_alike(mail('multipart/mixed; boundary="a  "', b"--a\r\n\r\none\r\n--a \r\n\r\ntwo\r\n--a--"))
    assert [leaf.content for leaf in found.leaves.values()] == [b"one", b"two"]


@pytest.mark.parametrize("boundary", [b"\xe4", b"=?utf-8?q?x?=", b" a"])
def test_a_boundary_is_bytes_and_is_not_decoded(boundary: bytes) -> None:
    head = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
    found = read_alike(head + b"--" + boundary + b"\r\n\r\nx\r\n--" + boundary + b"--\r\n")
    assert [leaf.content for leaf in found.leaves.values()] == [b"x"]


def test_a_long_line_is_neither_blank_nor_a_delimiter_in_any_chunks() -> None:
    odd = b"\r" * 3000 + b"\n"
    found = read_alike(b"Subject: s\r\n" + odd + b"Date: x\r\n\r\nbody")
    assert found.leaves["1"].content == b"body"
    long = b"--a" + b" " * 3000 + b"\r\n"
    found = read_alike(mail('multipart/mixed; boundary="a"', b"--a\r\n\r\none\r\n" + long + b"two\r\n--a--"))
    assert [leaf.content for leaf in found.leaves.values()] == [b"one\r\n" + long + b"two"]


def test_a_part_without_headers_is_text() -> None:
    found = read_alike(mail('multipart/mixed; boundary="a"', b"--a\r\n\r\nbare\r\n--a--"))
    assert found.leaves["1"].head.declared_type == "text/plain"


def test_a_message_that_is_one_file_is_an_attachment() -> None:
    found = read_alike(mail("application/pdf", b"JVBERi0=", "Content-Transfer-Encoding: base64\r\n"))
    assert (found.leaves["1"].head.role, found.leaves["1"].content) == ("attachment", b"%PDF-")


INNER = mail(
    'multipart/mixed; boundary="i"',
    b'--i\r\n\r\nnested text\r\n--i\r\nContent-Type: image/png; name="p.png"\r\n\r\n\x89PNG\r\n--i--\r\n',
)


@pytest.mark.parametrize("encoded", [False, True])
def test_a_nested_mail_is_kept_whole_and_its_files_are_extracted(encoded: bool) -> None:  # noqa: FBT001 - a parameter
    """Also if it is base64, which RFC 2046 forbids."""
    data = base64.encodebytes(INNER).replace(b"\n", b"\r\n") if encoded else INNER
    encoding = b"Content-Transfer-Encoding: base64\r\n" if encoded else b""
    found = read_alike(
        mail(
            'multipart/mixed; boundary="o"',
            b"--o\r\n\r\nsee below\r\n--o\r\nContent-Type: message/rfc822\r\n"
            + encoding
            + b"\r\n"
            + data
            + b"\r\n--o--",
        )
    )
    assert found.leaves["2"].head.role == "message"
    assert found.leaves["2"].content == INNER
    assert found.leaves["2.2"].content == b"\x89PNG"
    assert found.leaves["2.2"].head.parent == "2"
    assert found.leaves.keys() == {"1", "2", "2.2"}, "the nested text stays inside the nested mail"


def test_parts_of_an_entity_inside_a_container_have_paths_below_it() -> None:
    """The text of a signed message becomes the body if there is none yet."""
    found = read_alike(INNER, parent="2")
    assert {path: (leaf.head.role, leaf.head.parent) for path, leaf in found.leaves.items()} == {
        "2.1": ("text", "2"),
        "2.2": ("attachment", "2"),
    }
    assert found.headers.subject == "s"
    assert read_alike(INNER, parent="2", bodies=["text"]).leaves["2.1"].head.role == "inline"
    single = read_alike(mail("application/pdf", b"%PDF-"), parent="2.1")
    assert [(leaf.head.path, leaf.head.parent) for leaf in single.leaves.values()] == [("2.1.1", "2.1")]
    around = read_alike(mail("message/rfc822", INNER), parent="2")
    assert {path: leaf.head.parent for path, leaf in around.leaves.items()} == {"2.1": "2", "2.1.2": "2.1"}


def test_levels_are_counted_through_containers() -> None:
    level = b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n'
    deep = b"".join(level % (n, n) for n in range(8)) + b"\r\nx"
    assert read(deep, parent="1.1.1", limits=MimeLimits(depth=12)).status == "complete"
    assert read(deep, parent="1.1.1.1.1.1", limits=MimeLimits(depth=12)).status == "partial"


@pytest.mark.parametrize(
    ("header", "container", "role"),
    [
        ("Content-Type: image/png\r\nContent-ID: <logo>", "related", "inline"),
        ("Content-Type: image/png\r\nContent-ID: <logo>\r\nContent-Disposition: attachment", "related", "attachment"),
        ("Content-Type: application/pdf; name=i.pdf", "related", "attachment"),
        (
            "Content-Type: application/pdf; name=i.pdf\r\nContent-Disposition: inline; filename=i.pdf",
            "mixed",
            "attachment",
        ),
        ("Content-Type: image/png\r\nContent-Disposition: inline", "mixed", "inline"),
        ("Content-Type: image/png", "mixed", "attachment"),
        ("Content-Type: text/calendar", "alternative", "alternative"),
        ("Content-Type: application/pgp-encrypted", "mixed", "encrypted"),
        ("Content-Type: application/pkcs7-mime; smime-type=signed-data", "mixed", "attachment"),
        ("Content-Type: application/pkcs7-signature; name=smime.p7s", "signed", "signature"),
        ("Content-Type: application/octet-stream", "encrypted", "encrypted"),
        ("Content-Type: application/pkcs7-mime; smime-type=enveloped-data", "mixed", "encrypted"),
        ("Content-Type: text/plain; name=notes.txt", "mixed", "attachment"),
    ],
)
def test_roles(header: str, container: str, role: str) -> None:
    found = read(mail(f'multipart/{container}; boundary="a"', f"--a\r\n{header}\r\n\r\nx\r\n--a--".encode()))
    assert found.leaves["1"].head.role == role


def test_the_first_text_is_the_body_and_a_second_one_is_kept_beside_it() -> None:
    found = read(mail('multipart/mixed; boundary="a"', b"--a\r\n\r\none\r\n--a\r\n\r\ntwo\r\n--a--"))
    assert [leaf.head.role for leaf in found.leaves.values()] == ["text", "inline"]


def test_bodies_are_converted_to_utf8() -> None:
    latin = mail("text/plain; charset=iso-8859-1", "Größe".encode("latin-1"))
    utf16 = mail("text/plain; charset=utf-16le", "Größe".encode("utf-16le"))
    unknown = mail("text/plain; charset=x-none", "Größe".encode("cp1252"))
    for raw in (latin, utf16, unknown):
        assert read_alike(raw).leaves["1"].content == "Größe".encode()
    assert "unknown_charset" in read(unknown).leaves["1"].defects
    assert "bad_charset" in read(mail("text/plain; charset=utf-8", b"\xff")).leaves["1"].defects


@pytest.mark.parametrize(
    ("charset", "data", "text", "defects"),
    [
        ("", "Größe ".encode() * 20 + b"\xfc", "Größe " * 20 + "\ufffd", ("bad_charset", "unknown_charset")),
        ("us-ascii", "Größe".encode(), "Größe", ("unknown_charset",)),
        ("utf-8", "Größe ".encode() * 20 + b"\xfc", "Größe " * 20 + "\ufffd", ("bad_charset",)),
        ("iso-2022-jp", "会議".encode("iso2022_jp") + b"\n\x1b(..0$.}\x1b\x0fJ!", None, ("bad_charset",)),
        ("iso-2022-kr", "가나\n다라".encode("iso2022_kr"), "가나\n다라", ()),
        ("utf-16", "\ufeffGröße".encode("utf-16be"), "Größe", ()),
        ("utf-16", "Größe".encode("utf-16be"), "Größe", ("charset_detected",)),
        ("rot13", b"abc", "abc", ("unknown_charset",)),
    ],
)
def test_a_body_reads_alike_in_any_chunks(
    charset: str, data: bytes, text: str | None, defects: tuple[str, ...]
) -> None:
    """Also if bytes are invalid in its charset: valid text before them is unaffected."""
    leaf = read_alike(mail(f"text/plain; charset={charset}" if charset else "text/plain", data)).leaves["1"]
    assert leaf.defects == defects
    assert text is None or leaf.content.decode() == text


def test_control_characters_in_a_name_are_passed_on() -> None:
    assert read_alike(mail('application/pdf; name="a\0b.pdf"', b"x")).leaves["1"].head.filename == "a\0b.pdf"


def test_defects_of_a_multipart_header_are_defects_of_the_message() -> None:
    multipart = 'multipart/mixed; boundary="a"\r\nContent-Type: text/plain'
    assert "duplicate_content_type" in read_alike(mail(multipart, b"--a\r\n\r\nx\r\n--a--")).defects
    many = "application/pdf" + "".join(f"; p{number}=x" for number in range(200))
    assert "header_capped" in read_alike(mail(many, b"x")).leaves["1"].defects


def test_a_header_at_the_limit_is_read_completely() -> None:
    assert read(b"X: y\r\n" * 1000 + b"\r\nbody").defects == ()
    assert read(b"X: y\r\n" * 1001 + b"\r\nbody").defects == ("header_capped",)


def test_levels_are_counted_through_nested_messages() -> None:
    """Paths are part of object keys and must stay short."""
    level = b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n'
    deep = b"".join(level % (n, n) for n in range(8))
    nested = deep + b"Content-Type: message/rfc822\r\n\r\n" + deep.replace(b'="', b'="n').replace(b"--", b"--n")
    found = read_alike(nested + b"\r\nx")
    assert found.status == "complete"
    limited = read(nested + b"\r\nx", limits=MimeLimits(depth=12))
    assert limited.status == "partial"
    assert "depth_limit" in {defect for leaf in limited.leaves.values() for defect in leaf.defects} | set(
        limited.defects
    )
    assert max(path.count(".") for path in limited.leaves) <= 12


def test_a_message_stopped_at_a_limit_is_not_truncated() -> None:
    many = mail('multipart/mixed; boundary="a"', b"--a\r\n\r\nx\r\n" * 50 + b"--a--")
    assert read(many, limits=MimeLimits(parts=10)).defects == ("parts_limit",)


def test_multiparts_count_as_parts() -> None:
    inner = b'--a\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b--\r\n'
    assert read(mail('multipart/mixed; boundary="a"', inner * 50), limits=MimeLimits(parts=10)).status == "partial"


def test_a_limit_gives_a_partial_message() -> None:
    many = mail('multipart/mixed; boundary="a"', b"--a\r\n\r\nx\r\n" * 50 + b"--a--")
    assert read(many, limits=MimeLimits(parts=10)).status == "partial"
    assert len(read(many, limits=MimeLimits(parts=10)).leaves) == 10
    deep = (
        b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(60))
        + b"\r\nx"
    )
    assert read_alike(deep).status == "partial"
    wide = b"".join(b"X-%d: y\r\n" % n for n in range(2000)) + b"\r\nbody"
    assert "header_capped" in read_alike(wide).defects
    long = b"Subject: " + b"x" * (2 * 2**20) + b"\r\n\r\nbody"
    assert "header_capped" in read(long).defects
    assert read(long).leaves["1"].content == b"body"


@pytest.mark.parametrize("media_type", ["multipart", "multipart/", "Multipart;"])
def test_a_multipart_without_a_subtype_has_parts(media_type: str) -> None:
    found = read_alike(mail(f"{media_type}; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n"))
    assert [leaf.content for leaf in found.leaves.values()] == [b"x"]


def test_messages_nested_deeper_than_the_limit_are_files() -> None:
    raw = b"Subject: innermost\r\n\r\ntext"
    for _ in range(3):
        raw = b"Content-Type: message/rfc822\r\n\r\n" + raw
    found = read_alike(raw, limits=MimeLimits(messages=2))
    assert set(found.leaves) == {"1", "1.1", "1.1.1"}
    assert found.leaves["1.1.1"].content == b"Subject: innermost\r\n\r\ntext"
    assert found.status == "partial"
    assert "depth_limit" in found.leaves["1.1.1"].defects


@pytest.mark.parametrize(
    "rest",
    [
        b"words and words\r\n" * 9 + b"\r\nbody",
        b"words and words\r\n" * 9,
        b"words " * 900 + b"\r\n\r\nbody",
        b"words " * 900,
        b"words and words\r\n" * 9 + b"  \r\nbody",
    ],
    ids=["lines", "no body", "one long line", "one long line without a body", "blanks"],
)
def test_what_is_no_field_at_the_limit_of_a_header_is_content(rest: bytes) -> None:
    raw = b"Subject: s\r\n" + rest
    found = read_alike(raw, limits=MimeLimits(header_bytes=40))
    assert found.headers.subject == "s"
    assert b"".join(leaf.content for leaf in found.leaves.values()) == rest


def test_what_is_no_field_at_the_limit_of_a_parts_header_is_content() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: y\r\n" + b"words and words\r\n" * 9
    found = read_alike(raw + b"--b\r\n\r\nnext\r\n--b--\r\n", limits=MimeLimits(header_bytes=50))
    assert [leaf.content.count(b"words and words") for leaf in found.leaves.values()] == [9, 0]
    assert found.leaves["2"].content.strip() == b"next"


@pytest.mark.parametrize("boundary", [b"--b\r", b"--b--\r", b"\r"])
def test_header_whose_lines_end_with_bare_cr_ends_at_a_delimiter_or_a_blank_line(boundary: bytes) -> None:
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    raw = head + b"Content-Type: text/plain\rX: y\r" + boundary + b"text\r\n--b--\r\n"
    found = read_alike(raw)
    assert "bare_cr" in found.defects
    assert found.skipped == {} or "text" in str(found.skipped)
