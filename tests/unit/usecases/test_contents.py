"""What is inside of attachments becomes attachments: winmail.dat, signed mail and files, and these in one another."""

from __future__ import annotations

import base64
import threading
import tracemalloc
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.adapters.scanners.memory import MemoryScanner
from ingest.adapters.stores.folder import FolderStore
from ingest.adapters.stores.memory import MemoryStore
from ingest.containers.limits import ContainerLimits
from ingest.containers.pdf import PdfFiles, PdfScan
from ingest.containers.stream import FileEnd
from ingest.domain.manifest import Headers
from ingest.mime import parse
from ingest.mime.events import MessageEnded, PartBegun, PartData, PartEnded
from ingest.mime.limits import MimeLimits
from ingest.usecases import contents
from ingest.usecases.assemble import Parts
from ingest.usecases.scans import Scanning
from tests.support.clamav import SIGNATURE, VIRUS
from tests.support.cms import ENVELOPED, der, in_segments, pem, signed, signed_ber
from tests.support.containers import mail_with
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
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from ingest.containers.stream import FileEvent
    from ingest.mime.defects import Defect

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 8
XML = (
    b'<?xml version="1.0"?>\n<p:FatturaElettronica versione="FPR12" '
    b'xmlns:p="http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fatture/v1.2"/>'
)
OFFER = (
    b'Content-Type: multipart/mixed; boundary="i"\r\n\r\n--i\r\nContent-Type: text/plain\r\n\r\nSigned.\r\n'
    b"--i\r\nContent-Type: text/html\r\n\r\n<p>Signed.\r\n"
    b'--i\r\nContent-Type: application/pdf; name="o.pdf"\r\n\r\n%PDF-1.7 offer\r\n--i--\r\n'
)
CII = (
    b'<CrossIndustryInvoice xmlns="urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"><ExchangedDocument'
    b"Context><GuidelineSpecifiedDocumentContextParameter><ID>urn:cen.eu:en16931:2017#compliant#urn:factur-x.eu:1p0:"
    b"basic</ID></GuidelineSpecifiedDocumentContextParameter></ExchangedDocumentContext></CrossIndustryInvoice>"
)
LIMITS = ContainerLimits()
WINMAIL = "winmail.dat", "application/ms-tnef"
SMIME = "smime.p7m", "application/pkcs7-mime"


def winmail(*files: bytes) -> tuple[str, str, bytes]:
    return *WINMAIL, tnef(*files)


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


def test_a_message_attached_in_a_winmail_dat_is_opened_in_its_turn() -> None:
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


def test_signed_mail_comes_out_like_the_mail_itself() -> None:
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


def test_texts_that_are_signed_in_a_nested_message_are_no_bodies() -> None:
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
    """And the time that the guarded processes of one message took is counted."""
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


def test_of_two_invoices_in_a_pdf_it_carries_the_one_that_is_certain() -> None:
    files = Holding("factur-x.xml", b"<other/>"), Holding("z.xml", CII), Holding("xrechnung.xml", b"<other/>")
    found = process(mail_with(("i.pdf", "application/pdf", pdf(*files))))
    certain = {each.filename: each.invoice.confidence for each in found.manifest.attachments if each.invoice}
    assert certain == {"i.pdf": "certain", "factur-x.xml": "likely", "xrechnung.xml": "likely", "z.xml": "certain"}


def test_all_pdfs_of_a_message_share_its_octets_and_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed: list[tuple[int, float]] = []

    class Slow(PdfFiles):
        def __init__(self, file: int, scan: PdfScan, limits: ContainerLimits, *, octets: int, seconds: float) -> None:
            super().__init__(file, scan, limits, octets=octets, seconds=seconds)
            allowed.append((octets, seconds))

        def __iter__(self) -> Iterator[FileEvent]:
            yield b"x" * 10
            yield FileEnd("a.txt")
            self.waited = 25.0

    monkeypatch.setattr(contents, "PdfFiles", Slow)
    hybrid = pdf(Holding("a.txt", b"a"))
    found = process(mail_with(*[(f"{number}.pdf", "application/pdf", hybrid) for number in range(4)]))
    assert allowed == [(LIMITS.octets - 10 * number, 60.0 - 25.0 * number) for number in range(3)]
    assert found.parts["5"].defects == ["container_stopped"]


