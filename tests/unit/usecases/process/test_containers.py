"""Files inside of attachments become attachments: winmail.dat, signed mail and files, PDF, and these nested."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from ingest.testing.scanner import MemoryScanner
from ingest.usecases.process.scanning import Scanning
from tests.support.clamav import SIGNATURE, VIRUS
from tests.support.cms import ENVELOPED, in_segments, pem, signed, signed_ber
from tests.support.containers import OFFER, PDF, SMIME, WINMAIL, mail_with, winmail
from tests.support.pdfs import Holding, pdf
from tests.support.processing import process
from tests.support.tnef import (
    BEGIN_FILE,
    CONTENT,
    LONG_NAME,
    MESSAGE,
    OBJECT,
    attached,
    attribute,
    properties,
    text,
    tnef,
    variable,
)

if TYPE_CHECKING:
    from collections.abc import Callable


XML = (
    b'<?xml version="1.0"?>\n<p:FatturaElettronica versione="FPR12" '
    b'xmlns:p="http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fatture/v1.2"/>'
)
CII = (
    b'<CrossIndustryInvoice xmlns="urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"><ExchangedDocument'
    b"Context><GuidelineSpecifiedDocumentContextParameter><ID>urn:cen.eu:en16931:2017#compliant#urn:factur-x.eu:1p0:"
    b"basic</ID></GuidelineSpecifiedDocumentContextParameter></ExchangedDocumentContext></CrossIndustryInvoice>"
)
P7M = "application/pkcs7-mime"


def test_files_in_a_winmail_dat_become_attachments_below_it() -> None:
    long = text(LONG_NAME, "Rechnung.pdf")
    found = process(mail_with(winmail(attached("R~1.PDF", PDF, long), attached("b.txt", b"text"))))
    assert found.described == [
        ("2", None, "attachment", "winmail.dat"),
        ("2.1", "2", "embedded", "Rechnung.pdf"),
        ("2.2", "2", "embedded", "b.txt"),
    ]
    assert found.contents["2.1"] == PDF
    assert found.contents["2.2"] == b"text"
    assert [each.detected_type for each in found.manifest.attachments] == [
        "application/ms-tnef",
        "application/pdf",
        "text/plain",
    ]
    assert found.parts["2.1"].object.key == "m/attachments/2.1-Rechnung.pdf"
    assert found.manifest.attachments_total == 3
    assert not any(each.defects for each in found.manifest.attachments)


def test_message_attached_in_a_winmail_dat_is_opened_too() -> None:
    held = variable(OBJECT, CONTENT, MESSAGE + tnef(attached("in.pdf", PDF)))
    outer = attribute(BEGIN_FILE, b"") + properties(text(0x3001, "Order"), held)
    found = process(mail_with(winmail(outer, attached("after.pdf", b"%PDF"))))
    assert [(part, name) for part, _, _, name in found.described] == [
        ("2", "winmail.dat"),
        ("2.1", "Order"),
        ("2.1.1", "in.pdf"),
        ("2.2", "after.pdf"),
    ]
    assert found.parts["2.1.1"].parent == "2.1"


def test_signed_mail_is_parsed_like_the_unsigned_mail() -> None:
    found = process(mail_with((*SMIME, signed(OFFER)), text=None))
    assert found.bodies == {"text": b"Signed.", "html": b"<p>Signed."}
    assert found.described == [("1", None, "attachment", "smime.p7m"), ("1.3", "1", "attachment", "o.pdf")]
    assert found.contents["1.3"] == b"%PDF-1.7 offer"
    assert found.manifest.parse.status == "complete"


def test_a_text_beside_signed_mail_is_the_body_wherever_it_stands() -> None:
    footer = b"--b\r\nContent-Type: text/plain\r\n\r\nFooter.\r\n--b--\r\n"
    found = process(mail_with((*SMIME, signed(OFFER)), text=None).replace(b"--b--\r\n", footer))
    assert found.bodies == {"text": b"Footer.", "html": b"<p>Signed."}
    assert [(part, role) for part, _, role, _ in found.described] == [
        ("1", "attachment"),
        ("1.1", "inline"),
        ("1.3", "attachment"),
    ]


def test_mail_that_was_signed_twice_has_one_body_of_each_kind() -> None:
    inner = b"--b\r\nContent-Type: application/pkcs7-mime; name=smime.p7m\r\n\r\n" + signed(OFFER) + b"\r\n"
    outer = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + inner
    outer += b"--b\r\nContent-Type: text/plain\r\n\r\nOutside.\r\n--b--\r\n"
    found = process(mail_with((*SMIME, signed(outer)), text=None))
    assert found.bodies == {"text": b"Outside.", "html": b"<p>Signed."}
    assert [part for part, *_ in found.described] == ["1", "1.1", "1.1.1", "1.1.3"]


def test_texts_signed_in_a_nested_message_are_not_bodies() -> None:
    inner = mail_with((*SMIME, signed(OFFER)), text=None)
    found = process(mail_with(("", "text/html", b""), ("", "message/rfc822", inner), text=None))
    assert found.bodies == {"html": b""}
    assert [(part, parent, role) for part, parent, role, _ in found.described] == [
        ("2", None, "message"),
        ("2.1", "2", "attachment"),
        ("2.1.1", "2.1", "inline"),
        ("2.1.2", "2.1", "inline"),
        ("2.1.3", "2.1", "attachment"),
    ]


def test_a_hybrid_pdf_carries_the_invoice_below_it() -> None:
    found = process(mail_with(("i.pdf", "application/pdf", pdf(Holding("factur-x.xml", CII, associated=True)))))
    assert found.described[1:] == [("2.1", "2", "embedded", "factur-x.xml")]
    assert found.contents["2.1"] == CII
    carrier, invoice = found.parts["2"], found.parts["2.1"].invoice
    assert invoice is not None
    assert (invoice.format, invoice.profile, invoice.confidence) == ("cii", "basic", "certain")
    assert carrier.invoice == invoice.model_copy(update={"carrier": "pdf"})
    assert not carrier.encrypted


def test_a_pdf_in_a_signed_file_in_a_winmail_dat_is_found() -> None:
    """The time of the guarded processes of one message is counted."""
    hybrid = pdf(Holding("xrechnung.xml", CII))
    found = process(mail_with(winmail(attached("i.pdf.p7m", signed(hybrid)), attached("j.pdf", hybrid))))
    assert [(part, name) for part, _, _, name in found.described] == [
        ("2", "winmail.dat"),
        ("2.1", "i.pdf.p7m"),
        ("2.1.1", "i.pdf"),
        ("2.1.1.1", "xrechnung.xml"),
        ("2.2", "j.pdf"),
        ("2.2.1", "xrechnung.xml"),
    ]
    assert {part: each.invoice and each.invoice.carrier for part, each in found.parts.items()} == {
        "2": None,
        "2.1": "p7m",
        "2.1.1": "pdf",
        "2.1.1.1": None,
        "2.2": "pdf",
        "2.2.1": None,
    }


def test_pdf_with_two_invoices_carries_the_certain_one() -> None:
    files = Holding("factur-x.xml", b"<other/>"), Holding("z.xml", CII), Holding("xrechnung.xml", b"<other/>")
    found = process(mail_with(("i.pdf", "application/pdf", pdf(*files))))
    certain = {each.filename: each.invoice.confidence for each in found.manifest.attachments if each.invoice}
    assert certain == {"i.pdf": "certain", "factur-x.xml": "likely", "xrechnung.xml": "likely", "z.xml": "certain"}


def test_encrypted_pdf_is_marked() -> None:
    closed, open_ = pdf(Holding("factur-x.xml", CII), password="x"), pdf(Holding("a.txt", b"a"), password="")
    found = process(mail_with(("a.pdf", "application/pdf", closed), ("b.pdf", "application/pdf", open_)))
    assert [(part, each.encrypted) for part, each in found.parts.items()] == [
        ("2", True),
        ("3", True),
        ("3.1", False),
    ]
    assert found.contents["3.1"] == b"a"


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "DER": signed,
    "BER": lambda content: signed_ber(in_segments([content])),
    "PEM": lambda content: pem(signed(content)),
    "base64": lambda content: base64.encodebytes(signed(content)),
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("declared", ["application/pkcs7-mime", "application/octet-stream", "text/plain"])
def test_a_signed_invoice_is_an_invoice_and_carries_one(declared: str, encode: Callable[[bytes], bytes]) -> None:
    found = process(mail_with(("IT01234567890_1.xml.p7m", declared, encode(XML))))
    assert found.described[1:] == [("2.1", "2", "embedded", "IT01234567890_1.xml")]
    assert found.contents["2.1"] == XML
    carrier, invoice = found.parts["2"], found.parts["2.1"].invoice
    assert invoice is not None
    assert (invoice.format, invoice.confidence, invoice.carrier) == ("fatturapa", "certain", None)
    assert carrier.invoice == invoice.model_copy(update={"carrier": "p7m"})
    assert carrier.detected_type == "application/pkcs7-mime"


def test_an_invoice_that_was_signed_twice_is_found_below_both() -> None:
    found = process(mail_with(("i.xml.p7m.p7m", "application/pkcs7-mime", signed(signed(XML)))))
    assert [(part, name) for part, _, _, name in found.described] == [
        ("2", "i.xml.p7m.p7m"),
        ("2.1", "i.xml.p7m"),
        ("2.1.1", "i.xml"),
    ]
    assert [each.invoice.carrier for each in found.manifest.attachments if each.invoice] == ["p7m", "p7m", None]


def test_a_signed_file_is_no_mail_even_if_it_looks_like_one() -> None:
    found = process(mail_with(("forward.eml.p7m", "application/pkcs7-mime", signed(OFFER))))
    assert found.described[1:] == [("2.1", "2", "embedded", "forward.eml")]
    found = process(mail_with(("smime.p7m", "application/pkcs7-mime", signed(b"Dear: all,\r\n\r\nnothing"))))
    assert found.described[1:] == [("2.1", "2", "embedded", "part-2.1.txt")]


def test_encrypted_mail_is_recognised_by_its_bytes() -> None:
    enveloped = signed_ber(b"", ENVELOPED)
    found = process(mail_with((*SMIME, enveloped), ("x.p7m", "text/plain", pem(enveloped))))
    assert [(part, role) for part, _, role, _ in found.described] == [("2", "encrypted"), ("3", "encrypted")]


def test_text_named_like_a_signature_stays_text() -> None:
    found = process(mail_with(("a.p7m", "text/plain", b"Mister Smith"), ("b.p7m", "text/plain", b"")))
    assert [(each.part, each.defects, each.role) for each in found.manifest.attachments] == [
        ("2", [], "attachment"),
        ("3", [], "attachment"),
    ]


def test_detached_signature_is_not_opened() -> None:
    (signature,) = process(mail_with(("smime.p7s", "application/pkcs7-signature", signed(b"x")))).manifest.attachments
    assert (signature.role, signature.detected_type) == ("signature", "application/pkcs7-signature")


def test_extracted_files_are_scanned_and_quarantined_like_attachments() -> None:
    scanning = Scanning(MemoryScanner({VIRUS: SIGNATURE}), quarantine=True)
    inside = b"Content-Type: application/pdf\r\n\r\n%PDF " + VIRUS
    mail = mail_with(winmail(attached("v.pdf", b"%PDF " + VIRUS)), (*SMIME, signed(inside)), text=None)
    found = process(mail, scanning=scanning)
    said = {part: each.scan.status for part, each in found.parts.items() if each.scan}
    assert said == dict.fromkeys(["1", "1.1", "2", "2.1"], "infected")
    assert found.parts["1.1"].object.key == "m/quarantine/1.1-v.pdf"
    assert found.manifest.scan is not None
    assert found.manifest.scan.infected == 4


def test_broken_container_yields_its_readable_files_and_is_stored_whole() -> None:
    data = tnef(attached("a.pdf", PDF), attached("b.pdf", PDF))[:-100]
    found = process(mail_with((*WINMAIL, data)))
    assert found.contents["2"] == data
    assert found.contents["2.1"] == PDF
    assert PDF.startswith(found.contents["2.2"])
    assert found.parts["2"].defects == ["container_broken"]
    assert found.parts["2.2"].defects == ["container_broken"]
    assert found.manifest.parse.status == "partial"
    whole = signed_ber(in_segments([OFFER]))
    cut_off = whole[: whole.index(b"<p>Si")]
    found = process(mail_with((*SMIME, cut_off), text=None))
    assert found.contents["1"] == cut_off
    assert found.bodies["text"] == b"Signed."
    assert "container_broken" in found.parts["1"].defects


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"--i\r\n\r\nx\r\n--i--\r\nsome words in the epilogue\r\n", "text_outside_parts"),
        (b"--i\r\n\r\nx\r\n--i some words behind the boundary\r\n\r\ny\r\n--i--\r\n", "delimiter_junk"),
        (b"--i\r\nContent-Type: application/pdf\r\nlost words\r\nX: y\r\n\r\nz\r\n--i--\r\n", "header_lines_skipped"),
    ],
)
def test_what_is_not_read_in_a_nested_message_makes_the_message_partial(content: bytes, code: str) -> None:
    nested = b'From: a@example.com\r\nContent-Type: multipart/mixed; boundary="i"\r\n\r\n' + content
    for name, declared in (("a.eml", "application/octet-stream"), ("", "message/rfc822")):
        found = process(mail_with((name, declared, nested)))
        reported = {*found.manifest.parse.defects, *found.parts["2"].defects}
        assert (code in reported, found.manifest.parse.status) == (True, "partial"), declared
    found = process(mail_with((*SMIME, signed(nested))))
    assert (code in found.parts["2"].defects, found.manifest.parse.status) == (True, "partial")


MAIL = (
    b"Return-Path: <a@example.com>\r\nSubject: s\r\nFrom: a@example.com\r\n"
    b'Content-Type: application/pdf; name="in.pdf"\r\n\r\n%PDF-1.7 in'
)


@pytest.mark.parametrize("name", ["", "message", "Re: your order 4.5", "FW.eml"])
@pytest.mark.parametrize(
    "before", [b"", b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"From a@example.com Mon Nov 23 10:00:00 2026\r\n"]
)
def test_mail_sent_as_a_file_without_a_type_is_opened(name: str, before: bytes) -> None:
    found = process(mail_with((name, "application/octet-stream", before + MAIL)))
    assert [(each.part, each.role) for each in found.manifest.attachments] == [
        ("2", "message"),
        ("2.1", "attachment"),
    ]
    assert found.contents["2"] == before + MAIL
    assert found.contents["2.1"] == b"%PDF-1.7 in"
    assert found.manifest.parse.status == "complete"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", MAIL),
        ("a.csv", MAIL),
        ("", b"Subject: one field is no mail\r\n\r\ntext"),
        ("", b"a: b\r\nc: d\r\n\r\n"),
    ],
)
def test_text_with_a_type_or_without_the_header_of_a_mail_is_a_file(name: str, content: bytes) -> None:
    found = process(mail_with((name, "application/octet-stream", content)))
    assert [(each.part, each.role) for each in found.manifest.attachments] == [("2", "attachment")]
