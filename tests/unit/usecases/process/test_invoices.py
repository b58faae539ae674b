"""E-invoices of a mail: their fields are in the manifest, and nowhere else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

import ingest.usecases.process.containers as containers_module
from ingest.domain.cloudevents import event_of
from ingest.metrics import Metrics
from ingest.mime.defects import Defect
from tests.support.containers import mail_with
from tests.support.processing import process
from tests.unit.invoices.samples import BASE, SAMPLES, ubl
from tests.unit.invoices.samples_more import OTHER_SAMPLES, XML_SAMPLES

AT = datetime(2026, 11, 27, tzinfo=UTC)
SHARED = Path(__file__).parents[5] / "shared"
CASES = SHARED / "cases" / "mime"
CORPUS = SHARED / "corpus" / "einvoices"
INVOICE = ("R-17.xml", "application/xml", ubl().encode())


def texts(fields: object) -> list[str]:
    if isinstance(fields, dict):
        return [text for value in fields.values() for text in texts(value)]
    return [fields] if isinstance(fields, str) else []


def test_fields_are_in_the_manifest_and_not_in_the_event() -> None:
    manifest = process(mail_with(INVOICE)).manifest
    (attachment,) = manifest.attachments
    assert attachment.invoice is not None
    assert attachment.invoice.fields is not None
    assert attachment.invoice.fields.model_dump() == BASE
    event = json.loads(event_of(manifest, AT).body)
    invoice = event["data"]["attachments"][0]["invoice"]
    assert invoice == attachment.invoice.model_dump() | {"fields": None}
    assert manifest.attachments[0].invoice == attachment.invoice


def test_option_leaves_fields_out() -> None:
    (attachment,) = process(mail_with(INVOICE), invoice_fields=False).manifest.attachments
    assert attachment.invoice is not None
    assert (attachment.invoice.profile, attachment.invoice.count, attachment.invoice.fields) == ("en16931", 1, None)


def test_fields_are_in_no_log_line_and_no_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when reading them fails."""
    metrics = Metrics()
    monkeypatch.setattr("tests.support.processing.Metrics", lambda: metrics)

    def broken(*_: object, **__: object) -> None:
        raise ValueError("R-17 of Seller & Co")

    with capture_logs() as lines:
        process(mail_with(INVOICE))
        monkeypatch.setattr("ingest.invoices.xml.fields_of", broken)
        (attachment,) = process(mail_with(INVOICE)).manifest.attachments
    assert attachment.invoice is None
    assert attachment.defects == [Defect.CONTAINER_BROKEN.value]
    assert [line["event"] for line in lines if line["event"] == "container.bug"]
    written = json.dumps([{**line, "exc_info": None} for line in lines]) + generate_latest(metrics.registry).decode()
    for text in texts({key: BASE[key] for key in ("number", "seller", "buyer", "iban", "net", "gross")}):
        if len(text) > 2:
            assert text not in written


def test_bytes_that_are_read_of_one_message_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers_module, "_ALL_INVOICE_BYTES", 200_000)
    large = ubl().replace("</Invoice>", "<!-- -->" * 18_500 + "</Invoice>").encode()
    found = process(mail_with(*(("R.xml", "application/xml", large) for _ in range(3)))).manifest.attachments
    assert [each.defects for each in found] == [[], *[[Defect.INVOICE_LIMIT.value]] * 2]
    assert [each.invoice is not None and each.invoice.format for each in found] == ["ubl"] * 3


def test_every_sample_is_found_whatever_its_name_and_type() -> None:
    samples = (*SAMPLES, *XML_SAMPLES, *OTHER_SAMPLES)
    mail = mail_with(*(("a.bin", "application/octet-stream", each.content.encode()) for each in samples))
    found = process(mail).manifest.attachments
    assert [each.invoice and each.invoice.format for each in found] == [each.format for each in samples]


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_every_shared_case_is_certain() -> None:
    mails = sorted(CASES.glob("e-*.eml"))
    assert len(mails) > 10
    for mail in mails:
        invoices = [each.invoice for each in process(mail.read_bytes()).manifest.attachments]
        assert [invoice is not None and invoice.confidence for invoice in invoices] == ["certain"], mail.name
        assert invoices[0] is not None
        assert invoices[0].profile, mail.name


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is not here")
def test_every_hybrid_pdf_of_the_shared_corpus_has_fields() -> None:
    for path in sorted(CORPUS.glob("**/*.pdf")):
        carrier, inside, *_ = process(
            mail_with((path.name, "application/pdf", path.read_bytes()))
        ).manifest.attachments
        assert inside.invoice is not None, path.name
        assert carrier.invoice is not None
        fields = inside.invoice.fields
        assert fields is not None
        assert fields == carrier.invoice.fields
        assert all((fields.number, fields.issue_date, fields.kind, fields.gross, fields.currency, fields.seller.name))
