"""Realistic generated business mail whose content is known to the byte.

The same arguments always give the same mail, and any two different ones give different mails. Line ends are CRLF, and
a mail ends with CRLF. All addresses lie in domains reserved for examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from ingest.demo import letters
from ingest.demo.letters import Letter, SampleAttachment
from ingest.demo.trade import BUYER, Seed, make_invoice

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KINDS", "Kind", "SampleAttachment", "SampleMail", "sample"]

_FIRST = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
_PAUSE = timedelta(minutes=11)


class Kind(StrEnum):
    """The kinds of mail."""

    PDF_INVOICE = "pdf-invoice"
    XML_INVOICE = "xml-invoice"
    PLAIN = "plain"
    ZIP_INVOICES = "zip-invoices"
    GERMAN = "german"
    CSV_LIST = "csv-list"
    FORWARDED = "forwarded"
    NEWSLETTER = "newsletter"
    AUTO_REPLY = "auto-reply"
    DELIVERY_REPORT = "delivery-report"
    MALFORMED = "malformed"


KINDS: tuple[Kind, ...] = tuple(Kind)

_WRITERS: dict[Kind, Callable[[letters.Occasion], Letter]] = {
    Kind.PDF_INVOICE: letters.pdf_invoice,
    Kind.XML_INVOICE: letters.xml_invoice,
    Kind.PLAIN: letters.plain,
    Kind.ZIP_INVOICES: letters.zip_invoices,
    Kind.GERMAN: letters.german,
    Kind.CSV_LIST: letters.csv_list,
    Kind.FORWARDED: letters.forwarded,
    Kind.NEWSLETTER: letters.newsletter,
    Kind.AUTO_REPLY: letters.auto_reply,
    Kind.DELIVERY_REPORT: letters.delivery_report,
    Kind.MALFORMED: letters.malformed,
}


@dataclass(frozen=True, slots=True)
class SampleMail:
    """One mail and what is in it.

    Attributes:
        raw: as a server holds it, without dot-stuffing.
        attachments: every part with a file name, those inside a nested message too. Names differ within a mail.
        has_text: whether the mail itself has a body in plain text.
        has_html: whether it has one in HTML.
    """

    raw: bytes
    attachments: tuple[SampleAttachment, ...]
    has_text: bool
    has_html: bool


def sample(index: int, mailbox: str, kind: Kind | None = None, at: datetime | None = None) -> SampleMail:
    """Return a mail, determined by the arguments.

    Args:
        index: counts the mails of a mailbox.
        mailbox: the name before the `@` of the recipient; ASCII.
        kind: None for all kinds in turn.
        at: when it was received (timezone-aware, to the second); None for a time that follows from `index`.
    """
    kind = kind or KINDS[index % len(KINDS)]
    at = (at or _FIRST + index * _PAUSE).replace(microsecond=0)
    seed = Seed(f"{mailbox}\0{index}\0{kind}\0{at.isoformat()}")
    to = f"{mailbox}@{BUYER.domain}"
    occasion = letters.Occasion(seed, to, at, make_invoice(seed, at.date()))
    letter = _WRITERS[kind](occasion)
    headers = _trace(occasion, letter) + _address(occasion, letter)
    raw = letters.whole(headers, letter)
    return SampleMail(raw, letter.attachments, letter.has_text, letter.has_html)


def _trace(occasion: letters.Occasion, letter: Letter) -> tuple[str, ...]:
    """Return the Received headers of the servers on the way, the last one on top (RFC 5321 section 4.4)."""
    seed, at = occasion.seed, occasion.at
    domain = letter.sender_domain
    relay = f"192.0.2.{seed.number('relay', 1, 254)}"
    queue = seed.hex("queue", 12).upper()
    first = f"from out.{domain} (out.{domain} [{relay}])\r\n\tby mx1.example.org with ESMTPS"
    last = (
        "from mx1.example.org (mx1.example.org [198.51.100.7])\r\n"
        f"\tby mail.example.org (Postfix) with ESMTPS id {queue}\r\n\tfor <{occasion.to}>"
    )
    results = f"spf=pass smtp.mailfrom={domain};\r\n dkim={seed.pick('dkim', ('pass', 'none'))} header.d={domain}"
    return (
        f"Return-Path: <{letter.envelope_sender}>",
        f"Received: {last}; {format_datetime(at)}",
        f"Received: {first}; {format_datetime(at - timedelta(seconds=2))}",
        f"Authentication-Results: mx1.example.org; {results}",
    )


def _address(occasion: letters.Occasion, letter: Letter) -> tuple[str, ...]:
    seed = occasion.seed
    return (
        f"Date: {format_datetime(occasion.at - timedelta(seconds=seed.number('written', 3, 600)))}",
        f"From: {letter.sender}",
        f"To: {occasion.to}",
        f"Message-ID: <{seed.hex('message id', 32)}@{letter.sender_domain}>",
        f"Subject: {letter.subject}",
        "MIME-Version: 1.0",
        *letter.headers,
    )
