"""Nothing is lost silently: every byte is accounted for, and what is in no part or field is a defect with its size.

`MAILHAUL_MUTATIONS` is the number of damaged mails to try.
"""

from __future__ import annotations

import email
import os
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ingest.mime import MimeLimits, parse
from ingest.mime.account import Account
from ingest.mime.decoders import decoder_for
from ingest.mime.defects import Defect
from ingest.mime.events import PartBegun, PartData
from ingest.mime.scanner import Scanner
from ingest.mime.tally import Tally
from tests.support.mime import read, read_alike

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.mime import Read

CORPUS = Path(__file__).parents[2] / "corpus"
SHARED = Path(__file__).parents[4] / "shared"
MUTATIONS = int(os.environ.get("MAILHAUL_MUTATIONS", "20000"))
LARGEST = 20_000  # bytes: larger mails say no more, and take the time of many
OF_A_HEADER = re.compile(rb"[!-9;-~]+[ \t]*:|[ \t]|--")
MULTIPART = b"Subject: s\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n"


def mails() -> list[bytes]:
    files = [*CORPUS.glob("*.eml"), *(SHARED / "corpus").rglob("*.eml")]
    return [raw for raw in (file.read_bytes() for file in sorted(files)) if len(raw) <= LARGEST]


def mutated(raw: bytes, draw: random.Random) -> bytes:
    """Drop lines, double a delimiter, cut the mail off, or shuffle lines; up to three times."""
    lines = raw.splitlines(keepends=True)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(lines) + 1)
        kind = draw.randrange(4)
        if kind == 0:
            del lines[at : at + draw.randint(1, 3)]
        elif kind == 1:
            delimiters = [number for number, line in enumerate(lines) if line.startswith(b"--")]
            if delimiters:
                at = draw.choice(delimiters)
                lines.insert(at, lines[at])
        elif kind == 2:
            whole = b"".join(lines)
            lines = whole[: draw.randrange(len(whole) + 1)].splitlines(keepends=True)
        else:
            some = lines[at : at + draw.randint(2, 6)]
            draw.shuffle(some)
            lines[at : at + len(some)] = some
    return b"".join(lines)


def leaves_of(message: Any) -> Iterator[bytes]:
    """The leaves that the standard library sees."""
    payload = message.get_payload()
    if isinstance(payload, list):
        for part in payload:
            yield from leaves_of(part)
        return
    try:
        content = message.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        return
    if isinstance(content, bytes) and content.strip():
        yield content


def joined(content: bytes) -> bytes:
    return b"".join(content.split())


def is_read(content: bytes, ours: bytes) -> bool:
    """Whether our leaves hold some bytes, or what they encode: the standard library does not decode all of them."""
    if joined(content) in ours:
        return True
    decoders = [decoder_for(encoding) for encoding in ("quoted-printable", "base64", "x-uuencode", "x-yencode")]
    decoded = [joined(decoder.feed(content) + decoder.close()) for decoder in decoders]
    return any(found and found in ours for found in decoded)


def codes(found: Read) -> set[str]:
    return {*found.defects, *(code for leaf in found.leaves.values() for code in leaf.defects)}


def contents_of(raw: bytes) -> list[bytes]:
    """The content of all leaves, those of nested messages included, whose texts stay inside them."""
    contents: dict[str, bytes] = {}
    nested: set[str] = set()
    for event in parse([raw]):
        if isinstance(event, PartBegun) and event.role == "message":
            nested.add(event.path)
        elif isinstance(event, PartData):
            contents[event.path] = contents.get(event.path, b"") + event.data
    inner = [content for path in nested for content in contents_of(contents.get(path, b""))]
    return [*contents.values(), *inner]


def missing_lines(raw: bytes) -> list[bytes]:
    """Lines of leaves that the standard library sees, and that are not in ours.

    Fields and delimiters do not count. It takes them for content where it ends a header at a blank before a colon
    (RFC 5322 section 4.5), or does not see a boundary; the lines around them are looked for one by one.
    """
    ours = b"\0".join(map(joined, contents_of(raw)))
    try:
        theirs = list(leaves_of(email.message_from_bytes(raw)))
    except (ValueError, LookupError, AttributeError):
        return []  # it raises on some mails
    lines = [line for leaf in theirs if not is_read(leaf, ours) for line in leaf.splitlines() if line.strip()]
    return [line for line in lines if not OF_A_HEADER.match(line) and not is_read(line, ours)]


