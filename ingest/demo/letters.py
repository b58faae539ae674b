"""The kinds of mail, one function each: who writes, about what, and with which files.

The ways of writing headers and parts differ on purpose, as they do between mail programs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

from ingest.demo.documents import invoice_pdf, invoice_xml, invoices_csv, picture_png, zip_file
from ingest.demo.trade import BUYER, Seed, make_invoice, money
from ingest.demo.writing import (
    Part,
    encoded_name,
    encoded_words,
    extended_parameter,
    file_part,
    multipart,
    text_part,
)

if TYPE_CHECKING:
    from datetime import datetime

    from ingest.demo.trade import Invoice

_FIRST_NAMES = ("Anna", "Bruno", "Chiara", "David", "Eva", "Farid", "Greta", "Hugo")
_LAST_NAMES = ("Becker", "Conti", "Dubois", "Evans", "Fischer", "Greco", "Novak", "Schmidt")


@dataclass(frozen=True, slots=True)
class Occasion:
    """The input of a writer: `to` is an address, `at` the time of arrival, `invoice` a possible subject."""

    seed: Seed
    to: str
    at: datetime
    invoice: Invoice

    @property
    def person(self) -> str:
        """A name in ASCII."""
        return f"{self.seed.pick('first name', _FIRST_NAMES)} {self.seed.pick('last name', _LAST_NAMES)}"

    def boundary(self, name: str = "") -> str:
        """A boundary in the style of some mail program."""
        unique = self.seed.hex(f"boundary {name}", 24)
        style = self.seed.pick(
            "mail program", ("----=_Part_{}", "----=_NextPart_{}", "Apple-Mail=_{}", "b1_{}", "{}")
        )
        return style.format(unique)

    def other(self, name: str) -> Invoice:
        """One more invoice of the same seller."""
        invoice = make_invoice(Seed(f"{self.seed.text}\0{name}"), self.at.date() - timedelta(days=1))
        return replace(invoice, seller=self.invoice.seller)


@dataclass(frozen=True, slots=True)
class SampleAttachment:
    """A file in a mail: its name as a reader shows it, its bytes before any encoding, its declared type."""

    filename: str
    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Letter:
    """The result of a writer; `sender` and `subject` are ready-made header values.

    `envelope_sender` is empty in reports and automatic replies (RFC 5321 section 4.5.5).
    """

    sender: str
    sender_domain: str
    envelope_sender: str
    subject: str
    part: Part
    headers: tuple[str, ...] = ()
    attachments: tuple[SampleAttachment, ...] = ()
    has_text: bool = True
    has_html: bool = False


def whole(headers: tuple[str, ...], letter: Letter) -> bytes:
    """The bytes of a mail: these headers, those of the letter's part, its body, and CRLF at the end."""
    raw = Part(headers + letter.part.headers, letter.part.body).render()
    return raw if raw.endswith(b"\r\n") else raw + b"\r\n"


def pdf_invoice(occasion: Occasion) -> Letter:
    """An invoice as PDF beside a text in plain and in HTML."""
    invoice = occasion.invoice
    pdf = _pdf(invoice)
    text = _cover_text(occasion)
    bodies = multipart("alternative", occasion.boundary("bodies"), text_part(text), text_part(_html(text), "html"))
    part = multipart("mixed", occasion.boundary(), bodies, _attached(pdf))
    return _from_seller(
        occasion, f"Invoice {invoice.number}", part, attachments=(pdf,), has_html=True, user="invoicing"
    )


def xml_invoice(occasion: Occasion) -> Letter:
    """An e-invoice in UBL, as accounting software sends it."""
    invoice = occasion.invoice
    xml = SampleAttachment(f"xrechnung_{invoice.number}.xml", invoice_xml(invoice), "application/xml")
    part = multipart("mixed", occasion.boundary(), text_part(_cover_text(occasion)), _attached(xml))
    subject = f"XRechnung {invoice.number} / {invoice.order}"
    return _from_seller(occasion, subject, part, attachments=(xml,), headers=("X-Mailer: Billing 4.2",))


