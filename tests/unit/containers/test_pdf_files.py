"""Files in PDFs are extracted within limits; a hostile PDF does no harm."""

from __future__ import annotations

import io
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from ingest.containers import pdfreader
from ingest.containers.limits import ContainerLimits
from ingest.containers.pdf import PdfFiles, PdfScan
from ingest.containers.stream import FileEnd
from ingest.invoices.recognise import recognise
from ingest.mime.defects import Defect
from tests.support import without_ciphers
from tests.support.guarded import InThisProcess
from tests.support.pdfs import Holding, nested, pdf, with_object_streams, written

if TYPE_CHECKING:
    from collections.abc import Iterable

CORPUS = Path(__file__).parents[4] / "shared" / "corpus" / "einvoices"
LIMITS = ContainerLimits()
XML = Holding("factur-x.xml", b"<xml/>")
OTHER = Holding("Zeichnung ä.dwg", bytes(range(256)) * 500)


class Held(NamedTuple):
    name: str | None
    data: bytes
    type: str = "application/octet-stream"
    defects: frozenset[Defect] = frozenset()


class Found(NamedTuple):
    files: list[Held]
    encrypted: bool
    defects: set[Defect]


def scanned(data: bytes, size: int = 4096) -> PdfScan:
    scan = PdfScan()
    for at in range(0, len(data), size):
        scan.feed(data[at : at + size])
    return scan


def read(data: bytes, limits: ContainerLimits = LIMITS, most: int = 2**30, scan: PdfScan | None = None) -> Found:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        files = PdfFiles(file.fileno(), scan or scanned(data), limits, max_bytes=most, seconds=60)
        held: list[Held] = []
        pieces: list[bytes] = []
        for event in files:
            if isinstance(event, FileEnd):
                held.append(Held(event.filename, b"".join(pieces), event.declared_type, event.defects))
                pieces = []
            else:
                pieces.append(event)
        assert not pieces
    return Found(held, files.encrypted, files.defects)


