"""Authentication of messages. The reference implementation makes the signatures, and its results are compared."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dkim  # type: ignore[import-untyped] # it brings no types
import pytest

from ingest.adapters.dkim.keys import PublishedKeys
from ingest.adapters.dkim.resolver import DnsResolver
from ingest.domain.manifest import Authentication, DkimVerification
from ingest.domain.message import OpenMessage
from ingest.domain.record import ObjectRef
from ingest.errors import DnsUnavailableError
from ingest.mime.envelope import Trust
from ingest.usecases.process.authentication import Authenticator
from tests.support.dkim import DOMAIN, MAIL, NAME, SELECTOR, name_server, record, signed

if TYPE_CHECKING:
    from collections.abc import Callable

FORMS = (b"simple/simple", b"simple/relaxed", b"relaxed/simple", b"relaxed/relaxed")
RECEIVED = datetime(2026, 6, 1, 10, tzinfo=UTC)


def trusting(servers: dict[str, str]) -> Callable[[str], Trust]:
    return lambda mailbox: Trust(servers.get(mailbox))


def message(**changes: Any) -> OpenMessage:
    source = ObjectRef(bucket="b", key="k", size=1, sha256="")
    fields = {"key": "k", "mailbox": "a", "unique_id": "u", "folder": "f", "source": source, "first_seen": RECEIVED}
    return OpenMessage(**{**fields, "received_at": RECEIVED, **changes})


def judged(raw: bytes, authenticator: Authenticator, size: int = 65_536) -> Authentication | None:
    """Return the result for a message that is read in chunks of `size` bytes."""
    check = authenticator.begin(message())
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    assert b"".join(check.pass_through(iter(pieces))) == raw
    return check.result()


def verified(
    raw: bytes, records: dict[str, bytes] | None = None, *, largest: int = 2**20, size: int = 65_536
) -> DkimVerification:
    records = {NAME: record()} if records is None else records
    found = judged(raw, Authenticator(keys=PublishedKeys(records.get), dkim_bytes=largest), size)
    assert found is not None
    assert found.dkim_verified is not None
    return found.dkim_verified


def reasons(raw: bytes, records: dict[str, bytes] | None = None) -> list[tuple[str, str | None]]:
    return [(each.result, each.reason) for each in verified(raw, records, largest=2**24).signatures]


@pytest.mark.parametrize("forms", FORMS)
@pytest.mark.parametrize("size", [1, 2, 7, 65_536])
def test_valid_signature_passes_for_any_chunk_size(forms: bytes, size: int) -> None:
    found = verified(signed(forms=forms), size=size)
    assert found.result == "pass"
    (signature,) = found.signatures
    assert (signature.domain, signature.selector, signature.reason) == (DOMAIN, SELECTOR, None)


BODIES = [
    b"",
    b"\r\n",
    b"\r\n\r\n",
    b" \r\n",
    b"x\r\n",
    b"x \t \r\n \r\n\r\n",
    b"\r\n\r\nx\r\n",
    b"a\rb\r\r\n",
    b" a  b\r\n",
]


@pytest.mark.parametrize("forms", FORMS)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("size", [1, 3, 65_536])
def test_bodies_are_hashed_as_the_reference_does(forms: bytes, body: bytes, size: int) -> None:
    mail = b"From: ann@shop.example\r\nSubject: s\r\n\r\n" + body
    assert verified(signed(mail, forms), size=size).result == "pass"


@pytest.mark.parametrize("forms", FORMS)
def test_bare_line_feeds_are_verified_as_crlf(forms: bytes) -> None:
    assert verified(signed(forms=forms).replace(b"\r\n", b"\n"), size=5).result == "pass"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"Ann  <ann@", b"Eve <ann@", "signature"),
        (b"Please", b"please", "body"),
        (b"Yours", b"Yours\r\nP.S.", "body"),
        (b"To: bob", b"From: eve@evil.example\r\nTo: bob", "from"),
    ],
)
def test_changed_message_fails_verification(old: bytes, new: bytes, reason: str) -> None:
    raw = signed()
    assert old in raw
    assert reasons(raw.replace(old, new)) == [("fail", reason)]


@pytest.mark.slow
def test_results_equal_those_of_the_reference_implementation() -> None:
    """Mutations of a signed mail, in each pair of forms: blanks, letter case, bytes, lines at the end."""
    chance = random.Random(6376)  # noqa: S311 - the same mails each time
    for _ in range(400):
        mutated = mutation(signed(forms=chance.choice(FORMS)), chance)
        if re.search(rb"(?<!\r)\n|\r(?!\n)|^\w+ :", mutated, re.MULTILINE):
            continue  # half a line end, or a blank before a colon, which the reference reads in its own way
        assert (verified(mutated).result == "pass") == holds_for_the_reference(mutated), mutated


def mutation(raw: bytes, chance: random.Random) -> bytes:
    """The mail with one change somewhere below its signature."""
    at = chance.randrange(raw.index(b"From:"), len(raw))
    return chance.choice(
        [
            raw[:at] + b" " + raw[at:],
            raw[:at] + raw[at + 1 :],
            raw[:at] + bytes([raw[at] ^ 0x20]) + raw[at + 1 :],
            raw + b"\r\n" * chance.randrange(3),
        ]
    )


def holds_for_the_reference(raw: bytes) -> bool:
    try:
        return bool(dkim.verify(raw, dnsfunc=lambda *_, **__: record()))
    except dkim.DKIMException:
        return False


def test_length_limited_signature_does_not_cover_appended_content() -> None:
    raw = signed(length=True)
    assert reasons(raw) == [("pass", None)]
    assert reasons(raw + b"Pay to another account.\r\n") == [("fail", "partial")]


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ({}, "no_key"),
        ({NAME: b""}, "key"),
        ({NAME: b"v=DKIM1; p="}, "key"),
        ({NAME: b"v=DKIM2; " + record()[9:]}, "key"),
        ({NAME: record() + b"; h=sha1"}, "key"),
        ({NAME: record() + b"; s=tlsrpt"}, "key"),
        ({NAME: record().replace(b"k=rsa", b"k=ed25519")}, "key"),
        ({NAME: record()[:-40]}, "key"),
        ({NAME: record() + b" " * 5000}, "key"),
        ({NAME: b"\xff\0;;=;p=%"}, "key"),
    ],
)
def test_signature_without_a_usable_key_is_an_error(records: dict[str, bytes], reason: str) -> None:
    assert reasons(signed(), records) == [("error", reason)]
    assert verified(signed(), records).result == "error"


@pytest.mark.parametrize(("bits", "reason"), [(1023, "key"), (1024, "signature"), (4096, "signature"), (4097, "key")])
def test_keys_that_are_too_short_or_too_long_are_not_used(bits: int, reason: str) -> None:
    ((_, found),) = reasons(signed(), {NAME: record(2**bits - 1)})
    assert found == reason


def test_extra_blanks_tags_and_flags_in_a_key_record_are_accepted() -> None:
    key = record().replace(b"; ", b" ;\r\n\t").replace(b"p=", b"n=note; t=y:s; h=sha1:sha256; s=email; p= ")
    assert reasons(signed(), {NAME: key}) == [("pass", None)]


def test_key_restricted_to_the_domain_does_not_sign_for_subdomains() -> None:
    raw = signed(identity=b"ann@sub." + DOMAIN.encode())
    assert reasons(raw) == [("pass", None)]
    assert reasons(raw, {NAME: record() + b"; t=s"}) == [("error", "key")]


@pytest.mark.parametrize(
    ("old", "new", "result", "reason"),
    [
        (b"v=1;", b"v=2;", "error", "malformed"),
        (b"v=1;", b"v=1; v=1;", "error", "malformed"),
        (b"v=1;", b"v=1; x=1780000000;", "fail", "expired"),
        (b"v=1;", b"v=1; x=soon;", "error", "malformed"),
        (b"v=1;", b"v=1; l=-1;", "error", "malformed"),
        (b"a=rsa-sha256", b"a=rsa-sha1", "error", "algorithm"),
        (b"c=relaxed/relaxed", b"c=nofws", "error", "malformed"),
        (b"i=@shop.example", b"i=@evilshop.example", "error", "malformed"),
        (b"d=shop.example", b"d=../../x", "error", "malformed"),
        (b"h=from :", b"h=", "fail", "from"),
        (b"b=", b"b=*", "error", "malformed"),
    ],
)
def test_invalid_signature_field_fails_verification(old: bytes, new: bytes, result: str, reason: str) -> None:
    raw = signed()
    assert old in raw
    assert reasons(raw.replace(old, new, 1)) == [(result, reason)]


def test_expiry_is_compared_with_the_time_of_receipt() -> None:
    raw = signed().replace(b"v=1;", b"v=1; x=%d;" % (RECEIVED.timestamp() + 1), 1)
    assert reasons(raw) == [("fail", "signature")], "not expired; the test changed what was signed"


def test_one_valid_signature_is_enough_and_a_silent_dns_is_an_error() -> None:
    other = signed().replace(b"d=shop.example", b"d=list.example", 1).replace(b"i=@shop", b"i=@list", 1)
    both = other.partition(b"Received:")[0] + signed()
    assert [each[0] for each in reasons(both)] == ["error", "pass"]
    assert verified(both).result == "pass"

    def silent(name: str) -> bytes | None:
        raise DnsUnavailableError

    found = judged(signed(), Authenticator(keys=PublishedKeys(silent), dkim_bytes=2**20))
    assert found is not None
    assert found.dkim_verified is not None
    assert found.dkim_verified.result == "error"
    assert found.dkim_verified.signatures[0].reason == "dns"


def test_at_most_five_signatures_are_looked_up_in_the_dns() -> None:
    asked: list[str] = []
    raw = signed().partition(b"Received:")[0] * 100 + MAIL
    judged(raw, Authenticator(keys=PublishedKeys(asked.append), dkim_bytes=2**24))
    assert asked == [NAME] * 5


def test_signatures_of_large_messages_are_not_verified() -> None:
    raw = signed()
    assert verified(raw, largest=len(raw)).result == "pass"
    assert verified(raw, largest=len(raw) - 1).result == "too_large"
    assert verified(b"X: y\r\n" * 100_000 + raw).result == "too_large"
    assert verified(MAIL, largest=1).result == "none"
    of_top = (
        Authenticator(keys=PublishedKeys(dict[str, bytes]().get), dkim_bytes=2**20)
        .begin(message())
        .result_of_header(raw)
    )
    assert of_top == Authentication(dkim_verified=DkimVerification(result="too_large"))


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"\r\n" + signed(), b"x", MAIL, MAIL + signed()])
def test_message_without_signature_has_result_none(raw: bytes) -> None:
    assert verified(raw, size=1) == DkimVerification(result="none")


@pytest.mark.parametrize("filler", [b" ", b"\r\n", b"\r", b"\n", b" \r", b" \r\n", b"\t \r\n "])
@pytest.mark.parametrize("forms", [b"simple/simple", b"relaxed/relaxed"])
def test_long_runs_of_blanks_and_line_ends_are_held_back_no_longer_than_needed(filler: bytes, forms: bytes) -> None:
    """A quadratic reader would need hours for these."""
    raw = signed(forms=forms)
    assert reasons(raw + filler * (2**22 // len(filler)) + b"x")[0][0] in ("fail", "error")
    head, _, rest = raw.partition(b"DKIM-Signature:")
    assert verified(head + b"DKIM-Signature:" + b" " * 16_000 + rest).result in ("pass", "fail", "error")


def test_example_of_rfc_8463_passes() -> None:
    raw = (
        b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
        b" d=football.example.com; i=@football.example.com;\r\n"
        b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
        b" subject : date : message-id : from : subject : date;\r\n"
        b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
        b" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
        b" Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
        b"From: Joe SixPack <joe@football.example.com>\r\n"
        b"To: Suzie Q <suzie@shopping.example.net>\r\n"
        b"Subject: Is dinner ready?\r\n"
        b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
        b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
        b"\r\nHi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
    )
    key = b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    assert reasons(raw, {"brisbane._domainkey.football.example.com": key}) == [("pass", None)]
    assert reasons(raw.replace(b"Suzie", b"Susie"), {"brisbane._domainkey.football.example.com": key}) == [
        ("fail", "signature")
    ]


def test_keys_are_found_in_the_dns() -> None:
    with name_server({NAME: record()}) as server:
        resolver = DnsResolver(5, server)
        assert resolver.txt(NAME) == record(), "longer than one string of a record"
        assert resolver.txt("k2._domainkey.shop.example") is None
        assert resolver.txt("x" * 64 + ".example") is None
        found = judged(signed(), Authenticator(keys=PublishedKeys(resolver.txt), dkim_bytes=2**20))
    assert found is not None
    assert found.dkim_verified is not None
    assert found.dkim_verified.result == "pass"


def test_silent_dns_is_waited_for_within_its_timeout() -> None:
    with name_server({}) as server, pytest.raises(DnsUnavailableError):
        DnsResolver(0.3, server).txt("k1._domainkey.silent.example")


def test_trusted_server_is_taken_from_the_mailbox() -> None:
    raw = b"Authentication-Results: mx.example.org; dmarc=pass header.from=a.example\r\nSubject: s\r\n\r\n"
    found = judged(raw, Authenticator(trusting({"a": "mx.example.org"})))
    assert found is not None
    assert [(each.method, each.result) for each in found.results] == [("dmarc", "pass")]
    assert found.authserv_id == "mx.example.org"
    assert found.dkim_verified is None
    assert judged(raw, Authenticator(trusting({"b": "mx.example.org"}))) is None
    assert Authenticator(trusting({"a": "mx.example.org"})).begin(message()).result_of_header(raw) == found
    other = judged(raw, Authenticator(trusting({"a": "mx.example.net"})))
    assert other == Authentication()