def test_an_encrypted_pdf_is_told_of() -> None:
    closed, open_ = pdf(Holding("factur-x.xml", CII), password="x"), pdf(Holding("a.txt", b"a"), password="")
    found = process(mail_with(("a.pdf", "application/pdf", closed), ("b.pdf", "application/pdf", open_)))
    assert [(part, each.encrypted) for part, each in found.parts.items()] == [
        ("2", True),
        ("3", True),
        ("3.1", False),
    ]
    assert found.contents["3.1"] == b"a"


def test_no_time_left_for_guarded_processes_leaves_pdfs_unopened() -> None:
    mail = mail_with(("i.pdf", "application/pdf", pdf(Holding("a.xml", CII))))
    found = process(mail, containers=replace(LIMITS, seconds=0.0))
    assert [(part, each.defects) for part, each in found.parts.items()] == [("2", ["container_stopped"])]
    assert found.manifest.parse.status == "partial"


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


def test_encrypted_mail_is_told_by_its_octets() -> None:
    enveloped = signed_ber(b"", ENVELOPED)
    found = process(mail_with((*SMIME, enveloped), ("x.p7m", "text/plain", pem(enveloped))))
    assert [(part, role) for part, _, role, _ in found.described] == [("2", "encrypted"), ("3", "encrypted")]


def test_text_that_happens_to_be_named_like_a_signature_is_left_alone() -> None:
    found = process(mail_with(("a.p7m", "text/plain", b"Mister Smith"), ("b.p7m", "text/plain", b"")))
    assert [(each.part, each.defects, each.role) for each in found.manifest.attachments] == [
        ("2", [], "attachment"),
        ("3", [], "attachment"),
    ]


def test_a_detached_signature_is_not_looked_into() -> None:
    (signature,) = process(mail_with(("smime.p7s", "application/pkcs7-signature", signed(b"x")))).manifest.attachments
    assert (signature.role, signature.detected_type) == ("signature", "application/pkcs7-signature")


def test_what_is_inside_is_scanned_and_kept_apart_like_others() -> None:
    scanning = Scanning(MemoryScanner({VIRUS: SIGNATURE}), quarantine=True)
    inside = b"Content-Type: application/pdf\r\n\r\n%PDF " + VIRUS
    mail = mail_with(winmail(attached("v.pdf", b"%PDF " + VIRUS)), (*SMIME, signed(inside)), text=None)
    found = process(mail, scanning=scanning)
    said = {part: each.scan.status for part, each in found.parts.items() if each.scan}
    assert said == dict.fromkeys(["1", "1.1", "2", "2.1"], "infected")
    assert found.parts["1.1"].object.key == "m/quarantine/1.1-v.pdf"
    assert found.manifest.scan is not None
    assert found.manifest.scan.infected == 4


def test_a_broken_container_gives_what_it_has_and_is_stored_whole() -> None:
    octets = tnef(attached("a.pdf", PDF), attached("b.pdf", PDF))[:-100]
    found = process(mail_with((*WINMAIL, octets)))
    assert found.contents["2"] == octets
    assert found.contents["2.1"] == PDF
    assert PDF.startswith(found.contents["2.2"])
    assert found.parts["2"].defects == ["container_broken"]
    assert found.parts["2.2"].defects == ["container_broken"]
    whole = signed_ber(in_segments([OFFER]))
    cut_off = whole[: whole.index(b"<p>Si")]
    found = process(mail_with((*SMIME, cut_off), text=None))
    assert found.contents["1"] == cut_off
    assert found.bodies["text"] == b"Signed."
    assert "container_broken" in found.parts["1"].defects


def nested(levels: int) -> bytes:
    octets = b"%PDF"
    for _ in range(levels):
        octets = tnef(attached("x", octets))
    return octets