@pytest.fixture(autouse=True)
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests read in this process, those with `BOTH` in a guarded one too, those with `GUARDED` only there."""
    if getattr(request, "param", HERE) == HERE:
        monkeypatch.setattr("ingest.containers.guard.Guarded", InThisProcess)


HERE, PROCESS = "here", "in a process"
BOTH = pytest.mark.parametrize("where", [HERE, PROCESS], indirect=True)
GUARDED = pytest.mark.parametrize("where", [PROCESS], indirect=True)


def held(*files: Holding) -> Found:
    return Found([Held(each.name, each.data) for each in files], encrypted=False, defects=set())


@BOTH
def test_files_are_extracted_exactly_with_invoices_first() -> None:
    assert read(pdf(OTHER, XML)) == held(XML, OTHER)


@pytest.mark.parametrize(
    "holding",
    [XML, XML._replace(associated=True), XML._replace(associated=True, tree=False)],
    ids=["name tree", "both", "associated"],
)
def test_file_named_twice_is_extracted_once(holding: Holding) -> None:
    assert read(pdf(holding)) == held(XML)


@pytest.mark.parametrize("cyclic", [False, True])
def test_name_tree_of_any_depth_is_read(cyclic: bool) -> None:  # noqa: FBT001 - a parameter of pytest's
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(XML, OTHER))))
    nested(writer, 40, cyclic=cyclic)
    assert read(written(writer)) == held(XML, OTHER)


def test_endless_name_tree_does_not_hide_files() -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(XML._replace(associated=True, tree=False)))))
    nested(writer, 1, cyclic=True)
    assert read(written(writer)) == held(XML)


@pytest.mark.parametrize("algorithm", ["RC4-40", "RC4-128", "AES-128", "AES-256"])
@BOTH
def test_encrypted_pdf_with_empty_password_is_read(algorithm: str) -> None:
    assert read(pdf(XML, password="", algorithm=algorithm)) == held(XML)._replace(encrypted=True)


@BOTH
def test_pdf_with_a_password_is_not_opened() -> None:
    assert read(pdf(XML, password="tiger")) == Found([], encrypted=True, defects={Defect.PDF_PASSWORD})


def test_pdf_encrypted_for_certificates_is_not_opened() -> None:
    made = pdf(XML, password="").replace(b"/Standard", b"/Entrust ")
    assert read(made) == Found([], encrypted=True, defects={Defect.ENCRYPTION_UNSUPPORTED})


@GUARDED
def test_missing_cipher_library_affects_only_encrypted_pdfs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdfreader, "MODULE", without_ciphers.MODULE)
    assert read(pdf(XML, password="", algorithm="RC4-128")) == held(XML)._replace(encrypted=True)
    unread = Found([], encrypted=True, defects={Defect.PDF_UNREAD})
    assert read(pdf(XML, password="", algorithm="AES-256")) == unread
    assert read(pdf(XML, password="", algorithm="AES-128")) == unread


@pytest.mark.parametrize("password", ["", "tiger"])
def test_scan_reports_encryption_without_files(password: str, no_process: None) -> None:
    assert read(pdf(password=password)) == Found([], encrypted=True, defects=set())


def test_content_of_a_file_does_not_make_the_pdf_encrypted() -> None:
    inner = Holding("inner.pdf", b"%PDF-1.7 trailer <</Encrypt 1 0 R>>")
    assert scanned(pdf(inner)).encrypted
    assert read(pdf(inner)) == held(inner)


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("ingest.containers.guard.Guarded", refuse)


def test_no_process_is_started_without_files(no_process: None) -> None:
    assert read(pdf()) == held()


@pytest.mark.parametrize(
    "dictionary",
    [b"/Type/EmbeddedFile", b"/Params<</Size 6>>", b"/Subtype/text#2Fxml", b"/Subtype/application#2fxml"],
)
def test_scan_finds_files_despite_compressed_objects(dictionary: bytes) -> None:
    made = with_object_streams(XML.name, XML.data, dictionary)
    assert b"/EmbeddedFiles" not in made
    assert [(each.name, each.data) for each in read(made).files] == [(XML.name, XML.data)]


def test_declared_type_comes_from_the_file() -> None:
    typed = with_object_streams(XML.name, XML.data, b"/Subtype/text#2Fxml")
    assert read(typed).files == [Held(XML.name, XML.data, "text/xml")]
    odd = with_object_streams(XML.name, XML.data, b"/Type/EmbeddedFile/Subtype/Text#0A")
    assert read(odd).files == [Held(XML.name, XML.data)]


@BOTH
def test_files_beyond_the_limits_are_left_out() -> None:
    made = pdf(*(Holding(f"{number}.bin", b"x" * 1000) for number in range(5)), XML)
    few = read(made, replace(LIMITS, children=3))
    assert [each.name for each in few.files] == ["factur-x.xml", "0.bin", "1.bin"]
    assert few.defects == {Defect.CONTAINER_LIMIT}
    small = read(made, most=2500)
    assert [each.name for each in small.files] == ["factur-x.xml", "0.bin", "1.bin"]
    assert small.defects == {Defect.CONTAINER_LIMIT}


@pytest.mark.parametrize(
    ("size", "limits"),
    [
        (2**21, replace(LIMITS, ratio=100, ratio_free=2**20)),  # compressed a thousandfold
        (80_000_000, LIMITS),  # more than is decoded at all
    ],
)
@BOTH
def test_decompression_bomb_is_not_extracted(size: int, limits: ContainerLimits) -> None:
    bomb = with_object_streams("a.bin", bytes(size), b"/Type/EmbeddedFile")
    assert read(bomb, limits) == held()._replace(defects={Defect.CONTAINER_LIMIT})


@GUARDED
def test_stopped_process_is_reported() -> None:
    """The memory limit is enough to read the file, but not for its decompressed content."""
    large = with_object_streams("a.bin", bytes(range(256)) * 2**17, b"/Type/EmbeddedFile")
    assert read(large, replace(LIMITS, child_bytes=2**26, ratio=10**6)).defects == {Defect.CONTAINER_STOPPED}


@BOTH
def test_damaged_file_is_extracted_with_a_defect() -> None:
    made = with_object_streams("a.bin", bytes(range(256)) * 40, b"/Type/EmbeddedFile")
    begin = made.index(b"stream\n") + 60
    found = read(made[:begin] + b"\xff\0\xff\0" + made[begin + 4 :])
    assert [each.defects for each in found.files] == [frozenset({Defect.CONTAINER_BROKEN})]


def test_file_shorter_than_declared_is_damaged() -> None:
    found = read(with_object_streams("a.bin", b"123456", b"/Params<</Size 7>>"))
    assert found.files == [Held("a.bin", b"123456", defects=frozenset({Defect.CONTAINER_BROKEN}))]


@BOTH
def test_broken_pdf_is_reported() -> None:
    assert read(b"%PDF-1.7\n1 0 obj<</Type/EmbeddedFile>>") == Found(
        [], encrypted=False, defects={Defect.CONTAINER_BROKEN}
    )


def test_missing_library_is_reported_only_for_pdfs_with_files(
    monkeypatch: pytest.MonkeyPatch, no_process: None
) -> None:
    monkeypatch.setattr("ingest.containers.pdf.find_spec", {}.get)
    assert read(pdf()) == held()
    assert read(pdf(XML)) == held()._replace(defects={Defect.PDF_UNREAD})


@given(st.data())
def test_scan_result_does_not_depend_on_piece_size(data: st.DataObject) -> None:
    signs = st.sampled_from(
        [
            b"/EmbeddedFile",
            b"/Encrypt 12 0 R",
            b"/Encrypt\n\n<<",
            b"/Params<<",
            b"/text#2Fxml",
            b"/EF ",
            b"/E",
            b"/Encry",
        ]
    )
    noise = st.binary(max_size=90)
    content = b"".join(data.draw(st.lists(signs | noise, max_size=6)))
    whole = scanned(content, len(content) + 1)
    for size in (1, 2, 7, 64):
        part = scanned(content, size)
        assert (part.holds_files, part.encrypted) == (whole.holds_files, whole.encrypted)


@settings(max_examples=12)
@given(st.data())
@GUARDED
def test_arbitrary_bytes_do_not_raise(data: st.DataObject) -> None:
    """PDFs with a few bytes changed. Each is read in a process of its own, so there are few examples."""
    made = bytearray(data.draw(st.sampled_from(SOUND)))
    changes: Iterable[tuple[int, bytes]] = data.draw(
        st.lists(st.tuples(st.integers(0, len(made)), st.binary(min_size=1, max_size=8)), max_size=12)
    )
    for at, content in changes:
        made[at : at + len(content)] = content
    scan = PdfScan()
    scan.holds_files = True
    assert read(bytes(made), scan=scan).defects <= set(Defect)


SOUND = [pdf(XML), pdf(XML, password=""), with_object_streams("a.xml", b"<a/>", b"/Type/EmbeddedFile")]


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is not here")
@BOTH
def test_every_hybrid_corpus_pdf_yields_its_invoice() -> None:
    paths = sorted(CORPUS.glob("**/*.pdf"))
    assert len(paths) >= 9
    for path in paths:
        found = read(path.read_bytes())
        first = found.files[0]
        invoice = recognise([first.data], first.name or "").invoice
        assert invoice is not None
        assert not found.encrypted
        assert not found.defects
        assert invoice.confidence == "certain"
        if "ZUGFeRDv1" in path.parts:
            assert (first.name, invoice.format) == ("ZUGFeRD-invoice.xml", "zugferd1")
            assert invoice.profile == path.name.split("_")[2].lower()
        else:
            assert (first.name, invoice.format, invoice.profile) == ("factur-x.xml", "cii", "en16931")
