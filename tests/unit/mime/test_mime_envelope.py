"""Trace fields count down to the hop that is trusted, and no further."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.mime.envelope import Trust, read_envelope
from ingest.mime.headers import read_header

if TYPE_CHECKING:
    from ingest.domain.mail import MailEnvelope

HOP = b"Received: from out.shop.example by mx.example.org with ESMTPS; Mon, 23 Nov 2026 08:00:00 +0000"
# As Gmail writes it: Return-Path and the results stand below its inner hop.
GMAIL = [
    b"Delivered-To: invoices@example.org",
    b"Received: by 2002:a05:6214:1 with SMTP id q1csp1; Mon, 23 Nov 2026 08:00:01 +0000",
    b"Return-Path: <bounces@shop.example>",
    (
        b"Received: from out.shop.example (out.shop.example [192.0.2.1])\r\n"
        b"        by mx.google.com with ESMTPS id a1\r\n"
        b"        for <billing@example.org>\r\n"
        b"        (version=TLS1_3 cipher=X); Mon, 23 Nov 2026 08:00:00 +0000"
    ),
    b"Authentication-Results: mx.google.com; spf=pass smtp.mailfrom=bounces@shop.example",
]
FORGED = [
    b"Delivered-To: forged@example.org",
    b"Return-Path: <forged@example.org>",
    b"Received: from evil by mx.example.org for <forged@example.org>; Mon, 23 Nov 2026 07:00:00 +0000",
    b"From: a@shop.example",
]


def envelope(*fields: bytes, authserv_id: str | None = None, hops: int | None = None) -> MailEnvelope | None:
    head = b"\r\n".join([*fields, b"", b"body"])
    return read_envelope(read_header(head).fields(set()), Trust(authserv_id, hops))


def recipients(found: MailEnvelope | None) -> list[tuple[str, list[str]]]:
    assert found is not None
    return [(each.address, each.fields) for each in found.recipients]


def test_postfix_writes_the_original_recipient_above_its_hop() -> None:
    found = envelope(
        b"Return-Path: <bounces@shop.example>",
        b"X-Original-To: billing+acme@example.org",
        b"Delivered-To: invoices@mail.example.org",
        HOP,
        *FORGED,
    )
    assert recipients(found) == [
        ("billing+acme@example.org", ["x-original-to"]),
        ("invoices@mail.example.org", ["delivered-to"]),
    ]
    assert found is not None
    assert (found.return_path, found.recipients[0].tag, found.trusted_by) == (
        "bounces@shop.example",
        "acme",
        "trusted_hops",
    )


def test_for_clause_of_a_trusted_hop_names_a_recipient() -> None:
    hop = b"Received: from a (b [192.0.2.1]) by c with ESMTP for <Ann@Example.org>; Mon, 23 Nov 2026 08:00:00 +0000"
    assert recipients(envelope(b"Delivered-To: ann@example.org", hop)) == [
        ("Ann@Example.org", ["received", "delivered-to"])
    ]


@pytest.mark.parametrize(
    "hop",
    [
        b"Received: from x for <forged@example.org> (b [192.0.2.1]) by c with ESMTP for <ann@example.org>; Mon",
        b"Received: from a (for <forged@example.org>) by c with ESMTP for <ann@example.org>; Mon",
        b"Received: from a ((x) for <forged@example.org>) by c for <ann@example.org> (for <forged@example.org>); Mon",
        b"Received: from x by y for <forged@example.org>; z by c with ESMTP for <ann@example.org>; Mon, 23 Nov 2026",
    ],
)
def test_client_cannot_name_a_recipient_in_what_it_calls_itself(hop: bytes) -> None:
    assert recipients(envelope(hop)) == [("ann@example.org", ["received"])]


def test_every_recipient_of_one_delivery_is_named() -> None:
    found = envelope(b"Envelope-To: ann@example.org,\r\n <bob@example.org>", b"Delivered-To: bob@example.org", HOP)
    assert recipients(found) == [
        ("ann@example.org", ["envelope-to"]),
        ("bob@example.org", ["envelope-to", "delivered-to"]),
    ]


def test_received_without_a_for_clause_names_nobody() -> None:
    assert envelope(b"Received: from for.shop.example by mx.example.org; Mon, 23 Nov 2026 08:00:00 +0000") is None


def test_one_hop_is_trusted_by_default() -> None:
    assert recipients(envelope(*GMAIL, *FORGED)) == [("invoices@example.org", ["delivered-to"])]


def test_number_of_trusted_hops_decides() -> None:
    expected = [("billing@example.org", ["received"]), ("invoices@example.org", ["delivered-to"])]
    found = envelope(*GMAIL, *FORGED, hops=2)
    assert recipients(found) == expected
    assert found is not None
    assert found.return_path == "bounces@shop.example"


def test_results_of_the_trusted_server_tell_its_hop() -> None:
    found = envelope(*GMAIL, *FORGED, authserv_id="mx.google.com")
    assert found is not None
    assert (found.return_path, found.trusted_by) == ("bounces@shop.example", "authserv_id")
    assert "forged@example.org" not in [address for address, _ in recipients(found)]


def test_hop_below_its_own_results_counts() -> None:
    results = b"Authentication-Results: mx.example.org; spf=pass"
    hop = HOP.replace(b" with", b" for <billing@example.org> with")
    assert recipients(envelope(results, hop, *FORGED, authserv_id="mx.example.org"))[0][0] == "billing@example.org"


def test_results_of_another_server_tell_nothing() -> None:
    results = b"Authentication-Results: mx.evil.example; spf=pass"
    found = envelope(b"Delivered-To: ann@example.org", HOP, *FORGED, results, authserv_id="mx.example.org")
    assert recipients(found) == [("ann@example.org", ["delivered-to"])]
    assert found is not None
    assert found.trusted_by == "trusted_hops"


@pytest.mark.parametrize("hops", [None, 0, 1, 3])
def test_header_with_fewer_hops_than_are_trusted_says_nothing(hops: int | None) -> None:
    assert envelope(b"Delivered-To: forged@example.org", b"From: a@shop.example", hops=hops) is None


def test_null_sender_is_empty_and_an_unknown_one_null() -> None:
    bounce = envelope(b"Return-Path: < >", HOP)
    unknown = envelope(b"Delivered-To: a@example.org", HOP)
    assert bounce is not None
    assert bounce.return_path == ""
    assert unknown is not None
    assert unknown.return_path is None


def test_what_is_no_address_is_left_out() -> None:
    assert envelope(b"Delivered-To: undisclosed", b"Envelope-To: ", HOP) is None


def test_recipients_are_capped() -> None:
    many = [b"Delivered-To: r%d@example.org" % number for number in range(100)]
    found = envelope(*many, HOP)
    assert found is not None
    assert len(found.recipients) == 20