@pytest.mark.slow
def test_no_leaf_of_the_standard_library_is_missing_without_a_code() -> None:
    originals = mails()
    assert len(originals) >= 20
    draw = random.Random(2026)  # noqa: S311 - no secrets
    silent = []
    for number in range(MUTATIONS):
        raw = mutated(draw.choice(originals), draw)
        found = read(raw)
        assert "bytes_unaccounted" not in codes(found), number
        if not codes(found):
            silent += [(number, line[:80]) for line in missing_lines(raw)]
    assert silent == []


def accounted(raw: bytes, limits: MimeLimits | None = None) -> Scanner:
    scanner = Scanner(limits or MimeLimits())
    for at in range(0, len(raw), 4096):
        scanner.feed(raw[at : at + 4096])
    scanner.close()
    return scanner


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_byte_of_a_mail_is_in_exactly_one_category(end: bytes) -> None:
    for raw in [mail.replace(b"\n", end) for mail in mails()]:
        assert accounted(raw).account.total == len(raw)


def test_bytes_beyond_a_limit_are_accounted_for() -> None:
    raw = MULTIPART + b"--bb\r\n\r\nx\r\n" * 50
    scanner = accounted(raw, MimeLimits(parts=10))
    assert scanner.account.total == len(raw)
    assert read(raw, limits=MimeLimits(parts=10)).skipped == {"parts_limit": scanner.account.unread}
    raw = b"Subject: " + b"x" * 5000 + b"\r\n\r\nbody"
    found = read(raw, limits=MimeLimits(header_bytes=2000))
    assert (found.skipped, found.status) == ({"header_capped": 9 + 5000 + 2 - 2000}, "partial")


