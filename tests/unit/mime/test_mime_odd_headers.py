"""Names, addresses and dates that no standard allows are read as their senders meant them."""

from __future__ import annotations

import pytest

from ingest.mime.addresses import parse_addresses
from ingest.mime.dates import parse_date
from ingest.mime.fields import parse_structured
from ingest.mime.text import decode_header
from tests.support.mime import read


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Mueller, Hans <hans@b.example>", [("Mueller, Hans", "hans@b.example")]),
        ("Doe, Jane, M.A. <j@b.example>, c@d.example", [("Doe, Jane, M.A.", "j@b.example"), ("", "c@d.example")]),
        ("a@b.example, Doe, Jane <j@b.example>", [("", "a@b.example"), ("Doe, Jane", "j@b.example")]),
        ("Foo, bar@x.example", [("Foo", ""), ("", "bar@x.example")]),
        ("one, two", [("one", ""), ("two", "")]),
        ("=?utf-8?Q?Hans_M=C3=BCller_<hans=40b.example>?=", [("Hans Müller", "hans@b.example")]),
        ("=?utf-8?B?SGFucyA8aEBiLmV4YW1wbGU+?=", [("Hans", "h@b.example")]),
        ("=?utf-8?Q?M=C3=BCller=2C_Hans?= <h@b.example>", [("Müller, Hans", "h@b.example")]),
        ("Jane Doe j@b.example", [("Jane Doe", "j@b.example")]),
        ('"Jane" j@b.example, k@b.example', [("Jane", "j@b.example"), ("", "k@b.example")]),
        ("j @ b.example", [("", "j@b.example")]),
        ("Jane <j @ b.example>", [("Jane", "j@b.example")]),
        ("Jane <mailto:j@b.example>", [("Jane", "j@b.example")]),
        ('"jane doe"@b.example, k@b.example', [("", '"jane doe"@b.example'), ("", "k@b.example")]),
        ("Jane <@relay.example,@other.example:j@b.example>", [("Jane", "j@b.example")]),
    ],
)
def test_addresses(value: str, expected: list[tuple[str, str]]) -> None:
    found = parse_addresses(value.encode(), 100, set())
    assert [(address.name, address.address) for address in found] == expected


def test_many_names_without_addresses_are_read_in_linear_time_and_capped() -> None:
    assert len(parse_addresses(b"a b," * 100_000, 100, set())) == 100


