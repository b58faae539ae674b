"""Authentication-Results count only from the trusted server, and only where that server writes them."""

from __future__ import annotations

import pytest

from ingest.domain.manifest import AuthenticationResult
from ingest.mime.authentication import authentication_results

TRUSTED = "mx.example.org"


def results(*fields: bytes, authserv_id: str = TRUSTED) -> list[tuple[str, str, dict[str, str]]] | None:
    """What is read of a message with these fields."""
    found = authentication_results(b"\r\n".join([*fields, b"Subject: s", b"", b"body"]), authserv_id)
    return None if found is None else [(each.method, each.result, each.properties) for each in found]


def says(statements: bytes, server: bytes = b"mx.example.org") -> bytes:
    return b"Authentication-Results: " + server + b"; " + statements


def test_methods_results_and_properties_are_read() -> None:
    field = says(
        b'spf=pass reason="sender is listed" smtp.mailfrom=ann@Shop.example smtp.helo=out.shop.example;\r\n'
        b"\tdkim=pass header.d=shop.example header.i=@shop.example header.s=k1 header.b=AbC1;\r\n"
        b" dmarc=fail (p=REJECT dis=NONE) header.from=shop.example; arc=none"
    )
    assert results(field) == [
        ("spf", "pass", {"smtp.mailfrom": "shop.example", "smtp.helo": "out.shop.example"}),
        ("dkim", "pass", {"header.d": "shop.example", "header.i": "shop.example", "header.s": "k1"}),
        ("dmarc", "fail", {"header.from": "shop.example"}),
        ("arc", "none", {}),
    ]


@pytest.mark.parametrize(
    "server", [b"mx.example.org.evil.example", b"evil.example", b"mx.example.org@evil", b"", b'"']
)
def test_field_of_another_server_is_ignored(server: bytes) -> None:
    assert results(says(b"dmarc=pass", server)) is None


@pytest.mark.parametrize(
    "server", [b"MX.Example.ORG", b'"mx.example.org"', b"mx.example.org 1", b"(by) mx.example.org (us)"]
)
def test_case_quotes_version_and_comments_are_ignored(server: bytes) -> None:
    assert results(says(b"dmarc=pass", server)) == [("dmarc", "pass", {})]


def test_later_version_of_the_field_is_ignored() -> None:
    assert results(says(b"dmarc=pass", b"mx.example.org 2")) is None
    assert results(says(b"dmarc/2=pass; spf/1=pass")) == [("spf", "pass", {})]


def test_field_below_the_received_line_is_ignored() -> None:
    forged = says(b"dmarc=pass header.from=bank.example")
    assert results(says(b"spf=fail"), b"Received: from x", forged) == [("spf", "fail", {})]


def test_higher_of_several_fields_wins() -> None:
    fields = [says(b"dmarc=fail"), says(b"dkim=pass; dkim=fail"), says(b"dmarc=pass; dkim=pass; spf=pass")]
    assert results(*fields) == [
        ("dmarc", "fail", {}),
        ("dkim", "pass", {}),
        ("dkim", "fail", {}),
        ("spf", "pass", {}),
    ]


def test_trusted_field_is_found_below_those_of_internal_relays() -> None:
    inner = says(b"dmarc=pass", b"relay.internal")
    assert results(b"Received: by relay", inner, b"Received: by mx", says(b"spf=pass")) == [("spf", "pass", {})]


def test_field_without_results_differs_from_no_field() -> None:
    assert results(says(b"none")) == []
    assert results() is None


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (b"dmarc=pass (see (nested; dkim=pass) \\) here) header.from=a.example", {"header.from": "a.example"}),
        (
            b'dmarc=pass reason="x; spf=pass header.from=evil.example" header.from=a.example',
            {"header.from": "a.example"},
        ),
        (b'dmarc=pass header.from="\\"b c\\"@a.example"', {"header.from": "a.example"}),
        (b"dmarc = pass header . from = a.example", {"header.from": "a.example"}),
        (b"dmarc=pass header.from=a.example header.from=evil.example", {"header.from": "a.example"}),
        (b'dmarc=pass garbage "header.from=evil.example"', {}),
        (b"dmarc=pass header.from=" + b"a" * 300, {}),
    ],
)
def test_quotes_and_comments_cannot_hide_a_property(statement: bytes, expected: dict[str, str]) -> None:
    assert results(says(statement)) == [("dmarc", "pass", expected)]


@pytest.mark.parametrize(
    "statement", [b"(dmarc=pass", b'"; dmarc=pass', b"dmarc", b"=pass", b"dmarc=", b";;;", b"\xff\x00"]
)
def test_invalid_results_are_skipped(statement: bytes) -> None:
    assert results(says(statement)) == []


def test_addresses_are_reported_by_domain_only() -> None:
    found = authentication_results(
        says(b"spf=pass smtp.mailfrom=ann@a.example; x=pass header.from=bob@b.example"), TRUSTED
    )
    assert found is not None
    assert "ann" not in repr(found)
    assert "bob" not in repr(found)


@pytest.mark.parametrize(
    "hostile",
    [
        b"(" * 50_000,
        b'"' * 50_001,
        b";" * 50_000,
        b"\\" * 50_000,
        b"spf=pass;" * 5_000,
        b"a.a=" * 12_000,
        b" " * 50_000 + b"x",
    ],
)
def test_hostile_fields_are_capped(hostile: bytes) -> None:
    whole = says(b"dmarc=pass; " + hostile)
    assert results(whole) is None, "longer than a server writes"
    cut = results(whole[:16_000], *[says(b"spf=pass")] * 1000)
    assert cut is not None
    assert len(cut) <= 32


def test_only_the_header_is_read() -> None:
    assert authentication_results(b"Subject: s\r\n\r\n" + says(b"dmarc=pass"), TRUSTED) is None
    assert authentication_results(says(b"dmarc=pass"), TRUSTED) == [
        AuthenticationResult(method="dmarc", result="pass")
    ]