@pytest.mark.parametrize(
    ("part", "content"),
    [
        (b"Content-Type: text/plain\r\n \r\nimportant text", b"important text"),
        (b"Content-Type: text/plain\r\n\t\r\nimportant text", b"important text"),
        (b"Content-Type: text/plain\r\n\x0b\r\nimportant text", b"important text"),
        (b"Content-Type: text/plain\r\n\0\r\nimportant text", b"important text"),
        (b"Content-Type: text/plain\r\n\xa0\r\nimportant text", b"important text"),
        (b"Content-Type: text/plain\r\n\xc2\xa0\r\nimportant text", b"important text"),
        (b"Content-Type: text/plain\r\nimportant text\r\nline 2", b"important text\r\nline 2"),
        (b"Content-Type: text/plain\r\nimportant text\r\n\r\nline 2", b"important text\r\n\r\nline 2"),
        (b"important text\r\nsecond line\r\n", b"important text\r\nsecond line\r\n"),
        (b"important text", b"important text"),
        (b"Content-Type: text/plain\rX: y\r\rimportant text", b"important text"),
        (b"Content-Type: text/plain\r\n\r\nimportant\rtext", b"important\rtext"),
        (b"\r\nContent-Type: text/plain\r\n\r\nimportant text", b"important text"),
        (b"Content-Type: text/plain\r\nContent-Type: application/pdf\r\n\r\nimportant text", b"important text"),
        (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nimportant text.", b"important text."),
    ],
)
@pytest.mark.parametrize("place", ["only", "first", "last", "unended"])
def test_a_part_is_read_where_its_header_ends_oddly(part: bytes, content: bytes, place: str) -> None:
    other = b"--bb\r\nContent-Type: application/pdf\r\n\r\n%PDF-\r\n"
    before, after = other if place == "last" else b"", other if place == "first" else b""
    end = b"" if place == "unended" else b"\r\n" + after + b"--bb--\r\n"
    found = read_alike(MULTIPART + before + b"--bb\r\n" + part + end)
    assert content in [leaf.content for leaf in found.leaves.values()]
    assert len(found.leaves) == (1 if place in ("only", "unended") else 2)
    assert found.status == "complete"
    assert codes(found) or b"\rtext" in content, "each repair is a defect"


@pytest.mark.parametrize(
    ("head", "content"),
    [
        (b" \r\n", b"important text\r\nline 2\r\n"),
        (b"", b"important text\r\nline 2\r\n"),
        (b"\xa0\r\n", b"important text\r\nline 2\r\n"),
    ],
)
def test_a_message_is_read_where_its_header_ends_oddly(head: bytes, content: bytes) -> None:
    found = read_alike(b"Subject: s\r\nMIME-Version: 1.0\r\n" + head + content)
    assert (found.headers.subject, found.leaves["1"].content, found.status) == ("s", content, "complete")


@pytest.mark.parametrize("line", [b" \r\n", b"\t\r\n", b"\x0b\r\n", b"\xa0\r\n"])
@pytest.mark.parametrize(
    "follows", [b"Content-Type: application/pdf\r\n", b" ; x=y\r\nContent-Type: application/pdf\r\n"]
)
def test_a_line_of_blanks_before_a_field_or_continuation_does_not_end_a_header(line: bytes, follows: bytes) -> None:
    found = read_alike(b"Subject: s\r\n" + line + follows + b"\r\n%PDF-")
    assert (found.leaves["1"].head.declared_type, found.leaves["1"].content) == ("application/pdf", b"%PDF-")


def test_lines_that_are_no_fields_do_not_end_a_header() -> None:
    found = read_alike(
        b"From me to you\r\nSubject: s\r\nno field at all\r\nContent-Type: application/pdf\r\n\r\n%PDF-"
    )
    assert (found.headers.subject, found.leaves["1"].content) == ("s", b"%PDF-")
    assert (found.skipped, found.status) == ({"header_lines_skipped": 11 + 12}, "partial")
    damaged = read_alike(b"From me to you\r\nSubject: s\r\nodd name: x\r\n\r\nwords")
    assert (damaged.defects, damaged.status) == (("header_lines_skipped",), "complete")


@pytest.mark.parametrize("blank", [b"", b" \r\n", b"\r\n"])
def test_a_multipart_ends_its_header_at_its_own_delimiter(blank: bytes) -> None:
    found = read_alike(MULTIPART.removesuffix(b"\r\n") + blank + b"--bb\r\n\r\nimportant text\r\n--bb--\r\n")
    assert [leaf.content for leaf in found.leaves.values()] == [b"important text"]


def test_a_multipart_with_a_closing_delimiter_only_holds_what_precedes_it() -> None:
    found = read_alike(MULTIPART + b"important text\r\n--bb--\r\n")
    assert [leaf.content for leaf in found.leaves.values()] == [b"important text"]
    assert found.leaves["1"].defects == ("opening_delimiter_missing",)
    part = b"Content-Type: application/pdf; name=a.pdf\r\n\r\n%PDF-"
    found = read_alike(MULTIPART + part + b"\r\n--bb--\r\n")
    assert [(leaf.head.filename, leaf.content) for leaf in found.leaves.values()] == [("a.pdf", b"%PDF-")]


@pytest.mark.parametrize("junk", [b" junk", b"\tjunk", b";", b'"', b">", b" -", b"<br>"])
def test_a_delimiter_with_something_behind_it_counts(junk: bytes) -> None:
    part = b"\r\nContent-Type: text/plain\r\n\r\none\r\n"
    found = read_alike(MULTIPART + b"--bb" + junk + part + b"--bb" + junk + part + b"--bb--" + junk + b"\r\n")
    assert [leaf.content for leaf in found.leaves.values()] == [b"one", b"one"]
    assert (found.defects, found.status) == (("delimiter_junk",), "complete")
    assert found.skipped == {"delimiter_junk": 3 * len(junk.strip())}


def test_words_behind_a_delimiter_make_a_message_partial() -> None:
    found = read_alike(MULTIPART + b"--bb\r\n\r\none\r\n--bb--This mail was scanned\r\n")
    assert ([leaf.content for leaf in found.leaves.values()], found.status) == ([b"one"], "partial")


@pytest.mark.parametrize("closing", [b"--bb --", b"--bb  --", b"--bb--", b"--bb-- "])
def test_a_boundary_may_end_in_blanks(closing: bytes) -> None:
    head = b'Content-Type: multipart/mixed; boundary="bb  "\r\n\r\n'
    found = read_alike(head + b"--bb \r\n\r\none\r\n--bb  \r\n\r\ntwo\r\n" + closing + b"\r\n")
    assert ([leaf.content for leaf in found.leaves.values()], found.defects) == ([b"one", b"two"], ())


def test_bare_cr_delimits_parts_in_a_message_with_other_line_ends() -> None:
    raw = MULTIPART + b"--bb\r\n\r\none\r--bb\rContent-Type: text/html\r\rtwo\rlines\r--bb--\r\n"
    found = read_alike(raw)
    assert [(leaf.head.role, leaf.content) for leaf in found.leaves.values()] == [
        ("text", b"one"),
        ("html", b"two\rlines"),
    ]
    assert found.defects == ("bare_cr",)


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\r\n", b"\n\n\n", b"\r", b"\xef\xbb\xbf\r\n"])
def test_a_message_may_begin_with_a_byte_order_mark_or_blank_lines(before: bytes) -> None:
    found = read_alike(before + MULTIPART + b"--bb\r\n\r\none\r\n--bb--\r\n")
    assert (found.headers.subject, [leaf.content for leaf in found.leaves.values()]) == ("s", [b"one"])
    assert found.defects
    nested = read_alike(
        b"Content-Type: message/rfc822\r\n\r\n" + before + b"Subject: s\r\nContent-Type: x/y\r\n\r\nz"
    )
    assert nested.leaves["1.1"].content == b"z"


def test_two_types_with_nothing_behind_them_give_a_part() -> None:
    found = read_alike(b"Content-Type: text/plain\r\nContent-Type: application/pdf\r\n\r\n")
    assert (found.leaves["1"].head.declared_type, found.leaves["1"].content) == ("text/plain", b"")


@pytest.mark.parametrize(
    "declared",
    [
        b'"bb',
        b'bb"',
        b'"bb; charset=utf-8"',
        b"'bb'",
        b'"bb;',
        b"other",
        b'"other"',
        b'"bb"; boundary="other"',
        b"<bb>",
    ],
)
def test_a_damaged_or_wrong_boundary_is_replaced(declared: bytes) -> None:
    head = b"Content-Type: multipart/mixed; boundary=" + declared + b"\r\nSubject: s\r\n\r\n"
    part = b"Content-Type: text/plain\r\n\r\none\r\n--bb\r\nContent-Type: application/pdf\r\n\r\n%PDF-\r\n"
    found = read_alike(head + b"--bb\r\n" + part + b"--bb--\r\n")
    assert [leaf.content for leaf in found.leaves.values()] == [b"one", b"%PDF-"]
    assert found.status == "complete"
    inner = read_alike(MULTIPART.replace(b"bb", b"oo") + b"--oo\r\n" + head + b"--bb\r\n" + part + b"--oo--\r\n")
    assert [leaf.content for leaf in inner.leaves.values()] == [b"one", b"%PDF-"]


def test_a_boundary_that_occurs_is_not_guessed() -> None:
    text = b"--other\r\nContent-Type: text/plain\r\n\r\nwords\r\n"
    found = read_alike(MULTIPART + text + b"--bb\r\n\r\none\r\n--bb--\r\n")
    assert [leaf.content for leaf in found.leaves.values()] == [b"one"]
    assert (found.defects, found.status) == (("headers_outside_parts", "text_outside_parts"), "partial")


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("message/rfc822", b"From: a@b.example\r\nSubject: s\r\n\r\nwords"),
        ("text/plain", b"These are words, not base64."),
        ("text/html", b"<p>words</p>"),
        ("text/plain", "Привет".encode()),
        ("text/plain", b"Hallo"),
        ("text/plain", b"Thanks\r\n\r\nBob"),
        ("application/xml", b'<?xml version="1.0"?><a/>'),
        ("application/ubl+xml", b"<Invoice>1</Invoice>"),
        ("application/json", b'{"a": [1, 2]}'),
    ],
)
@pytest.mark.parametrize("more", [b"", b"\r\nmore words" * 200])
def test_text_that_is_wrongly_declared_as_base64_is_read_as_it_is(kind: str, content: bytes, more: bytes) -> None:
    raw = (
        f"Content-Type: {kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode() + content + more
    )
    leaf = read_alike(raw).leaves["1"]
    assert (leaf.content, leaf.defects) == (content + more, ("transfer_encoding_wrong",))


