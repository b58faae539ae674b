"""Attachments are grouped into documents by facts, each is in exactly one, and the reasons say why."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from ingest.domain.invoice import Invoice, InvoiceFields
from ingest.domain.manifest import Attachment
from ingest.domain.record import ObjectRef
from ingest.mime.pictures import picture_size
from ingest.usecases.process.documents import group_documents
from tests.support.habits import HABITS, SIGNATURE_HTML, Habit, a, jpeg, mail, png, shown, xml
from tests.support.processing import Processed, process

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from ingest.domain.manifest import Manifest


def documents(manifest: Manifest) -> list[tuple[str, ...]]:
    """Kind and file names of each document."""
    names = {attachment.part: attachment.filename for attachment in manifest.attachments}
    return [(each.kind, *(names[part] for part in each.parts)) for each in manifest.documents]


def test_corpus_has_sixty_mails_of_different_names() -> None:
    assert len({habit.name for habit in HABITS}) == len(HABITS) >= 60


@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.name)
def test_mail_is_read_as_a_person_reads_it(habit: Habit) -> None:
    manifest = process(habit.raw).manifest
    assert documents(manifest) == habit.documents
    assert (manifest.automatic and manifest.automatic.kind) == habit.automatic
    recipients = [each.address for each in manifest.envelope.recipients] if manifest.envelope else []
    assert recipients == habit.recipients


@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.name)
def test_each_attachment_is_in_exactly_one_document(habit: Habit) -> None:
    manifest = process(habit.raw).manifest
    counted = Counter(part for document in manifest.documents for part in document.parts)
    assert counted == Counter(attachment.part for attachment in manifest.attachments)
    assert all(document.main == document.parts[0] for document in manifest.documents)
    assert all(document.reasons for document in manifest.documents)


def test_signed_pdf_belongs_to_its_invoice_too() -> None:
    parts = a("R-17.pdf", b"%PDF-1.4\n"), a("R-17.pdf.p7s", b"0"), xml("R-17.xml")
    assert documents(process(mail(*parts)).manifest) == [("invoice", "R-17.pdf", "R-17.pdf.p7s", "R-17.xml")]


def test_pgp_message_is_encrypted_whatever_it_is_declared_as() -> None:
    found = process(mail(a("encrypted.asc", b"-----BEGIN PGP MESSAGE-----\n\nhQ==\n-----END PGP MESSAGE-----\n")))
    assert [each.role for each in found.manifest.attachments] == ["encrypted"]
    assert documents(found.manifest) == [("encrypted", "encrypted.asc")]
    assert documents(process(mail(a("offer.pdf.pgp", b"\x85\1\x0c"))).manifest) == [("encrypted", "offer.pdf.pgp")]


def reasons(found: Processed, number: int) -> list[tuple[str, str, str | None]]:
    return [(each.code, each.part, each.fact) for each in found.manifest.documents[number].reasons]


def test_reasons_name_the_facts_of_a_logo() -> None:
    found = process(mail(shown("i.png", png(180, 60, 6000), "image001.png@01D9"), html=SIGNATURE_HTML))
    part = found.manifest.attachments[0].part
    assert reasons(found, 0) == [
        ("type", part, "image/png"),
        ("bytes", part, "6000"),
        ("pixels", part, "180x60"),
        ("referred_to_by_text", part, None),
    ]


def test_reasons_say_why_parts_belong_together() -> None:
    found = process(mail(a("R-4711.pdf"), xml("R-4711.xml")))
    assert reasons(found, 0) == [("invoice_format", "3", "ubl"), ("same_name", "3", None)]


@pytest.mark.parametrize(
    ("data", "media_type", "size"),
    [
        (png(3, 5), "image/png", (3, 5)),
        (jpeg(640, 480), "image/jpeg", (640, 480)),
        (b"GIF89a\x2c\1\x90\1", "image/gif", (300, 400)),
        (
            b"BM" + bytes(16) + (7).to_bytes(4, "little") + (-9).to_bytes(4, "little", signed=True),
            "image/bmp",
            (7, 9),
        ),
        (b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\x09\0\0\x13\0\0", "image/webp", (10, 20)),
        (b"RIFF\0\0\0\0WEBPVP8L" + bytes(5) + ((9) | (19 << 14)).to_bytes(4, "little"), "image/webp", (10, 20)),
        (b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + b"\x0a\0\x14\0", "image/webp", (10, 20)),
        (b'<svg xmlns="s" width="30px" viewBox="0 0 1 1" height="40">', "image/svg+xml", (30, 40)),
    ],
)
def test_size_of_a_picture_is_read_from_its_first_bytes(data: bytes, media_type: str, size: tuple[int, int]) -> None:
    assert picture_size(data, media_type) == size


@pytest.mark.parametrize(
    "media_type", ["image/png", "image/jpeg", "image/gif", "image/bmp", "image/webp", "image/heic"]
)
@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", b"\xff" * 50, bytes(100), b"RIFF\0\0\0\0WEBPVP9 " + bytes(40)]
)
def test_damaged_picture_has_no_size(data: bytes, media_type: str) -> None:
    found = picture_size(data, media_type)
    assert found is None or max(found) <= 1_000_000
    assert picture_size(b"", media_type) is None


def _attachment(part: str, name: str, detected: str, parent: str | None = None, **more: object) -> Attachment:
    stored = ObjectRef(bucket="b", key=part, size=1, sha256="0" * 64)
    given = {"role": "attachment", "declared_type": detected, "size": 1, "sha256": "0" * 64, "object": stored, **more}
    return Attachment.model_validate(
        {"part": part, "parent": parent, "filename": name, "detected_type": detected, **given}
    )


def _invoice(number: str) -> Invoice:
    return Invoice(format="ubl", confidence="certain", fields=InvoiceFields(number=number))


def _pairs(count: int) -> list[Attachment]:
    """Invoices, and PDFs that have nothing to do with them."""
    found = [_attachment(f"{at}", f"x{at}.xml", "application/xml", invoice=_invoice(f"N{at}")) for at in range(count)]
    return found + [_attachment(f"{count + at}", f"scan{at}.pdf", "application/pdf") for at in range(count)]


def _same_numbers(count: int) -> list[Attachment]:
    found = [_attachment(f"{at}", f"x{at}.xml", "application/xml", invoice=_invoice("2026")) for at in range(count)]
    elsewhere = [_attachment(f"{count + at}", "2026.pdf", "application/pdf", f"{at}") for at in range(count)]
    return found + elsewhere


def _signatures(count: int) -> list[Attachment]:
    return [_attachment(f"{at}", f"{at}.txt.sig", "application/octet-stream") for at in range(count)]


def _one_group(count: int) -> list[Attachment]:
    """Signed files inside each other, with invoices that no PDF belongs to."""
    kind = "application/pkcs7-mime"
    found = [_attachment("1", "a.p7m", kind)]
    for at in range(1, count):
        invoice = _invoice(f"M{at}") if at % 2 else None
        found.append(_attachment(f"1.{at}", f"b{at}.p7m", kind, "1", role="embedded", invoice=invoice))
    return [*found, _attachment("2", "other.pdf", "application/pdf")]


def _signed(count: int) -> list[Attachment]:
    return [_attachment(f"{at}", f"b{at}.p7m", "application/pkcs7-mime") for at in range(count)]


def _steps(attachments: list[Attachment]) -> int:
    """How many lines of the module run, each turn of a loop counted."""
    steps = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal steps
        if frame.f_code.co_filename != group_documents.__code__.co_filename:
            return None
        steps += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        group_documents(attachments)
    finally:
        sys.settrace(before)
    return steps


@pytest.mark.parametrize("hostile", [_pairs, _same_numbers, _signatures, _one_group, _signed])
def test_work_grows_no_faster_than_the_number_of_attachments(
    hostile: Callable[[int], list[Attachment]],
) -> None:
    assert _steps(hostile(800)) < 2.5 * _steps(hostile(400))


def test_invoice_joins_the_first_pdf_with_its_number_and_leaves_others_alone() -> None:
    found = group_documents(
        [
            _attachment("1", "a.xml", "application/xml", invoice=_invoice("RE-4711")),
            _attachment("2", "b.xml", "application/xml", invoice=_invoice("RE-4711")),
            _attachment("3", "terms.pdf", "application/pdf"),
            _attachment("4", "RE 4711.pdf", "application/pdf"),
            _attachment("5", "copy of re_4711.pdf", "application/pdf"),
            _attachment("6", "re4711.pdf", "application/pdf"),
        ]
    )
    assert [document.parts for document in found] == [["4", "1"], ["5", "2"], ["3"], ["6"]]