def plain(occasion: Occasion) -> Letter:
    """A question in plain text, without MIME parts; one of its lines is a lone dot."""
    invoice = occasion.invoice
    text = (
        f"Hello,\n\nhas order {invoice.order} been shipped? We asked for {invoice.lines[0].quantity} x "
        f"{invoice.lines[0].text}.\n\n.\n..\n\nKind regards\n{occasion.person}\n"
    )
    part = Part(
        ("Content-Type: text/plain; charset=us-ascii", "Content-Transfer-Encoding: 7bit"),
        text.encode("ascii").replace(b"\n", b"\r\n"),
    )
    return _from_seller(occasion, f"Question about {invoice.order}", part, user="sales")


def zip_invoices(occasion: Occasion) -> Letter:
    """A month's invoices in one ZIP file: a PDF and two e-invoices."""
    invoices = (occasion.invoice, occasion.other("second"), occasion.other("third"))
    files = [(f"{invoices[0].number}.pdf", invoice_pdf(invoices[0]))]
    files += [(f"{number} {invoice.number}.xml", invoice_xml(invoice)) for number, invoice in enumerate(invoices[1:])]
    archive = SampleAttachment(f"invoices {occasion.at:%Y-%m}.zip", zip_file(files), "application/zip")
    part = multipart("mixed", occasion.boundary(), text_part(_cover_text(occasion)), _attached(archive))
    return _from_seller(occasion, f"Your invoices of {occasion.at:%m/%Y}", part, attachments=(archive,))


def german(occasion: Occasion) -> Letter:
    """Umlauts everywhere: subject and sender as encoded-words, the file name by RFC 2231, the text in ISO 8859-1."""
    invoice = occasion.invoice
    name = f"Rechnung für März \N{EN DASH} Müller & Söhne {invoice.number}.pdf"
    pdf = SampleAttachment(name, invoice_pdf(invoice), "application/pdf")
    text = (
        f"Sehr geehrte Damen und Herren,\n\nanbei erhalten Sie unsere Rechnung {invoice.number} über "
        f"{money(invoice.gross_cents)} EUR. Bitte überweisen Sie bis zum {invoice.due:%d.%m.%Y}.\n\n"
        f"Mit freundlichen Grüßen\n{occasion.person}\nBuchhaltung\n"
    )
    part = multipart(
        "mixed",
        occasion.boundary(),
        text_part(text, charset="iso-8859-1"),
        file_part(pdf.content, "application/pdf", f"attachment;\r\n {extended_parameter('filename', name)}"),
    )
    subject = encoded_words(f"Rechnung {invoice.number} \N{EN DASH} fällig am {invoice.due:%d.%m.%Y}, Müller & Söhne")
    sender = f"{encoded_name('Müller & Söhne')} <rechnung@mueller.example.com>"
    return Letter(sender, "mueller.example.com", "rechnung@mueller.example.com", subject, part, attachments=(pdf,))


def csv_list(occasion: Occasion) -> Letter:
    """A list of invoices as CSV, quoted-printable, with its name in an encoded-word inside quotes."""
    invoices = [occasion.invoice, *(occasion.other(f"row {row}") for row in range(24))]
    name = f"Übersicht {occasion.at:%Y-%m-%d}.csv"
    table = SampleAttachment(name, invoices_csv(invoices), "text/csv")
    listing = file_part(
        table.content,
        f'text/csv; charset=utf-8;\r\n name="{encoded_name(name)}"',
        f'attachment;\r\n filename="{encoded_name(name)}"',
        encoding="quoted-printable",
    )
    part = multipart("mixed", occasion.boundary(), text_part(_cover_text(occasion)), listing)
    return _from_seller(occasion, "Statement of account", part, attachments=(table,))


