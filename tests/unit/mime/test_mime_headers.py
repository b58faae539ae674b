"""Headers are decoded and capped, and never raise."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.mail import Address
from ingest.mime import MimeLimits, parse_headers, received_at
from ingest.mime.fields import first_value, split_fields
from ingest.mime.headers import extra_fields, read_header
from tests.support.mime import read


def name_of(*lines: str | bytes) -> str | None:
    """Return the file name that these header lines give."""
    head = b"\r\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    return read(head + b"\r\n\r\nx").leaves["1"].head.filename


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (['Content-Disposition: attachment; filename="a.pdf"'], "a.pdf"),
        (["Content-Type: application/pdf; name=a.pdf"], "a.pdf"),
        (["Content-Disposition: attachment; filename=my invoice.pdf; size=3"], "my invoice.pdf"),
        (["Content-Disposition: attachment; filename*=UTF-8''M%C3%BCller.pdf"], "Müller.pdf"),
        (["Content-Disposition: attachment; filename=no.pdf; filename*=UTF-8''yes.pdf"], "yes.pdf"),
        (["Content-Disposition: attachment; filename*1*=%BCller.pdf; filename*0*=UTF-8''M%C3"], "Müller.pdf"),
        (["Content-Disposition: attachment; filename*0=a; filename*1=b.pdf"], "ab.pdf"),
        (["Content-Disposition: attachment; filename*=x-none''M%FCller.pdf"], "Müller.pdf"),
        (['Content-Disposition: attachment; filename="=?utf-8?B?TcO8bGxlci5wZGY=?="'], "Müller.pdf"),
        (['Content-Disposition: attachment; filename="=?utf-8?Q?M=C3=BC?= =?utf-8?Q?ller.pdf?="'], "Müller.pdf"),
        ([b'Content-Disposition: attachment; filename="M\xc3\xbcller.pdf"'], "Müller.pdf"),
        ([b'Content-Disposition: attachment; filename="M\xfcller.pdf"'], "Müller.pdf"),
        (['Content-Disposition: attachment; filename="a; b.pdf"'], "a; b.pdf"),
        (["Content-Disposition: attachment;", '\tfilename="folded.pdf"'], "folded.pdf"),
        (["Content-Disposition: attachment"], None),
    ],
)
def test_file_names(lines: list[str | bytes], expected: str | None) -> None:
    """RFC 2231 and 2047, alone, mixed and misused; quoted or not; raw bytes; the type's `name` as a fallback."""
    assert name_of(*lines) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"=?utf-8?q?Rechnung_f=C3=BCr?= =?utf-8?q?_M=C3=A4rz?=", "Rechnung für März"),
        (b"=?utf-8?b?w7w=?= plain =?iso-8859-1?q?=FC?=", "ü plain ü"),
        (b"=?utf-8?q?split_=C3?= =?utf-8?q?=BC?=", "split ü"),
        ("roh ü".encode(), "roh ü"),
        (b"latin \xfc", "latin ü"),
        (b"bell\x07 and \x00 nul", "bell and  nul"),
        (b"=?x-none?q?abc?=", "abc"),
    ],
)
def test_subjects(value: bytes, expected: str) -> None:
    assert parse_headers(b"Subject: " + value + b"\r\n").subject == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@b.example", [Address(address="a@b.example")]),
        (
            b'"Doe, Jane" <j@b.example>, x@y.example',
            [Address(name="Doe, Jane", address="j@b.example"), Address(address="x@y.example")],
        ),
        (b"=?utf-8?q?J=C3=B6rg?= <j@b.example>", [Address(name="Jörg", address="j@b.example")]),
        (b"j@b.example (Jane)", [Address(name="Jane", address="j@b.example")]),
        (b"team: a@b.example, c@d.example;", [Address(address="a@b.example"), Address(address="c@d.example")]),
        (b"", []),
    ],
)
def test_addresses(value: bytes, expected: list[Address]) -> None:
    assert parse_headers(b"To: " + value + b"\r\n").to == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"Auto-Submitted: auto-generated\r\n", "auto-generated"),
        (b"Auto-Submitted: no\r\nX-Autoreply: yes\r\n", "no"),
        (b"X-Autoreply: yes\r\n", "auto-replied"),
        (b"X-Autorespond: 1\r\n", "auto-replied"),
        (b"Precedence: auto_reply\r\n", "auto-replied"),
        (b"Precedence: bulk\r\n", None),
        (b"Content-Type: Multipart/Report; report-type=delivery-status; boundary=x\r\n", "auto-replied"),
        (b"Content-Type: multipart/mixed; boundary=x\r\n", None),
    ],
)
def test_automatic_messages_are_recognised(head: bytes, expected: str | None) -> None:
    """Also without the field meant for it (RFC 3834 section 5)."""
    assert parse_headers(head).auto_submitted == expected