def test_containers_in_one_another_are_opened_down_to_a_limit() -> None:
    found = process(mail_with((*WINMAIL, nested(3))))
    assert [part for part, *_ in found.described] == ["2", "2.1", "2.1.1", "2.1.1.1"]
    assert found.manifest.parse.status == "complete"
    found = process(mail_with((*WINMAIL, nested(500))))
    assert [part for part, *_ in found.described] == ["2", "2.1", "2.1.1", "2.1.1.1"]
    assert found.parts["2.1.1.1"].defects == ["container_limit"]
    assert found.manifest.parse.status == "partial"


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (replace(LIMITS, children=2), ["1", "1.1", "1.2", "2", "2.1", "2.2"]),
        (replace(LIMITS, all_children=4), ["1", "1.1", "1.2", "1.3", "2", "2.1"]),
        (replace(LIMITS, octets=4 * len(PDF)), ["1", "1.1", "1.2", "1.3", "2", "2.1"]),
        (replace(LIMITS, octets=4 * len(PDF) + 1), ["1", "1.1", "1.2", "1.3", "2", "2.1"]),
        (replace(LIMITS, ratio=0, ratio_free=2 * len(PDF)), ["1", "1.1", "1.2", "2", "2.1", "2.2"]),
        (replace(LIMITS, ratio=1, ratio_free=0), ["1", "1.1", "1.2", "1.3", "2", "2.1", "2.2", "2.3"]),
        (replace(LIMITS, depth=0), ["1", "2"]),
    ],
)
def test_limits_end_what_is_taken_out_and_never_what_is_stored(limits: ContainerLimits, expected: list[str]) -> None:
    files = [attached(f"{number}", PDF) for number in range(3)]
    found = process(mail_with(winmail(*files), winmail(*files), text=None), containers=limits)
    assert [part for part, *_ in found.described] == expected
    assert found.contents["1"] == found.contents["2"] == tnef(*files)
    limited = [part for part in ("1", "2") if found.parts[part].defects == ["container_limit"]]
    assert limited == [part for part in ("1", "2") if f"{part}.3" not in expected]
    assert found.manifest.parse.status == ("partial" if limited else "complete")


def test_parts_of_signed_mail_count_too() -> None:
    found = process(mail_with((*SMIME, signed(OFFER)), text=None), containers=replace(LIMITS, children=2))
    assert found.bodies == {"text": b"Signed.", "html": b"<p>Signed."}
    assert found.parts["1"].defects == ["container_limit"]
    limits = MimeLimits(parts=2)
    found = process(mail_with((*SMIME, signed(OFFER)), text=None), limits=limits)
    assert found.parts["1"].defects == ["parts_limit"]
    assert found.manifest.parse.status == "partial"


def test_only_so_many_signed_messages_wait_for_the_message_to_end() -> None:
    mail = mail_with(*[(*SMIME, signed(OFFER))] * 4)
    found = process(mail, containers=replace(LIMITS, messages=2))
    opened = [part for part, *_ in found.described if part.endswith(".3")]
    assert opened == ["2.3", "3.3"]
    assert [found.parts[part].defects for part in "2345"] == [[], [], ["container_limit"], ["container_limit"]]


def test_no_two_parts_have_the_same_path() -> None:
    """A text that holds uuencoded files, and is CMS besides."""
    uuencoded = b"begin 644 x\r\n#86)C\r\n`\r\nend\r\n"
    odd = pem(signed(b"x")) + uuencoded
    both = b"--b\r\nContent-Type: text/plain\r\n\r\n" + odd + b"\r\n--b--\r\n"
    found = process(mail_with().replace(b"--b--\r\n", both))
    assert [(part, name) for part, _, _, name in found.described] == [("2", "part-2.p7m"), ("2.1", "x")]


@pytest.mark.parametrize(
    ("bug", "defect"),
    [
        *[(bug("a bug"), "container_broken") for bug in (ValueError, IndexError, RecursionError, AssertionError)],
        (MemoryError(), "container_stopped"),
    ],
)
def test_a_bug_in_a_reader_loses_neither_message_nor_container(
    monkeypatch: pytest.MonkeyPatch, bug: Exception, defect: str
) -> None:
    def read(chunks: Iterable[bytes], defects: set[Defect]) -> Iterator[FileEvent]:
        yield b"half of a file"
        raise bug

    monkeypatch.setattr(contents, "read_tnef", read)
    found = process(mail_with(winmail(attached("a", PDF)), ("a.pdf", "application/pdf", PDF)))
    assert [(each.part, each.defects) for each in found.manifest.attachments] == [("2", [defect]), ("3", [])]