def forwarded(occasion: Occasion) -> Letter:
    """A colleague forwards a supplier's mail as a whole; that one has a PDF of its own."""
    invoice = occasion.other("forwarded")
    pdf = _pdf(invoice)
    nested = SampleAttachment(f"Invoice {invoice.number}.eml", _suppliers_mail(occasion, pdf), "message/rfc822")
    message = Part(
        (
            f'Content-Type: message/rfc822; name="{nested.filename}"',
            f'Content-Disposition: attachment; filename="{nested.filename}"',
        ),
        nested.content,
    )
    note = text_part(f"Please check and pay.\n\n{occasion.person}\n\n> {invoice.number}\n> {invoice.order}\n")
    part = multipart("mixed", occasion.boundary("outer"), note, message)
    return _from_colleague(occasion, f"Fwd: Invoice {invoice.number}", part, attachments=(nested, pdf))


def newsletter(occasion: Occasion) -> Letter:
    """Text and HTML with a picture inside, from a mailing list."""
    seed, domain = occasion.seed, occasion.invoice.seller.domain
    logo = SampleAttachment("logo.png", picture_png(seed), "image/png")
    content_id = f"{seed.hex('content id', 16)}@{domain}"
    offers = "\n".join(f"* {line.text}: {money(line.unit_cents)} EUR" for line in occasion.invoice.lines)
    html = f'<p><img src="cid:{content_id}" alt="logo"></p>\n{_html(offers)}'
    picture = file_part(
        logo.content, 'image/png; name="logo.png"', 'inline; filename="logo.png"', f"Content-ID: <{content_id}>"
    )
    related = multipart("related", occasion.boundary("related"), text_part(html, "html"), picture)
    part = multipart("alternative", occasion.boundary(), text_part(f"This week's offers\n\n{offers}\n"), related)
    headers = (
        f"List-Id: Offers of the week <offers.{domain}>",
        f"List-Unsubscribe: <https://{domain}/leave?{seed.hex('reader', 12)}>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "Precedence: bulk",
    )
    return _from_seller(
        occasion, "Offers of the week", part, attachments=(logo,), has_html=True, user="offers", headers=headers
    )


def auto_reply(occasion: Occasion) -> Letter:
    """An out-of-office reply (RFC 3834)."""
    back = occasion.at.date() + timedelta(days=7)
    text = f"Thank you for your message. I am out of office and back on {back}.\n\n{occasion.person}\n"
    headers = (
        "Auto-Submitted: auto-replied",
        "X-Auto-Response-Suppress: All",
        f"In-Reply-To: <{occasion.seed.hex('answered', 24)}@{BUYER.domain}>",
    )
    subject = f"Out of office: {occasion.invoice.order}"
    return _from_seller(occasion, subject, text_part(text), headers=headers, by_robot=True)


def delivery_report(occasion: Occasion) -> Letter:
    """A bounce (RFC 3464) with the whole original mail; none of the report's own parts has a name."""
    pdf = _pdf(occasion.other("returned"))
    lost = f"{occasion.seed.hex('lost', 8)}@{occasion.invoice.seller.domain}"
    status = (
        "Reporting-MTA: dns; mail.example.org\r\n"
        f"Arrival-Date: {format_datetime(occasion.at)}\r\n\r\n"
        f"Final-Recipient: rfc822; {lost}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 User unknown\r\n"
    )
    part = multipart(
        "report; report-type=delivery-status",
        occasion.boundary("report"),
        text_part(f"Your message could not be delivered to <{lost}>.\n"),
        Part(("Content-Description: Delivery report", "Content-Type: message/delivery-status"), status.encode()),
        Part(("Content-Type: message/rfc822",), _suppliers_mail(occasion, pdf)),
    )
    return Letter(
        "Mail Delivery System <mailer-daemon@mail.example.org>",
        "mail.example.org",
        "",
        "Undelivered Mail Returned to Sender",
        part,
        headers=("Auto-Submitted: auto-replied",),
        attachments=(pdf,),
    )