def test_lists_are_capped() -> None:
    headers = parse_headers(b"To: " + b"a@b.example, " * 500 + b"\r\nReferences: " + b"<x@y> " * 500 + b"\r\n")
    assert len(headers.to) == 100
    assert len(headers.references) == 100


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (
            b"Received: by a; Mon, 23 Nov 2026 10:00:00 +0100\r\nReceived: by b; Sun, 22 Nov 2026 10:00:00 +0000\r\n",
            "2026-11-23T09",
        ),
        (b"Date: Mon, 23 Nov 2026 10:00:00 GMT\r\n", "2026-11-23T10"),
        (b"Received: by a\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n", "2026-11-23T10"),
        (b"Received: by a; nonsense\r\n", None),
        (b"Date: Mon, 23 Nov 9999 10:00:00 GMT\r\n", None),
        (b"Subject: x\r\n\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n", None),
        (b"\xef\xbb\xbfDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n\r\nx", "2026-11-23T10"),
        (b"\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n\r\nx", "2026-11-23T10"),
        (b"\n\nSubject: x\nDate: Mon, 23 Nov 2026 10:00:00 GMT\n\nx", "2026-11-23T10"),
        (b"\xef\xbb\xbf\r\rDate: Mon, 23 Nov 2026 10:00:00 GMT\r\rx", "2026-11-23T10"),
        (b"\r\nno field\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n", None),
        (b"Subject: x\r\rDate: Mon, 23 Nov 2026 10:00:00 GMT\r", None),
        (b"Subject: x\rDate: Mon, 23 Nov 2026 10:00:00 GMT\r\r", "2026-11-23T10"),
    ],
)
def test_date_of_arrival_comes_from_the_header(head: bytes, expected: str | None) -> None:
    found = received_at(head)
    assert (found.isoformat()[:13] if found else None) == expected
    assert found is None or found.tzinfo is UTC


def test_a_header_alone_may_have_a_byte_order_mark_and_blank_lines_before_it() -> None:
    for before in (b"\xef\xbb\xbf", b"\r\n", b"\xef\xbb\xbf\r\n\r\n"):
        assert parse_headers(before + b"Subject: first\r\nFrom: a@example.com\r\n").subject == "first"


@given(st.binary(max_size=400))
def test_arbitrary_bytes_do_not_raise(data: bytes) -> None:
    for head in (data, b"Subject: " + data, b"From: " + data, b"Content-Type: " + data, b"Date: " + data):
        headers = parse_headers(head)
        headers.model_dump_json().encode()
        date = received_at(head)
        assert date is None or date > datetime(1970, 1, 1, tzinfo=UTC)
        assert read(head + b"\r\n\r\n").status


@given(st.lists(st.sampled_from([b"Received: a\n b ", b"received : c", b"X:", b"no", b" e", b"", b"\rDate:"])))
def test_value_of_a_single_field_is_that_of_the_whole_header(lines: list[bytes]) -> None:
    limits, head = MimeLimits(header_fields=3), b"\n".join(lines)
    fields = split_fields(head, limits, set())
    for name in (b"received", b"date"):
        assert first_value(head, name, limits) == fields.first(name)


def test_less_frequent_fields_are_read() -> None:
    headers = parse_headers(
        b"Sender: Desk <desk@example.org>\r\nBcc: b@example.org\r\nPrecedence: Bulk\r\nX-Priority: 1 (Highest)\r\n"
        b"List-Unsubscribe: <mailto:u@example.org>,\r\n <https://example.org/u>, <ftp://example.org>\r\n"
        b"Thread-Index: AdQ1\r\n 2w==\r\nResent-From: r@example.org\r\nResent-To: t@example.org\r\n"
        b"Resent-Date: Mon, 23 Nov 2026 08:00:00 +0000\r\nResent-Message-ID: <r@x>\r\n"
    )
    assert headers.sender == Address(name="Desk", address="desk@example.org")
    assert headers.bcc == [Address(address="b@example.org")]
    assert (headers.precedence, headers.importance, headers.thread_index) == ("bulk", "high", "AdQ12w==")
    assert headers.list_unsubscribe == ["mailto:u@example.org", "https://example.org/u"]
    assert headers.resent is not None
    assert [headers.resent.from_[0].address, headers.resent.to[0].address, headers.resent.message_id] == [
        *("r@example.org", "t@example.org"),
        "<r@x>",
    ]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        *((b"Importance: High", "high"), (b"Importance: LOW", "low"), (b"Priority: non-urgent", "low")),
        *((b"X-Priority: 3", "normal"), (b"X-Priority: ", None), (b"X-Priority: urgently", None)),
        (b"X-MSMail-Priority: Normal", "normal"),
    ],
)
def test_importance_is_read_from_any_of_its_fields(field: bytes, expected: str | None) -> None:
    assert parse_headers(field + b"\r\n").importance == expected


def test_chosen_fields_are_listed_by_name_and_capped() -> None:
    head = b"X-Spam-Flag: NO\r\nX-Spam-Score: =?utf-8?q?=2D1?=\r\nX-Other: o\r\n" + b"X-Many: m\r\n" * 20
    fields = read_header(head).fields(set())
    found = extra_fields(fields, ["x-spam-*", "x-many"], MimeLimits())
    assert found == {"x-spam-flag": ["NO"], "x-spam-score": ["-1"], "x-many": ["m"] * 8}
    endless = read_header(b"".join(b"X-%d: x\r\n" % number for number in range(100))).fields(set())
    assert len(extra_fields(endless, ["x-*"], MimeLimits())) == 32