def test_the_interrupt_of_a_worker_whose_time_is_up_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    class TimeIsUpError(Exception):
        pass

    def read(chunks: Iterable[bytes], defects: set[Defect]) -> Iterator[FileEvent]:
        yield b"half of a file"
        raise TimeIsUpError

    monkeypatch.setattr(contents, "read_tnef", read)
    with pytest.raises(TimeIsUpError):
        process(mail_with(winmail(attached("a", PDF)), (*SMIME, signed(OFFER))))


def test_processing_again_writes_the_same_keys() -> None:
    mail = mail_with(
        winmail(attached("a.pdf", PDF)), (*SMIME, signed(OFFER)), ("x.p7m", "text/plain", der(0x30, b""))
    )
    first, second = process(mail), process(mail)
    assert first.store.objects.keys() == second.store.objects.keys()
    assert first.manifest == second.manifest


@settings(max_examples=60)
@given(st.data())
def test_any_damage_to_containers_in_one_another_loses_no_message(data: st.DataObject) -> None:
    """Damage at any place and any depth: the message is complete, and nothing that is stored was made up."""
    inner = signed_ber(in_segments([OFFER[:60], OFFER[60:]]))
    octets = bytearray(
        tnef(attached("a.p7m", inner), attached("b.dat", tnef(attached("c.p7m", signed_ber(der(4, XML))))))
    )
    for at in data.draw(st.lists(st.integers(0, len(octets) - 1), max_size=6)):
        octets[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(octets)))
    found = process(mail_with((*WINMAIL, bytes(octets[:cut])), ("a.pdf", "application/pdf", PDF)))
    assert found.contents["2"] == octets[:cut]
    assert found.contents["3"] == PDF
    assert found.bodies["text"] == b"Hello."
    assert len(set(found.contents)) == len(found.manifest.attachments)
    assert all(each.parent in found.contents for each in found.manifest.attachments[1:] if "." in each.part)
    assert sum(map(len, found.contents.values())) <= 5 * len(octets) + len(PDF)


def test_memory_does_not_grow_with_what_is_taken_out(tmp_path: Path) -> None:
    """A file of 24 MiB in a signed file in a winmail.dat: the spools are on disk, and chunks pass."""
    content = bytes(range(256)) * 4096 * 24

    def peak(size: int) -> int:
        octets = tnef(attached("a.bin.p7m", signed_ber(der(4, content[:size]))))
        store = FolderStore(tmp_path)
        tracemalloc.start()
        with ThreadPoolExecutor(1) as uploads:
            parts = Parts(store, f"{size}", uploads, contents.Contents("k"))
            parts.take(PartBegun("1", None, "attachment", "application/ms-tnef"))
            for at in range(0, len(octets), 65_536):
                parts.take(PartData("1", octets[at : at + 65_536]))
            parts.take(PartEnded("1"))
            parts.take(MessageEnded(Headers(), "complete"))
            _, attachments = parts.finish()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert [each.size for each in attachments][-1] == size
        return most

    assert peak(len(content)) < peak(len(content) // 8) + 2**20


def test_parts_wait_in_memory_for_a_slow_store_in_small_number(tmp_path: Path) -> None:
    under_way, most, go = 0, 0, threading.Event()

    class Uploads(ThreadPoolExecutor):
        def submit(self, *what: Any, **how: Any) -> Future[Any]:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            future = super().submit(*what, **how)
            future.add_done_callback(ended)
            return future

    def ended(_: Future[Any]) -> None:
        nonlocal under_way
        under_way -= 1

    def slow(operation: str, key: str) -> None:
        go.wait(30)

    store = MemoryStore(fault=slow)
    with Uploads(1) as uploads, ThreadPoolExecutor(1) as reading:
        parts = Parts(store, "m", uploads, contents.Contents("k"))

        def read() -> None:
            for event in parse([mail_with(*[("a.txt", "text/plain", b"x")] * 200)]):
                parts.take(event)

        whole = reading.submit(read)
        try:
            eventually(lambda: under_way >= 32, 30)
        finally:
            go.set()
        whole.result(30)
        assert len(parts.finish()[1]) == 200
    assert most <= 33
