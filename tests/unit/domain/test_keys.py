"""Identity follows from content."""

from __future__ import annotations

import hashlib
from datetime import date
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.keys import (
    Layout,
    attachment_name,
    event_id,
    listing_digest,
    maildrop_identity,
    message_hasher,
    message_key,
)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_the_message_key_is_the_same_for_any_split_of_the_bytes(raw: bytes, cuts: list[int]) -> None:
    hasher = message_hasher("invoices-de")
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    for begin, end in pairwise(edges):
        hasher.update(raw[begin:end])
    assert message_key(hasher) == hashlib.sha256(b"invoices-de\0" + raw).hexdigest()[:32]


def test_the_same_bytes_in_two_mailboxes_are_two_messages() -> None:
    assert message_key(message_hasher("a")) != message_key(message_hasher("b"))


def test_what_identifies_a_listed_message_takes_sixteen_bytes() -> None:
    assert {len(listing_digest(b"m", b"x" * size, 1)) for size in (1, 70, 255, 10_000)} == {16}


def test_maildrop_unique_id_and_size_identify_a_listed_message_together() -> None:
    store, host, port, user = bytes(16), "pop.example.org", 995, "joe"
    same = listing_digest(maildrop_identity(store, host, port, user), b"1", 500)
    assert same == listing_digest(maildrop_identity(store, host.upper(), port, user), b"1", 500)
    others = {
        listing_digest(maildrop_identity(store, host, port, user), b"2", 500),
        listing_digest(maildrop_identity(store, host, port, user), b"1", 501),
        listing_digest(maildrop_identity(store, host, port, user), b"1", None),
        listing_digest(maildrop_identity(b"x" * 16, host, port, user), b"1", 500),
        listing_digest(maildrop_identity(store, "other.example.org", port, user), b"1", 500),
        listing_digest(maildrop_identity(store, host, 110, user), b"1", 500),
        listing_digest(maildrop_identity(store, host, port, "ann"), b"1", 500),
    }
    assert len(others - {same}) == 7


def test_an_event_id_follows_from_type_and_message_key() -> None:
    assert event_id("received", "k1") == event_id("received", "k1")
    assert len({event_id("received", "k1"), event_id("received", "k2"), event_id("failed", "k1")}) == 3


def test_the_layout_is_the_published_one() -> None:
    assert Layout("mail/in").folder("de", date(2026, 3, 9), "ab") == "mail/in/de/2026/03/09/ab"
    assert Layout().folder("de", None, "ab") == "de/undated/ab"
    assert Layout("p").state("de", "seen") == "p/de/_state/seen"
    assert attachment_name("2.1", "invoice.pdf") == "attachments/2.1-invoice.pdf"
