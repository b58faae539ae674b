"""What came before is marked: a message in any mailbox, a file, an invoice; and the answer stays the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ingest.domain.cloudevents import event_of
from ingest.domain.content import MOST_DIGESTS, content_digests
from ingest.domain.events import MAX_EVENT_BYTES
from ingest.domain.mail import Address
from ingest.domain.manifest import Manifest
from ingest.domain.marks import Duplicate
from ingest.domain.message import OpenMessage
from ingest.errors import StoreUnavailableError
from tests.support.bench import Bench, bench, mail, mailbox, message_key, never
from tests.support.habits import a, jpeg, png, shown, xml
from tests.support.habits import mail as business_mail
from tests.support.processing import process

if TYPE_CHECKING:
    from collections.abc import Iterator

PDF = b"%PDF-1.4 terms and conditions"
RAW = mail("Invoice 1714", attachment=PDF)


@pytest.fixture
def b() -> Iterator[Bench]:
    with bench(mailbox("a"), mailbox("b")) as b:
        yield b


def manifests(b: Bench) -> dict[str, Manifest]:
    """By message key."""
    found = [
        Manifest.model_validate_json(stored.content)
        for key, stored in b.store.objects.items()
        if key.endswith("/message.json") and b"mailhaul.message" in stored.content
    ]
    return {manifest.message_key: manifest for manifest in found}


def handle(b: Bench, box: str, raw: bytes) -> Manifest:
    """Let a mailbox have a mail, and process it."""
    b.maildrops[box].messages[b"u%d" % len(b.maildrops[box].messages)] = raw
    b.everything()
    return manifests(b)[message_key(box, raw)]


TRANSPORTED = (
    b"Return-Path: <bounce@example.org>\r\nDelivered-To: other@example.com\r\nX-Original-To: x@example.com\r\n"
    b"X-UIDL: 0001\r\nStatus: RO\r\nX-Spam-Score: 3\r\nAuthentication-Results: mx; spf=pass\r\n"
    b"Received: from elsewhere by here; Tue, 24 Nov 2026 08:00:00 +0000\r\n"
)


@pytest.mark.parametrize("box", ["a", "b"])
def test_copy_by_other_servers_is_a_duplicate_in_this_mailbox_and_another(b: Bench, box: str) -> None:
    first = handle(b, "a", RAW)
    assert first.duplicate_of is None
    again = handle(b, box, TRANSPORTED + RAW)
    assert again.duplicate_of is not None
    assert (again.duplicate_of.message_key, again.duplicate_of.by) == (first.message_key, "content")
    assert again.content_sha256 == first.content_sha256
    assert [each.data["duplicate_of"] for each in events(b)][-1] == {
        "message_key": first.message_key,
        "by": "content",
    }
    assert len(b.sinks["main"].delivered) == 2, "nothing is dropped"


class _Event:
    def __init__(self, body: bytes) -> None:
        self.data = json.loads(body)["data"]


def events(b: Bench) -> list[_Event]:
    return [_Event(event.body) for event in b.sinks["main"].delivered]


def test_folded_header_and_other_encoding_make_no_difference() -> None:
    head = b"From: a@example.org\r\nSubject: %b\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: %b\r\n\r\n%b"
    one = process(head % (b"A long subject", b"7bit", b"Text = text\r\n"))
    other = process(b"X-New: 1\r\n" + head % (b"A long\r\n subject", b"quoted-printable", b"Text =3D text\r\n"))
    assert one.manifest.content_sha256 == other.manifest.content_sha256


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Subject: Invoice 1714", b"Subject: Invoice 1715"),
        (b"Hello.", b"Hello!"),
        (b"terms and", b"terms or"),
        (b"i.pdf", b"j.pdf"),
        (b"From: billing", b"From: sales"),
        (b"Subject:", b"Message-ID: <1@example.org>\r\nSubject:"),
    ],
)
def test_other_content_is_no_duplicate(b: Bench, old: bytes, new: bytes) -> None:
    handle(b, "a", RAW)
    assert RAW.count(old) >= 1
    assert handle(b, "a", RAW.replace(old, new)).duplicate_of is None


def test_message_that_was_not_read_as_a_whole_is_compared_with_none() -> None:
    cut = RAW.partition(b"--b--")[0].replace(b"--b\r\n", b"--b\r\n" * 1100, 1)
    manifest = process(cut).manifest
    assert manifest.parse.status == "partial"
    assert manifest.content_sha256 is None


def earlier(manifest: Manifest) -> list[tuple[str, str | None, str | None]]:
    """Kind, message and reason of each document."""
    return [
        (each.kind, each.duplicate_of.message_key, each.duplicate_of.by)
        if each.duplicate_of is not None
        else (each.kind, None, None)
        for each in manifest.documents
    ]


def test_file_with_the_same_bytes_is_a_duplicate_and_a_logo_is_not(b: Bench) -> None:
    logo = shown("i.png", png(180, 60, 6000), "image001.png@01D9")
    html = '<p>Hello</p><img src="cid:image001.png@01D9">'
    photo = a("p.jpg", jpeg(1200, 900, 50_000), "image/jpeg")
    first = handle(b, "a", business_mail(logo, photo, a("terms.pdf", PDF), html=html))
    other = b"Subject: another\r\n" + business_mail(logo, photo, a("AGB.pdf", PDF), html=html)
    again = handle(b, "b", other)
    assert again.duplicate_of is None
    key = first.message_key
    assert earlier(again) == [("logo", None, None), ("image", key, "file"), ("document", key, "file")]
    assert earlier(first) == [("logo", None, None), ("image", None, None), ("document", None, None)]


def pictures(manifest: Manifest) -> list[tuple[str, str | None, str | None]]:
    """Kind of each document, the message with the same picture of this sender, and the message with the same file."""
    return [
        (
            each.kind,
            next((reason.fact for reason in each.reasons if reason.code == "in_earlier_mail_of_sender"), None),
            each.duplicate_of.message_key if each.duplicate_of is not None else None,
        )
        for each in manifest.documents
    ]


BANNER = a("image002.png", png(500, 300, 20_000), "image/png")
SCREENSHOT = a("screen.png", png(1200, 900, 90_000), "image/png")
LETTER = business_mail(BANNER, SCREENSHOT)


def test_small_picture_that_a_sender_repeats_is_a_logo(b: Bench) -> None:
    first = handle(b, "a", LETTER)
    assert pictures(first) == [("image", None, None)] * 2
    key = first.message_key
    again = handle(b, "b", b"Subject: another\r\n" + LETTER)
    assert pictures(again) == [("logo", key, None), ("image", key, key)]
    reasons = again.documents[0].reasons
    assert [reason.code for reason in reasons] == ["type", "bytes", "pixels", "in_earlier_mail_of_sender"]
    b.runtime.processor.process(opened(b, again))
    assert manifests(b)[again.message_key].documents == again.documents, "the same answer"


def opened(b: Bench, manifest: Manifest) -> OpenMessage:
    assert manifest.raw is not None
    assert manifest.manifest is not None
    return OpenMessage(
        key=manifest.message_key,
        mailbox=manifest.mailbox.id,
        unique_id="u",
        folder=manifest.manifest.rpartition("/")[0],
        source=manifest.raw,
        first_seen=b.clock.now(),
    )


@pytest.mark.parametrize(
    "other",
    [
        b"From: somebody@else.example\r\nSubject: another\r\n" + LETTER,  # of two From fields the first counts
        TRANSPORTED + LETTER,
    ],
)
def test_picture_of_another_sender_or_of_a_copy_proves_nothing(b: Bench, other: bytes) -> None:
    handle(b, "a", LETTER)
    assert [each[:2] for each in pictures(handle(b, "b", other))] == [("image", None)] * 2


def test_pictures_that_senders_repeat_are_restored_with_the_digests(b: Bench) -> None:
    first = handle(b, "b", LETTER)
    handle(b, "a", b"Subject: second\r\n" + LETTER)  # mailbox `a` is rebuilt first
    b.clock.time += 86_400
    b.ledger.lose()
    b.everything()
    third = handle(b, "a", b"Subject: third\r\n" + LETTER)
    assert pictures(third)[0] == ("logo", first.message_key, None)


def invoice(number: str, seller: str, note: str = "") -> bytes:
    ubl = "urn:oasis:names:specification:ubl:schema:xsd:"
    return (
        f'<Invoice xmlns="{ubl}Invoice-2" xmlns:cbc="{ubl}CommonBasicComponents-2" '
        f'xmlns:cac="{ubl}CommonAggregateComponents-2"><cbc:CustomizationID>urn:cen.eu:en16931:2017'
        f"</cbc:CustomizationID><cbc:ID>{number}</cbc:ID><cbc:Note>{note}</cbc:Note><cac:AccountingSupplierParty>"
        f"<cac:Party><cac:PartyTaxScheme><cbc:CompanyID>{seller}</cbc:CompanyID><cac:TaxScheme><cbc:ID>VAT</cbc:ID>"
        "</cac:TaxScheme></cac:PartyTaxScheme></cac:Party></cac:AccountingSupplierParty></Invoice>"
    ).encode()


@pytest.mark.parametrize(
    ("number", "seller", "same"),
    [
        ("RE-1714", "DE123456789", True),
        ("re-1714", "DE 123 456 789", True),
        ("RE-1715", "DE123456789", False),
        ("RE-1714", "DE987654321", False),
    ],
)
def test_invoice_of_the_same_seller_and_number_is_a_duplicate(
    b: Bench, number: str, seller: str, *, same: bool
) -> None:
    first = handle(b, "a", business_mail(xml("i.xml", invoice("RE-1714", "DE123456789"))))
    other = business_mail(xml("j.xml", invoice(number, seller, "reminder")))
    assert earlier(first) == [("invoice", None, None)]
    assert earlier(handle(b, "b", other)) == [
        ("invoice", first.message_key, "invoice") if same else ("invoice", None, None)
    ]


def test_file_that_is_twice_in_one_message_is_no_duplicate(b: Bench) -> None:
    twice = business_mail(a("a.pdf", PDF), a("b.pdf", PDF))
    assert earlier(handle(b, "a", twice)) == [("document", None, None)] * 2


def test_answer_is_the_same_when_messages_are_processed_again(b: Bench) -> None:
    first, again = handle(b, "a", RAW), handle(b, "b", TRANSPORTED + RAW)
    mark = b.runtime.processor.duplicates
    assert mark is not None
    for _ in range(2):
        assert mark.mark(first.model_copy()) == first
        assert mark.mark(again.model_copy(update={"duplicate_of": None})) == again


def test_message_that_failed_between_ledger_and_manifest_gets_the_same_answer(b: Bench) -> None:
    b.maildrops["a"].messages[b"u"] = RAW
    b.poll_all()

    def fault(operation: str, key: str) -> None:
        if operation == "put" and key.endswith("message.json"):
            raise StoreUnavailableError("unavailable")

    b.store.fault = fault
    b.process_stage.run(never)
    b.store.fault = None
    assert manifests(b) == {}
    copy = handle(b, "b", TRANSPORTED + RAW)
    b.clock.time += 3600
    b.everything()
    first = manifests(b)[message_key("a", RAW)]
    assert first.duplicate_of is None
    assert copy.duplicate_of is not None
    assert copy.duplicate_of.message_key == first.message_key


def test_lost_digests_are_restored_from_manifests_in_any_order(b: Bench) -> None:
    first = handle(b, "b", RAW)
    handle(b, "a", TRANSPORTED + RAW)  # mailbox `a` is rebuilt first
    b.clock.time += 86_400
    b.ledger.lose()
    b.everything()
    third = handle(b, "a", b"X-UIDL: 3\r\n" + RAW)
    assert third.duplicate_of is not None
    assert third.duplicate_of.message_key == first.message_key
    assert earlier(third) == [("document", first.message_key, "file")]


def test_message_that_was_purged_while_it_was_processed_is_forgotten(b: Bench) -> None:
    b.maildrops["a"].messages[b"u"] = RAW
    b.poll_all()
    (message,) = b.ledger.open_messages([message_key("a", RAW)])
    assert message is not None
    b.runtime.processor.process(message)
    b.store.alter(f"{message.folder}/raw.eml", b"")
    assert b.process_stage.retraction.retract(message, b.clock.now(), written=True)
    assert handle(b, "b", TRANSPORTED + RAW).duplicate_of is None


def test_only_what_may_be_lost_is_read_again_after_a_restart_of_the_ledger(b: Bench) -> None:
    handle(b, "a", RAW)
    b.clock.time += 3600
    b.everything()
    b.watermark.try_to_write(["a", "b"], ["main"], b.clock.time)
    b.clock.time += 3600
    b.ledger.restart()
    read: list[str] = []
    b.store.fault = lambda operation, key: read.append(key) if operation == "get" else None
    b.everything()
    assert [key for key in read if key.endswith("message.json")] == []
    b.store.fault = None
    assert handle(b, "b", TRANSPORTED + RAW).duplicate_of is not None


def test_nothing_is_asked_where_duplicates_are_switched_off() -> None:
    manifest = process(RAW).manifest
    assert manifest.duplicate_of is None
    assert manifest.content_sha256 is not None


def test_event_without_attachments_still_says_what_came_before() -> None:
    manifest = process(RAW).manifest
    earlier = Duplicate(message_key="1" * 32, by="content")
    addresses = [Address(name="n" * 500, address="a" * 500)] * 90
    headers = manifest.headers.model_copy(update={"to": addresses, "from_": addresses})
    large = manifest.model_copy(update={"duplicate_of": earlier, "headers": headers})
    event = event_of(large, datetime(2026, 11, 23, tzinfo=UTC))
    assert len(event.body) <= MAX_EVENT_BYTES
    data = json.loads(event.body)["data"]
    assert data["duplicate_of"] == {"message_key": "1" * 32, "by": "content"}
    assert data["content_sha256"] == manifest.content_sha256


def test_mail_of_many_files_has_few_digests() -> None:
    many = business_mail(*(a(f"{number}.pdf", f"%PDF-1.4 {number}".encode()) for number in range(90)))
    assert len(content_digests(process(many).manifest)) == MOST_DIGESTS


def test_empty_file_is_no_duplicate() -> None:
    manifest = process(business_mail(a("a.txt", b"", "text/plain"), xml("b.xml", b"<a/>"))).manifest
    assert [each.by for each in content_digests(manifest)].count("file") <= 1