@pytest.mark.parametrize("content", [b"SGVsbG8=", b"SGVs\r\nbG8=\r\n", b"SGVs bG8=", b"SGVsbG8"])
def test_base64_text_is_decoded(content: bytes) -> None:
    raw = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + content
    leaf = read_alike(raw).leaves["1"]
    assert (leaf.content, leaf.defects) == (b"Hello", ())


def test_text_around_a_uuencoded_file_that_is_the_whole_part_is_a_defect() -> None:
    block = b"begin 644 a.pdf\r\n+)5!$1BTQ+C<@86(_\r\n`\r\nend\r\n"
    head = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n"
    found = read_alike(
        head + b"some words\r\nbegin nothing\r\n" + block + b"more words here and there, thirty-two\r\n"
    )
    assert found.leaves["1"].content == b"%PDF-1.7 ab", "the last group is filled up with another character"
    assert found.leaves["1"].defects == ("text_around_file",)
    assert (found.skipped["text_around_file"], found.status) == (9 + 12 + 32, "partial")


def test_bytes_that_base64_skips_are_counted() -> None:
    head = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    found = read_alike(head + b"JVBE\xe4\xf6!Ri0=\r\n")
    assert (found.leaves["1"].content, found.skipped, found.status) == (b"%PDF-", {"base64_noise": 3}, "complete")
    assert read_alike(head + b"JVBERi0=\r\n" + b"\xe4" * 40).status == "partial"