def test_recipients_of_every_to_and_cc_field_are_read() -> None:
    headers = read(b"To: a@b.example\nTo: c@d.example\nCc: e@f.example\nCc: g@h.example\n\nx").headers
    assert [each.address for each in headers.to] == ["a@b.example", "c@d.example"]
    assert [each.address for each in headers.cc] == ["e@f.example", "g@h.example"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Thu, 19 Nov 2020 14:32:25 GMT+01:00", "2020-11-19T13:32:25"),
        ("Thu, 19 Nov 2020 14:32:25 UTC-5", "2020-11-19T19:32:25"),
        ("Thu, 19 Nov 2020 14:32:25 +01:00", "2020-11-19T13:32:25"),
        ("Do, 19. November 2020 14:32:25 +0100", "2020-11-19T13:32:25"),
        ("Mi, 3 Mrz 2021 10:00:00 +0100", "2021-03-03T09:00:00"),
        ("Mi, 3 März 2021 10:00 MEZ", "2021-03-03T09:00:00"),
        ("mer., 3 févr. 2021 10:00:00 +0100", "2021-02-03T09:00:00"),
        ("jue, 3 dic 2020 10:00:00 +0100", "2020-12-03T09:00:00"),
        ("2021-03-03T10:00:00Z", "2021-03-03T10:00:00"),
        ("Wed, 3 Mar 21 10:00 EST", "2021-03-03T15:00:00"),
        ("3 Mar 99 10:00 GMT", "1999-03-03T10:00:00"),
        ("Wed, 3 Mar 121 10:00:00 +0000", "2021-03-03T10:00:00"),
        ("Thu, 01 Jan 1970 00:00:00 +0000", None),
        ("Thu, 30 Feb 2024 00:00:00 +0000", None),
        ("Thu, 19 Nov 20200 14:32:25 +0100", None),
        ("Thu, 19 Nov 2020 25:32:25 +0100", None),
        ("Mon, 2 Mar 2026 08:15:28 PM", "2026-03-02T20:15:28"),
        ("Monday, March 2, 2026 12:15 AM", "2026-03-02T00:15:00"),
        ("Mon, 2 Mar 2026 08:15:28 CET", "2026-03-02T07:15:28"),
        ("Mon, 2 Mar 2026 08:15:60 +0000", "2026-03-02T08:15:59"),
        ("Mon, 2 Mar 2026 08:15:28 +2500", None),
        ("1:00 AM" * 1000, None),
        ("tomorrow", None),
    ],
)
def test_dates(value: str, expected: str | None) -> None:
    found = parse_date(value.encode())
    assert (found and found.strftime("%Y-%m-%dT%H:%M:%S")) == expected
    defects = read(b"Date: " + value.encode() + b"\n\nx").defects
    assert ("bad_date" in defects) == (expected is None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('attachment; filename*="=?UTF-8?B?w6Q=?= =?UTF-8?B?LnBkZg==?="', "ä.pdf"),
        ("attachment; filename*=utf-8''=?utf-8?Q?=C3=A4?=.pdf", "ä.pdf"),
        ("attachment; filename_0_=utf-8''%C3%A4; filename_1_=%C3%B6.pdf", "äö.pdf"),
        ("attachment; filename_0=a; filename_1=b.pdf", "ab.pdf"),
        ('attachment; filename="=?utf-8?Q?Paid?.pdf?="', "Paid?.pdf"),
        ('attachment filename="a.pdf"; size=3', "a.pdf"),
        ("filename=a.pdf", "a.pdf"),
        ("attachment; filename=a=b.pdf", "a=b.pdf"),
    ],
)
def test_file_names(value: str, expected: str) -> None:
    assert parse_structured(value.encode(), set()).parameters["filename"] == expected


@pytest.mark.parametrize("field", ["text/html charset=utf-8", "text/html, charset=utf-8", "text/html; charset=utf-8"])
def test_semicolon_before_a_parameter_may_be_missing(field: str) -> None:
    found = parse_structured(field.encode(), set())
    assert (found.value, found.parameters) == ("text/html", {"charset": "utf-8"})


def test_japanese_in_escapes_holds_no_delimiters() -> None:
    name = "\u91d1\u984d,\u8acb\u6c42\u66f8\u300e\u65b0\u300f;\uff1c"  # their bytes include quotes, commas, < and ;
    escaped = name.encode("iso2022_jp")
    assert decode_header(escaped, set()) == name
    assert (
        parse_structured(b'attachment; filename="' + escaped + b'.pdf"', set()).parameters["filename"]
        == f"{name}.pdf"
    )
    named = name.replace(",", "").replace(";", "")
    found = parse_addresses(named.encode("iso2022_jp") + b" <a@b.example>, c@d.example", 100, set())
    assert [(each.name, each.address) for each in found] == [(named, "a@b.example"), ("", "c@d.example")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"=?utf-8?Q?Paid?_yes?=", "Paid? yes"),
        (b"=?utf-8?Q?a?= =?utf-8?Q?b?= c", "ab c"),
        (b"=?utf-8?Q?never closed =?utf-8?Q?b?=", "=?utf-8?Q?never closed b"),
        (b"=?utf-8?B?QQ==?= =?utf-8?B?Qg==?=", "AB"),
        ("Счёт-фактура за услуги".encode("cp1251"), "Счёт-фактура за услуги"),
    ],
)
def test_subjects(value: bytes, expected: str) -> None:
    assert decode_header(value, set()) == expected
