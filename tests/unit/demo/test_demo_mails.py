"""The sample mails contain what they declare, as read by the standard library's parser."""

from __future__ import annotations

import base64
import csv
import email.policy
import io
import quopri
import re
import zipfile
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from ingest.demo.mails import KINDS, Kind, sample

if TYPE_CHECKING:
    from email.message import Message

    from ingest.demo.mails import SampleMail

_UBL = "{urn:oasis:names:specification:ubl:schema:xsd:Invoice-2}Invoice"


def _decoded(part: Message) -> bytes:
    """The bytes of a part, however its transfer encoding is spelled."""
    raw = part.get_payload()
    assert isinstance(raw, str)
    encoded = raw.encode("ascii", "surrogateescape")
    encoding = part.get("Content-Transfer-Encoding", "7bit").strip('"; ').lower()
    if encoding == "base64":
        return base64.b64decode(encoded)
    return quopri.decodestring(encoded) if encoding == "quoted-printable" else encoded


def _filename(part: Message) -> str:
    return (
        str(make_header(decode_header(part.get_filename("")))) if "filename=" in str(part) else part.get_filename("")
    )


def _files(message: Message) -> dict[tuple[str, str], bytes]:
    """Bytes by name and type of every named leaf, those of nested messages too."""
    return {
        (_filename(part), part.get_content_type()): _decoded(part)
        for part in message.walk()
        if part.get_filename() and not part.is_multipart()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_same_arguments_make_the_same_bytes(kind: Kind) -> None:
    assert sample(7, "orders", kind) == sample(7, "orders", kind)


def test_any_two_mails_differ() -> None:
    later = datetime(2026, 6, 1, tzinfo=UTC)
    mails = [sample(index, box, kind) for index in range(6) for box in ("a", "b") for kind in KINDS]
    mails += [sample(0, "a", kind, later) for kind in KINDS]
    assert len({mail.raw for mail in mails}) == len(mails)
    assert len({message_from_bytes(mail.raw)["Message-ID"] for mail in mails}) == len(mails)


def test_kinds_come_in_turn() -> None:
    assert {sample(index, "orders").raw for index in range(len(KINDS))} == {
        sample(index, "orders", kind).raw for index, kind in enumerate(KINDS)
    }


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_parser_finds_exactly_the_declared_attachments(kind: Kind, index: int) -> None:
    mail = sample(index, "orders", kind)
    declared = {
        (file.filename, file.media_type): file.content
        for file in mail.attachments
        if file.media_type != "message/rfc822"
    }
    assert _files(message_from_bytes(mail.raw)) == declared
    assert len({file.filename for file in mail.attachments}) == len(mail.attachments)


def test_forwarded_mail_holds_the_nested_one_byte_for_byte() -> None:
    mail = sample(0, "orders", Kind.FORWARDED)
    nested, pdf = mail.attachments
    assert nested.media_type == "message/rfc822"
    assert b"\r\n\r\n" + nested.content + b"\r\n--" in mail.raw
    assert list(_files(message_from_bytes(nested.content)).values()) == [pdf.content]


@pytest.mark.parametrize("kind", KINDS)
def test_parser_finds_the_declared_bodies(kind: Kind) -> None:
    mail = sample(1, "orders", kind)
    message = message_from_bytes(mail.raw, policy=email.policy.default)
    assert (message.get_body(("plain",)) is not None) == mail.has_text
    assert (message.get_body(("html",)) is not None) == mail.has_html


@pytest.mark.parametrize("kind", KINDS)
def test_lines_end_in_crlf_and_are_short_enough_for_smtp(kind: Kind) -> None:
    raw = sample(2, "orders", kind).raw
    assert raw.endswith(b"\r\n")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998


@pytest.mark.parametrize("kind", KINDS)
def test_topmost_received_header_bears_the_time_of_arrival(kind: Kind) -> None:
    at = datetime(2026, 3, 1, 23, 59, 58, tzinfo=UTC)
    message = message_from_bytes(sample(0, "orders", kind, at).raw)
    times = [parsedate_to_datetime(value.rpartition(";")[2].strip()) for value in message.get_all("Received", [])]
    assert times[0] == at
    assert times == sorted(times, reverse=True)
    assert parsedate_to_datetime(message["Date"]) < times[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_addresses_lie_in_domains_reserved_for_examples(kind: Kind) -> None:
    for index in range(8):
        raw = sample(index, "orders", kind).raw
        header = raw.partition(b"\r\n\r\n")[0].decode("latin-1")
        domains = re.findall(r"[\w.+-]+@([\w.-]+)", header)
        assert domains
        assert all(re.search(r"(^|\.)example\.(com|net|org)$", domain) for domain in domains)


def test_pdf_invoice_is_as_large_as_such_files_are() -> None:
    sizes = [len(sample(index, "orders", Kind.PDF_INVOICE).attachments[0].content) for index in range(30)]
    assert min(sizes) >= 30_000
    assert max(sizes) <= 80_000


def test_german_mail_reads_right() -> None:
    message = message_from_bytes(sample(0, "orders", Kind.GERMAN).raw, policy=email.policy.default)
    assert "\N{EN DASH} fällig am" in message["Subject"]
    assert message["Subject"].endswith("Müller & Söhne")
    assert message["From"].addresses[0].display_name == "Müller & Söhne"
    body = message.get_body(("plain",))
    assert body is not None
    assert "Mit freundlichen Grüßen" in body.get_content()


def test_newsletter_shows_its_picture_by_content_id() -> None:
    message = message_from_bytes(sample(0, "orders", Kind.NEWSLETTER).raw, policy=email.policy.default)
    (picture,) = (part for part in message.walk() if part.get_content_type() == "image/png")
    html = message.get_body(("html",))
    assert html is not None
    assert f"cid:{picture['Content-ID'].strip('<>')}" in html.get_content()
    assert message["List-Id"]


def test_e_invoice_is_ubl_whose_sums_agree() -> None:
    for index in range(5):
        root = ET.fromstring(sample(index, "orders", Kind.XML_INVOICE).attachments[0].content)  # noqa: S314 - our own
        assert root.tag == _UBL
        amounts = {
            name: [
                round(float(element.text or "") * 100) for element in root.iter() if element.tag.endswith("}" + name)
            ]
            for name in ("LineExtensionAmount", "TaxAmount", "PayableAmount")
        }
        net, *lines = amounts["LineExtensionAmount"]
        assert sum(lines) == net
        assert [net + amounts["TaxAmount"][0]] == amounts["PayableAmount"]


def test_zip_holds_a_pdf_and_e_invoices() -> None:
    with zipfile.ZipFile(io.BytesIO(sample(0, "orders", Kind.ZIP_INVOICES).attachments[0].content)) as archive:
        assert archive.testzip() is None
        assert sorted(name[-4:] for name in archive.namelist()) == [".pdf", ".xml", ".xml"]


def test_csv_has_as_many_cells_in_each_row() -> None:
    content = sample(0, "orders", Kind.CSV_LIST).attachments[0].content
    rows = list(csv.reader(io.StringIO(content.decode(), newline=""), delimiter=";"))
    assert len(rows) > 50
    assert {len(row) for row in rows} == {8}


def test_reports_and_replies_say_that_no_person_wrote_them() -> None:
    for kind in (Kind.AUTO_REPLY, Kind.DELIVERY_REPORT):
        message = message_from_bytes(sample(0, "orders", kind).raw)
        assert message["Auto-Submitted"] == "auto-replied"
        assert message["Return-Path"] == "<>"


def _malformed() -> list[SampleMail]:
    return [sample(index, "orders", Kind.MALFORMED) for index in range(12)]


def test_malformed_mail_lacks_its_final_boundary() -> None:
    for mail in _malformed():
        boundary = message_from_bytes(mail.raw).get_boundary()
        assert boundary is not None
        assert f"--{boundary}--".encode() not in mail.raw


def test_malformed_mail_has_raw_8_bit_headers_and_an_odd_transfer_encoding() -> None:
    spellings = set()
    for mail in _malformed():
        assert "Subject: Rechnung für März".encode("latin-1") in mail.raw
        spellings |= set(re.findall(rb"Content-Transfer-Encoding: (\S+)\r\n", mail.raw))
    assert spellings == {b"BASE64", b"base64;", b'"Base64"'}
