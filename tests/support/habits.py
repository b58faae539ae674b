"""Mails as programs and people send them, each with the documents, delivery and kind that are to be found in it.

Written for these tests after the habits of the programs named; no mail of anybody is in here.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass, field
from typing import Any

from tests.support.cms import signed
from tests.support.pdfs import Holding, pdf

UBL = (
    b'<?xml version="1.0"?><Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2" '
    b'xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">'
    b"<cbc:CustomizationID>urn:cen.eu:en16931:2017</cbc:CustomizationID><cbc:ID>RE-2026-0815</cbc:ID></Invoice>"
)
CII = (
    b'<?xml version="1.0"?><rsm:CrossIndustryInvoice '
    b'xmlns:rsm="urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100" '
    b'xmlns:ram="urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100">'
    b"<rsm:ExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter>"
    b"<ram:ID>urn:cen.eu:en16931:2017</ram:ID></ram:GuidelineSpecifiedDocumentContextParameter>"
    b"</rsm:ExchangedDocumentContext></rsm:CrossIndustryInvoice>"
)
FATTURA = (
    b'<?xml version="1.0"?><p:FatturaElettronica versione="FPR12" '
    b'xmlns:p="http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fatture/v1.2"><FatturaElettronicaHeader/>'
    b"<FatturaElettronicaBody/></p:FatturaElettronica>"
)
PDF = b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"
ZIP = b"PK\3\4\x14\0\0\0\0\0" + bytes(40)
TIFF = b"II*\0" + bytes(40)
XLSX = b"PK\3\4\x14\0\0\0\0\0" + bytes(16) + struct.pack("<HH", 19, 0) + b"[Content_Types].xml" + b"PK xl/"
ICS = b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:1@example.org\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
VCARD = b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ann\r\nEND:VCARD\r\n"


def png(width: int, height: int, size: int = 200) -> bytes:
    """Return what begins like a picture of this size in pixels, and has this size in bytes."""
    return (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)).ljust(size, b"\x08")


def jpeg(width: int, height: int, size: int = 5000) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", 2000) + b"Exif\0\0" + bytes(1992)
    return (b"\xff\xd8" + exif + b"\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width)).ljust(size, b"\x03")


@dataclass(frozen=True)
class File:
    """One attached file."""

    name: str
    type: str
    content: bytes
    disposition: str = "attachment"
    cid: str | None = None

    def part(self) -> bytes:
        head = f'Content-Type: {self.type}; name="{self.name}"' if self.name else f"Content-Type: {self.type}"
        named = f'{self.disposition}; filename="{self.name}"' if self.name else self.disposition
        head += f"\nContent-Disposition: {named}" if self.disposition else ""
        head += f"\nContent-ID: <{self.cid}>" if self.cid else ""
        if self.type.startswith("message/"):
            return head.encode() + b"\n\n" + self.content
        return head.encode() + b"\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(self.content)


def multipart(subtype: str, parts: list[bytes]) -> bytes:
    boundary = f"={subtype}{len(parts)}{len(b''.join(parts))}="
    body = b"".join(b"--" + boundary.encode() + b"\n" + part + b"\n" for part in parts)
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\n\n'.encode()
    return head + body + b"--" + boundary.encode() + b"--\n"


def mail(
    *files: File, text: str | None = "Hello.", html: str | None = None, fields: str = "", subject: str = "Invoice"
) -> bytes:
    """Return a mail as most programs build it: mixed around related around alternative."""
    head = (
        f"From: Shop <shop@shop.example>\nTo: invoices@example.org\nSubject: {subject}\n{fields}MIME-Version: 1.0\n"
    )
    texts = [f"Content-Type: text/plain; charset=utf-8\n\n{text}".encode()] if text is not None else []
    texts += [f"Content-Type: text/html; charset=utf-8\n\n{html}".encode()] if html is not None else []
    body = texts[0] if len(texts) == 1 else multipart("alternative", texts) if texts else b""
    inline = [each for each in files if each.cid is not None]
    if inline and html is not None:
        body = multipart("related", [body, *(each.part() for each in inline)])
    else:
        inline = []
    others = [each for each in files if each not in inline]
    if not texts and len(others) == 1:
        return head.encode() + others[0].part()
    if others:
        body = multipart("mixed", [*([body] if body else []), *(each.part() for each in others)])
    return head.encode() + body


def report(kind: str, body: bytes, original: File, text: str = "See below.") -> bytes:
    head = b"From: MAILER-DAEMON@mx.example.org\nTo: a@example.org\nSubject: Report\nMIME-Version: 1.0\n"
    parts = [text.encode(), b"Content-Type: message/" + kind.encode() + b"\n\n" + body, original.part()]
    parts[0] = b"Content-Type: text/plain\n\n" + parts[0]
    return head + multipart(f"report; report-type={kind}", parts)


@dataclass(frozen=True)
class Habit:
    """A mail, and what is to be found in it.

    Attributes:
        documents: kind, name of the main part, names of the others.
        automatic: its kind.
        recipients: of the envelope.
    """

    name: str
    raw: bytes
    documents: list[tuple[str, ...]] = field(default_factory=list)
    automatic: str | None = None
    recipients: list[str] = field(default_factory=list)
    how: dict[str, Any] = field(default_factory=dict)


def a(name: str, content: bytes = PDF, type_: str = "application/pdf", **how: Any) -> File:
    """Return an attached file."""
    return File(name, type_, content, **how)


def shown(name: str, content: bytes, cid: str, type_: str = "image/png") -> File:
    """Return a picture inside the text."""
    return File(name, type_, content, disposition="inline", cid=cid)


def xml(name: str, content: bytes = UBL) -> File:
    return File(name, "application/xml", content)


ORIGINAL = File("", "message/rfc822", b"From: a@example.org\nMessage-ID: <o@example.org>\nSubject: s\n\nhi\n", "")
FAILED = b"Reporting-MTA: dns; mx\n\nFinal-Recipient: rfc822;x@shop.example\nAction: failed\nStatus: 5.1.1\n"
DELAYED = FAILED.replace(b"failed", b"delayed").replace(b"5.1.1", b"4.4.1")
READ = b"Final-Recipient: rfc822;x@shop.example\nDisposition: automatic-action/MDN-sent-automatically; displayed\n"
POSTFIX = (
    "Return-Path: <shop@shop.example>\nX-Original-To: rechnung@example.org\nDelivered-To: invoices@mail.example.org\n"
    "Received: from out.shop.example by mx.example.org with ESMTPS; Mon, 23 Nov 2026 08:00:00 +0000\n"
)
EXIM = (
    "Return-path: <shop@shop.example>\nEnvelope-to: billing+acme@example.org\n"
    "Received: from out.shop.example by mx.example.org with esmtps for billing+acme@example.org; "
    "Mon, 23 Nov 2026 08:00:00 +0000\n"
)
QMAIL = "Delivered-To: invoices@example.org\nReceived: (qmail 1 invoked by uid 89); 23 Nov 2026 08:00:00 -0000\n"
LIST = "List-Id: <news.shop.example>\nList-Unsubscribe: <https://shop.example/u>\n"
SIGNATURE_HTML = '<p>Hi</p><img src="cid:image001.png@01D9"><br><img src="cid:image002.png@01D9">'
HYBRID = pdf(Holding("factur-x.xml", CII))

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
IDOC = b"EDI_DC40".ljust(39) + b"INVOIC02".ljust(60) + b"INVOIC\r\n"
DATICERT = (
    b'<?xml version="1.0" encoding="UTF-8"?><postacert tipo="accettazione" errore="nessuno"><intestazione>'
    b"<mittente>a@pec.example</mittente></intestazione></postacert>"
)


def _pec(fields: str, *files: File, subject: str) -> bytes:
    """Certified mail: everything of the provider in a signed wrapping, around the sender's message."""
    head = (
        'From: "Per conto di: a@pec.example" <posta-certificata@provider.example>\nTo: b@pec.example\n'
        f"Subject: {subject}\n{fields}X-Riferimento-Message-ID: <o@pec.example>\nMIME-Version: 1.0\n"
    )
    text = b"Content-Type: text/plain; charset=utf-8\n\nMessaggio di posta certificata"
    content = multipart("mixed", [text, *(each.part() for each in files)])
    signature = a("smime.p7s", b"0\x80", "application/x-pkcs7-signature").part()
    return head.encode() + multipart('signed; protocol="application/x-pkcs7-signature"', [content, signature])


