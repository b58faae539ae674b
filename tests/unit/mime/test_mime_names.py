"""Names for display and for object keys; types detected from bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.mime.detect import detect_type
from ingest.mime.names import display_name

ODT = "application/vnd.oasis.opendocument.text"
P7M = "application/pkcs7-mime"


@pytest.mark.parametrize(
    ("filename", "display", "defects"),
    [
        ("invoice.pdf", "invoice.pdf", ()),
        ("../../etc/passwd", "passwd", ("name_path",)),
        ("C:\\mail\\invoice.pdf", "invoice.pdf", ("name_path",)),
        ("..", "part-2", ()),
        (".hidden", "hidden", ()),
        ("con.txt", "_con.txt", ("name_reserved",)),
        ("report. . ", "report", ()),
        ("gnp\u202efdp.exe", "gnpfdp.exe", ("name_cleaned",)),
        ("zero\u200bwidth\x00.pdf", "zerowidth.pdf", ("name_cleaned",)),
        ("invoice.pdf.exe", "invoice.pdf.exe", ()),
        ("ü" * 300 + ".pdf", "ü" * 125 + ".pdf", ("name_shortened",)),
    ],
)
def test_display_names(filename: str, display: str, defects: tuple[str, ...]) -> None:
    """No folder, no device, no control or invisible character, no more than file systems take; extensions stay."""
    name = display_name("2", filename, "application/pdf")
    assert (name.display, name.defects) == (display, defects)
    assert name.original == (filename.replace("\0", "\ufffd") if filename != display else None)


@pytest.mark.parametrize(
    ("detected_type", "expected"),
    [("application/pdf", "part-2.1.pdf"), ("application/x-perl", "part-2.1.bin"), ("text/plain", "part-2.1.txt")],
)
def test_unnamed_part_is_named_after_its_path_and_type(detected_type: str, expected: str) -> None:
    """From a table of our own: the machine's would give other keys elsewhere."""
    assert display_name("2.1", None, detected_type).display == expected


def test_path_and_safe_name_fit_a_file_system() -> None:
    path = ".".join(["10"] * 50)
    name = display_name(path, "ü" * 300 + ".pdf", "application/pdf")
    assert len(f"{path}-{name.safe}".encode()) <= 255
    assert name.safe.endswith(".pdf")


def test_overlong_original_name_is_cut() -> None:
    original = display_name("1", "x" * 100_000 + ".pdf", "application/pdf").original
    assert original is not None
    assert len(original) == 998


@given(st.text(max_size=400))
def test_names_cannot_escape_their_folder(filename: str) -> None:
    safe = display_name("2", filename, "application/pdf").safe
    assert safe
    assert safe not in (".", "..")
    assert not set(safe) & set('/\\:*?"<>|')
    assert all(ord(char) >= 0x20 for char in safe)
    assert len(safe.encode()) <= 200


@pytest.mark.parametrize(
    ("first", "declared", "expected"),
    [
        (b"%PDF-1.7\n", "application/octet-stream", "application/pdf"),
        (b"\xef\xbb\xbf\r\n%PDF-1.4", "application/pdf", "application/pdf"),
        (b"PK\x03\x04" + bytes(26) + b"invoice.pdf", "application/zip", "application/zip"),
        (
            b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml" + b"xl/workbook.xml",
            "application/zip",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
        (b'<?xml version="1.0"?><Invoice/>', "text/plain", "application/xml"),
        (b"<!DOCTYPE html><html>", "text/plain", "text/html"),
        (b"a;b\n1;2\n", "text/csv", "text/csv"),
        (b"plain", "text/plain", "text/plain"),
        (b"plain", "application/pdf", "text/plain"),
        (b"MZ\x90\x00", "application/pdf", "application/vnd.microsoft.portable-executable"),
        (b"\x89PNG\r\n\x1a\n", "image/jpeg", "image/png"),
        (b"\x00\x01\x02", "application/pdf", "application/octet-stream"),
        (b"", "application/pdf", "application/octet-stream"),
        (b"<p:Fattura xmlns:p='urn:x'/>", "application/xml", "application/xml"),
        (b"<p:Fattura xmlns:p='urn:x'/>", "text/plain", "text/plain"),
        (b"<!-- a --> <!-- b --><html>", "text/plain", "text/html"),
        (b"<!---->" * 500, "text/plain", "text/plain"),
        (b"\x00\x00\x00\x18ftypmp42", "application/octet-stream", "video/mp4"),
        (b"PK\x03\x04" + bytes(26) + b"mimetypeapplication/vnd.oasis.opendocument.textPK", "x/y", ODT),
        (b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", "application/octet-stream", P7M),
        (b"From: a@b\r\n\r\n", "message/rfc822", "message/rfc822"),
        (b"\x78\x9f\x3e\x22\x01\x00", "application/octet-stream", "application/ms-tnef"),
        # A PDF inside of something else, as near to its beginning as in a real one.
        (b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80%PDF-1.7", "application/pdf", P7M),
        (b"\x30\x80\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17", "application/octet-stream", P7M),
        (b"PK\x03\x04" + bytes(26) + b"a.pdf%PDF-1.7", "application/pdf", "application/zip"),
        (b"\r\n rubbish %PDF-1.7", "text/plain", "application/pdf"),
    ],
)
def test_types_are_detected_from_bytes(first: bytes, declared: str, expected: str) -> None:
    """What a sender declares is not believed where bytes can tell."""
    assert detect_type(first, declared, None) == expected


@pytest.mark.parametrize("filename", ["a" * 300, "a" * 100 + "." + "b" * 300])
def test_name_without_a_short_extension_is_cut_at_its_end(filename: str) -> None:
    name = display_name("2", filename, "application/pdf")
    assert name.defects == ("name_shortened",)
    assert filename.startswith(name.display)
