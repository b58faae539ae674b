"""Names for people and for object keys; types by their octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.mime.detect import detect_type
from ingest.mime.names import display_name


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
def test_names_to_show(filename: str, display: str, defects: tuple[str, ...]) -> None:
    """Cases 9 to 13 of names."""
    name = display_name("2", filename, "application/pdf")
    assert (name.display, name.defects) == (display, defects)
    assert name.original == (filename if filename != display else None)


def test_a_part_without_a_name_is_called_after_its_place_and_type() -> None:
    assert display_name("2.1", None, "application/pdf").display == "part-2.1.pdf"


@given(st.text(max_size=400))
def test_no_name_leaves_its_folder(filename: str) -> None:
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
        (b"From: a@b\r\n\r\n", "message/rfc822", "message/rfc822"),
    ],
)
def test_types_by_their_octets(first: bytes, declared: str, expected: str) -> None:
    """Case 39: what a sender declares is not believed where octets can tell."""
    assert detect_type(first, declared, None) == expected