def malformed(occasion: Occasion) -> Letter:
    """A mail from an old invoicing program: raw 8-bit headers, an odd transfer encoding, and no final boundary."""
    invoice = occasion.invoice
    pdf = _pdf(invoice)
    encoding = occasion.seed.pick("encoding", ("BASE64", "base64;", '"Base64"'))
    body = Part(("Content-Type: text/plain; charset=iso-8859-1",), "Rechnung für März\r\n".encode("latin-1"))
    attached = file_part(
        pdf.content,
        f"application/octet-stream; name={pdf.filename}",
        f"attachment; filename={pdf.filename}",
        encoding=encoding,
    )
    pdf = SampleAttachment(pdf.filename, pdf.content, "application/octet-stream")
    part = multipart("mixed", occasion.boundary(), body, attached, closed=False)
    sender = f"Buchhaltung Lefèvre <compta@{invoice.seller.domain}>"
    return Letter(
        sender,
        invoice.seller.domain,
        f"compta@{invoice.seller.domain}",
        f"Rechnung für März {invoice.number}",
        part,
        attachments=(pdf,),
    )


def _from_seller(
    occasion: Occasion,
    subject: str,
    part: Part,
    *,
    user: str = "billing",
    headers: tuple[str, ...] = (),
    attachments: tuple[SampleAttachment, ...] = (),
    has_html: bool = False,
    by_robot: bool = False,
) -> Letter:
    seller = occasion.invoice.seller
    address = f"{user}@{seller.domain}"
    name = f'"{seller.name}"' if seller.name.isascii() else encoded_words(seller.name)
    return Letter(
        f"{name} <{address}>",
        seller.domain,
        "" if by_robot else address,
        subject,
        part,
        headers=headers,
        attachments=attachments,
        has_html=has_html,
    )


def _from_colleague(
    occasion: Occasion, subject: str, part: Part, attachments: tuple[SampleAttachment, ...]
) -> Letter:
    address = f"{occasion.person.lower().replace(' ', '.')}@{BUYER.domain}"
    return Letter(f"{occasion.person} <{address}>", BUYER.domain, address, subject, part, attachments=attachments)


def _suppliers_mail(occasion: Occasion, pdf: SampleAttachment) -> bytes:
    """A mail inside a mail: text and one PDF."""
    seller = occasion.invoice.seller
    headers = (
        f"Date: {format_datetime(occasion.at - timedelta(days=1))}",
        f"From: billing@{seller.domain}",
        f"To: accounts@{BUYER.domain}",
        f"Message-ID: <{occasion.seed.hex('nested', 24)}@{seller.domain}>",
        f"Subject: {pdf.filename}",
        "MIME-Version: 1.0",
    )
    text = text_part(f"Please find attached {pdf.filename}.\n\n{seller.name}\n{seller.city}\n")
    part = multipart("mixed", occasion.boundary("nested"), text, _attached(pdf))
    return Part(headers + part.headers, part.body).render()


def _pdf(invoice: Invoice) -> SampleAttachment:
    return SampleAttachment(f"invoice-{invoice.number}.pdf", invoice_pdf(invoice), "application/pdf")


def _attached(file: SampleAttachment) -> Part:
    """A file whose name is ASCII."""
    return file_part(
        file.content, f'{file.media_type};\r\n name="{file.filename}"', f'attachment;\r\n filename="{file.filename}"'
    )


def _cover_text(occasion: Occasion) -> str:
    invoice = occasion.invoice
    return (
        f"Dear customer,\n\nplease find attached invoice {invoice.number} of {invoice.issued} for your order "
        f"{invoice.order}, {money(invoice.gross_cents)} EUR, due {invoice.due}.\n\n"
        f"Kind regards\n{occasion.person}\n{invoice.seller.name}\n{invoice.seller.street}, {invoice.seller.city}\n"
    )


def _html(text: str) -> str:
    paragraphs = "".join(f"<p>{line}</p>\n" for line in text.replace("&", "&amp;").split("\n") if line)
    return f"<html><body>\n{paragraphs}</body></html>\n"