SILENT = SHARED / "cases" / "silent"


@pytest.mark.skipif(not SILENT.is_dir(), reason="the shared cases are not beside this checkout")
def test_the_shared_cases_lose_nothing_silently() -> None:
    """Each was read without its content, and without a word about it."""
    expected = {
        "1-part-separator-blank": b"%PDF-1.7",
        "3-root-separator-blank-text": b"important text",
        "5-root-separator-missing-multipart-first-part-lost": b"important text",
        "6-part-without-header-nor-blank-line": b"important text\r\nsecond line",
        "8-uuencode-pad-octet": b"%PDF-1.7",
        "9-closing-delimiter-with-junk": b"%PDF-1.7",
        "11-delimiter-with-junk": b"hello",
        "13-bom-first": b"hello",
    }
    assert {file.stem for file in SILENT.glob("*.eml")} >= expected.keys()
    for name, content in expected.items():
        found = read_alike((SILENT / f"{name}.eml").read_bytes())
        assert any(content in leaf.content for leaf in found.leaves.values()), name
        assert found.status == ("partial" if name.startswith("9-") else "complete"), name


def test_a_bare_cr_inside_a_field_is_a_defect() -> None:
    found = read_alike(b"Subject: s\nX-Odd: a\rimportant text\n\nbody")
    assert (found.defects, found.leaves["1"].content) == (("bare_cr",), b"body")
    found = read_alike(b"Subject: s\r\nX-Odd: a\rimportant text\r\n\r\nbody")
    assert found.defects == ("bare_cr", "header_lines_skipped")
    found = read_alike(b"Subject: s\r\nX-Odd: a\rb: c\nX: y\r\n\r\nbody")
    assert found.defects == ("bare_cr",)
    found = read_alike(b"Subject: s\r\nX-Odd: a\rimportant text\r\n\r\nbody")
    assert found.status == "partial"


@pytest.mark.parametrize("boundary", [b"b", b"----=_a_long_boundary_of_usual_size", b"b'()+_,-./:=?"])
def test_a_delimiter_after_bare_cr_is_found_wherever_the_pieces_end(boundary: bytes) -> None:
    head = b'Subject: s\nContent-Type: multipart/mixed; boundary="' + boundary + b'"\n\n'
    parts = b"\r--" + boundary + b"\nContent-Type: text/plain\n\none\r--" + boundary + b"--"
    found = read_alike(head + parts)
    assert [leaf.content for leaf in found.leaves.values()] == [b"one"]
    assert "bare_cr" in found.defects


@pytest.mark.parametrize("fed", [90, 110])
def test_bytes_that_no_category_counts_make_the_message_partial(fed: int) -> None:
    """Too many are as bad as too few: some would have been read twice."""
    tally, account = Tally(10, ()), Account()
    account.fields = 100
    tally.check(account, fed)
    assert (tally.status, tally.skipped) == ("partial", {Defect.UNACCOUNTED: 10})