def pec_receipt(kind: str) -> bytes:
    """Return what a provider writes about a message that was sent."""
    return _pec(f"X-Ricevuta: {kind}\n", a("daticert.xml", DATICERT, "application/xml"), subject=f"{kind}: Fattura")


PEC = _pec(
    "X-Trasporto: posta-certificata\n",
    a("daticert.xml", DATICERT, "application/xml"),
    a("postacert.eml", mail(a("IT01_FPR01.xml.p7m", signed(FATTURA), "application/pkcs7-mime")), "message/rfc822"),
    subject="POSTA CERTIFICATA: Fattura",
)

HABITS = [
    Habit("plain-pdf", mail(a("Rechnung.pdf")), [("document", "Rechnung.pdf")]),
    Habit("two-pdfs", mail(a("Rechnung.pdf"), a("AGB.pdf")), [("document", "Rechnung.pdf"), ("document", "AGB.pdf")]),
    Habit("pdf-alone-without-text", mail(a("scan.pdf"), text=None), [("document", "scan.pdf")]),
    Habit("text-only", mail(), []),
    Habit("html-only", mail(text=None, html="<p>Hi</p>"), []),
    Habit("xml-invoice", mail(xml("invoice.xml")), [("invoice", "invoice.xml")]),
    Habit("pdf-beside-xml", mail(a("R-4711.pdf"), xml("R-4711.xml")), [("invoice", "R-4711.pdf", "R-4711.xml")]),
    Habit("xml-before-pdf", mail(xml("R-4711.xml"), a("R-4711.pdf")), [("invoice", "R-4711.pdf", "R-4711.xml")]),
    Habit(
        "pdf-and-xml-in-other-case-and-signs",
        mail(a("RE 2026_0815.PDF"), xml("re-2026-0815.xml")),
        [("invoice", "RE 2026_0815.PDF", "re-2026-0815.xml")],
    ),
    Habit(
        "two-pairs",
        mail(a("R-101.pdf"), a("R-102.pdf"), xml("R-101.xml"), xml("R-102.xml")),
        [("invoice", "R-101.pdf", "R-101.xml"), ("invoice", "R-102.pdf", "R-102.xml")],
    ),
    Habit(
        "pair-and-terms",
        mail(a("AGB.pdf"), a("R-101.pdf"), xml("R-101.xml")),
        [("document", "AGB.pdf"), ("invoice", "R-101.pdf", "R-101.xml")],
    ),
    Habit(
        "unrelated-pdf-beside-xml",
        mail(a("Lieferschein.pdf"), xml("ubl.xml")),
        [("document", "Lieferschein.pdf"), ("invoice", "ubl.xml")],
    ),
    Habit(
        "number-of-the-invoice-in-the-name-of-the-pdf",
        mail(a("Rechnung RE-2026-0815 vom 23.11.pdf"), xml("ubl.xml")),
        [("invoice", "Rechnung RE-2026-0815 vom 23.11.pdf", "ubl.xml")],
    ),
    Habit(
        "names-too-short-to-prove-anything",
        mail(a("1.pdf"), xml("1.xml")),
        [("document", "1.pdf"), ("invoice", "1.xml")],
    ),
    Habit("hybrid-pdf", mail(a("invoice.pdf", HYBRID)), [("invoice", "invoice.pdf", "factur-x.xml")]),
    Habit(
        "hybrid-pdf-and-terms",
        mail(a("invoice.pdf", HYBRID), a("terms.pdf")),
        [("invoice", "invoice.pdf", "factur-x.xml"), ("document", "terms.pdf")],
    ),
    Habit(
        "pdf-with-a-spreadsheet-inside",
        mail(a("report.pdf", pdf(Holding("figures.xlsx", XLSX)))),
        [("document", "report.pdf"), ("document", "figures.xlsx")],
    ),
    Habit(
        "italian-signed-invoice",
        mail(a("IT01234567890_00001.xml.p7m", signed(FATTURA), "application/pkcs7-mime")),
        [("invoice", "IT01234567890_00001.xml", "IT01234567890_00001.xml.p7m")],
    ),
    Habit(
        "italian-signed-invoice-with-pdf",
        mail(
            a("IT01234567890_00001.xml.p7m", signed(FATTURA), "application/pkcs7-mime"), a("IT01234567890_00001.pdf")
        ),
        [("invoice", "IT01234567890_00001.pdf", "IT01234567890_00001.xml.p7m", "IT01234567890_00001.xml")],
    ),
    Habit(
        "signed-pdf",
        mail(a("contract.pdf.p7m", signed(PDF), "application/pkcs7-mime")),
        [("document", "contract.pdf", "contract.pdf.p7m")],
    ),
    Habit(
        "detached-signature-of-a-file",
        mail(a("offer.pdf"), a("offer.pdf.p7s", b"0\x80", "application/pkcs7-signature")),
        [("document", "offer.pdf", "offer.pdf.p7s")],
    ),
    Habit(
        "openpgp-signature-of-a-file",
        mail(a("offer.pdf"), a("offer.pdf.asc", b"-----BEGIN PGP SIGNATURE-----\n", "application/octet-stream")),
        [("document", "offer.pdf", "offer.pdf.asc")],
    ),
    Habit(
        "outlook-signature-with-logos",
        mail(
            a("Rechnung.pdf"),
            shown("image001.png", png(180, 60, 6000), "image001.png@01D9"),
            shown("image002.png", png(32, 32, 900), "image002.png@01D9"),
            html=SIGNATURE_HTML,
        ),
        [("logo", "image001.png"), ("logo", "image002.png"), ("document", "Rechnung.pdf")],
    ),
    Habit(
        "outlook-pasted-screenshot",
        mail(shown("image001.png", png(1280, 720, 90_000), "image001.png@01D9"), html=SIGNATURE_HTML),
        [("image", "image001.png")],
    ),
    Habit(
        "wide-banner-of-a-campaign",
        mail(shown("banner.png", png(600, 150, 40_000), "b"), html='<img src="cid:b">', fields=LIST),
        [("logo", "banner.png")],
        automatic="list",
    ),
    Habit(
        "tracking-pixel",
        mail(shown("pixel.gif", b"GIF89a\1\0\1\0\0\0\0;", "p", "image/gif"), html='<img src="cid:p">'),
        [("logo", "pixel.gif")],
    ),
    Habit(
        "icon-that-nothing-refers-to",
        mail(a("facebook.png", png(32, 32, 900), "image/png"), a("Rechnung.pdf")),
        [("logo", "facebook.png"), ("document", "Rechnung.pdf")],
    ),
    Habit(
        "small-picture-that-nothing-refers-to",
        mail(a("stamp.png", png(180, 60, 6000), "image/png")),
        [("image", "stamp.png")],
    ),
    Habit(
        "picture-referred-to-whose-size-is-unknown",
        mail(shown("scan.heic", b"\0\0\0\x18ftypheic" + bytes(9000), "h", "image/heic"), html='<img src="cid:h">'),
        [("image", "scan.heic")],
    ),
    Habit(
        "apple-mail-photo-between-texts",
        mail(
            a("IMG_0001.jpeg", jpeg(4032, 3024), "image/jpeg", disposition="inline"),
            a("", b"Best", "text/plain", disposition=""),
        ),
        [("image", "IMG_0001.jpeg"), ("text", "part-3.txt")],
    ),
    Habit(
        "phone-photo-of-a-receipt",
        mail(a("20261123_101112.jpg", jpeg(3000, 4000), "image/jpeg"), text=""),
        [("image", "20261123_101112.jpg")],
    ),
    Habit("fax-to-mail", mail(a("fax.tif", TIFF, "image/tiff")), [("document", "fax.tif")]),
    Habit(
        "scanner-with-octet-stream",
        mail(a("SKM_C3320.pdf", PDF, "application/octet-stream"), text="Device: C3320"),
        [("document", "SKM_C3320.pdf")],
    ),
    Habit("spreadsheet", mail(a("list.xlsx", XLSX, "application/vnd.ms-excel")), [("document", "list.xlsx")]),
    Habit("csv", mail(a("orders.csv", b"a;b\n1;2\n", "text/csv")), [("document", "orders.csv")]),
    Habit("zip", mail(a("Belege.zip", ZIP, "application/zip")), [("archive", "Belege.zip")]),
    Habit("contact", mail(a("Ann.vcf", VCARD, "text/vcard")), [("contact", "Ann.vcf")]),
    Habit("calendar-file", mail(a("invite.ics", ICS, "text/calendar")), [("calendar", "invite.ics")]),
    Habit(
        "calendar-as-octet-stream",
        mail(a("invite.ics", ICS, "application/octet-stream")),
        [("calendar", "invite.ics")],
    ),
    Habit(
        "forwarded-as-attachment",
        mail(File("", "message/rfc822", mail(a("R-1.pdf")), "attachment")),
        [("message", "part-2.eml"), ("document", "R-1.pdf")],
    ),
    Habit(
        "signed-by-smime",
        mail(a("Rechnung.pdf"), a("smime.p7s", b"0\x80", "application/pkcs7-signature")),
        [("document", "Rechnung.pdf"), ("signature", "smime.p7s")],
    ),
    Habit(
        "openpgp-key",
        mail(a("key.asc", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", "application/pgp-keys")),
        [("signature", "key.asc")],
    ),
    Habit(
        "ten-files",
        mail(
            shown("image001.png", png(180, 60), "image001.png@01D9"),
            a("R-101.pdf"),
            xml("R-101.xml"),
            a("invoice.pdf", HYBRID),
            a("AGB.pdf"),
            a("AGB.pdf.p7s", b"0\x80", "application/pkcs7-signature"),
            a("list.xlsx", XLSX, "application/vnd.ms-excel"),
            a("invite.ics", ICS, "text/calendar"),
            a("Ann.vcf", VCARD, "text/vcard"),
            a("photo.jpg", jpeg(4000, 3000), "image/jpeg"),
            html=SIGNATURE_HTML,
        ),
        [
            ("logo", "image001.png"),
            ("invoice", "R-101.pdf", "R-101.xml"),
            ("invoice", "invoice.pdf", "factur-x.xml"),
            ("document", "AGB.pdf", "AGB.pdf.p7s"),
            ("document", "list.xlsx"),
            ("calendar", "invite.ics"),
            ("contact", "Ann.vcf"),
            ("image", "photo.jpg"),
        ],
    ),
    Habit(
        "bounce-of-postfix",
        report("delivery-status", FAILED, ORIGINAL),
        [("delivery_report", "part-2.txt", "part-3.eml")],
        automatic="bounce",
    ),
    Habit(
        "bounce-with-header-only",
        report("delivery-status", FAILED, File("", "text/rfc822-headers", b"Message-ID: <o@x>\n", "")),
        [("delivery_report", "part-2.txt", "part-3.txt")],
        automatic="bounce",
    ),
    Habit(
        "delay",
        report("delivery-status", DELAYED, ORIGINAL),
        [("delivery_report", "part-2.txt", "part-3.eml")],
        automatic="delay",
    ),
    Habit(
        "read-receipt-of-outlook",
        report("disposition-notification", READ, ORIGINAL),
        [("delivery_report", "part-2.txt", "part-3.eml")],
        automatic="receipt",
    ),
    Habit(
        "returned-invoice",
        report("delivery-status", FAILED, File("", "message/rfc822", mail(a("R-1.pdf")), "")),
        [("delivery_report", "part-2.txt", "part-3.eml"), ("document", "R-1.pdf")],
        automatic="bounce",
    ),
    Habit("absence-of-outlook", mail(fields="Auto-Submitted: auto-generated\nX-Auto-Response-Suppress: All\n",
                                     subject="Automatische Antwort: Rechnung"), automatic="vacation"),
    Habit("absence-of-sieve", mail(fields="Auto-Submitted: auto-replied (vacation)\n"), automatic="vacation"),
    Habit("absence-of-gmail", mail(fields="Auto-Submitted: auto-replied\nPrecedence: bulk\nX-Autoreply: yes\n"),
          automatic="vacation"),
    Habit("ticket-system", mail(fields="Auto-Submitted: auto-replied\n", subject="[#1] Opened"), automatic="reply"),
    Habit("shop-confirmation", mail(a("R-1.pdf"), fields="Auto-Submitted: auto-generated\n"),
          [("document", "R-1.pdf")], automatic="notification"),
    Habit("newsletter", mail(html="<p>Buy</p>", fields=LIST), automatic="list"),
    Habit("bulk-invoice", mail(a("R-1.pdf"), fields="Precedence: bulk\n"), [("document", "R-1.pdf")],
          automatic="bulk"),
    Habit("person", mail(fields="Auto-Submitted: no\n"), automatic=None),
    Habit("postfix-alias", mail(fields=POSTFIX), recipients=["rechnung@example.org", "invoices@mail.example.org"]),
    Habit("exim-tag", mail(fields=EXIM), recipients=["billing+acme@example.org"]),
    Habit("qmail", mail(fields=QMAIL), recipients=["invoices@example.org"]),
    Habit("two-hops-inside", mail(fields=QMAIL + EXIM), recipients=["invoices@example.org"]),
    Habit("forged-recipient", mail(fields="Delivered-To: evil@example.org\n"), recipients=[]),
    Habit("sap-billing-output", mail(a("0090001234.PDF", HYBRID, "application/pdf"),
                                     fields="X-Mailer: SAP NetWeaver 7.50\nX-SAP-SPAM-Status: N\n"),
          [("invoice", "0090001234.PDF", "factur-x.xml")]),
    Habit("sap-idoc-beside-pdf", mail(a("0090001234.pdf"), File("0090001234.txt", "text/plain", IDOC)),
          [("invoice", "0090001234.pdf", "0090001234.txt")]),
    Habit("datev-upload-confirmation",
          mail(text="Ihre Belege wurden an DATEV Unternehmen online uebertragen.",
               fields="Auto-Submitted: auto-generated\nX-Auto-Response-Suppress: All\n"), automatic="notification"),
    Habit("datev-smartletter", mail(a("Lohnabrechnung_11_2026.pdf"), a("Belege_11_2026.zip", ZIP, "application/zip"),
                                    a("EXTF_Buchungsstapel.csv", b'"EXTF";700;21\r\n', "text/csv")),
          [("document", "Lohnabrechnung_11_2026.pdf"), ("archive", "Belege_11_2026.zip"),
           ("document", "EXTF_Buchungsstapel.csv")]),
    Habit("amazon-order-confirmation",
          mail(text=None, html='<img src="https://shop.example/l.png"><p>Order 302-1</p>',
               fields="X-AMAZON-MAIL-RELAY-TYPE: notification\nFeedback-ID: 1.eu-west-1.x:AmazonSES\n"),
          automatic="bulk"),
    Habit("amazon-business-invoice",
          mail(a("invoice_302-1.pdf", PDF, "application/octet-stream"), html='<p>Hi</p><img src="cid:logo">',
               fields="Feedback-ID: 1.eu-west-1.x:AmazonSES\nAuto-Submitted: auto-generated\n"),
          [("document", "invoice_302-1.pdf")], automatic="notification"),
    Habit("pec-with-signed-invoice", PEC,
          [("document", "daticert.xml"), ("message", "postacert.eml"),
           ("invoice", "IT01_FPR01.xml", "IT01_FPR01.xml.p7m"), ("signature", "smime.p7s")]),
    Habit("pec-receipt", pec_receipt("accettazione"), [("document", "daticert.xml"), ("signature", "smime.p7s")],
          automatic="receipt"),
    Habit("pec-undelivered", pec_receipt("errore-consegna"),
          [("document", "daticert.xml"), ("signature", "smime.p7s")], automatic="bounce"),
    Habit("exchange-undeliverable",
          mail(text="Delivery has failed to these recipients or groups:\nx@shop.example\n",
               fields="X-MS-Exchange-Message-Is-Ndr:\nReturn-Path: <>\n", subject="Unzustellbar: Rechnung"),
          automatic="bounce"),
    Habit("multifunction-printer-pages",
          mail(a("Scan_0001.jpg", jpeg(2480, 3508, 60_000), "image/jpeg"), a("Scan_0002.tif", TIFF, "image/tiff"),
               text=""),
          [("image", "Scan_0001.jpg"), ("document", "Scan_0002.tif")]),
    Habit("iphone-heic-photo", mail(a("IMG_0042.HEIC", HEIC, "image/heic"), text="Sent from my iPhone"),
          [("image", "IMG_0042.HEIC")]),
    Habit("forwarded-as-octet-stream", mail(a("AW Rechnung.eml", mail(a("R-1.pdf")), "application/octet-stream")),
          [("message", "AW Rechnung.eml"), ("document", "R-1.pdf")]),
    Habit("fastmail-of-two-addresses", mail(fields="X-Delivered-To: ann@example.org\n"
          "X-Original-To: sales@example.org\nReceived: from out.shop.example by mx.example.org; "
          "Mon, 23 Nov 2026 08:00:00 +0000\n"),
          recipients=["sales@example.org", "ann@example.org"]),
    Habit("encrypted-pdf", mail(a("payslip.pdf", pdf(Holding("x", b"x"), password="1"))),
          [("document", "payslip.pdf")]),
]  # fmt: skip
