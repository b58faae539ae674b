"""Codes for what was odd about a message and how it was read nevertheless. None of them stops anything."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Collection


class Defect(Enum):
    """A code, and what it means."""

    meaning: str

    def __new__(cls, code: str, meaning: str) -> Self:
        """A member whose value is its code."""
        made = object.__new__(cls)
        made._value_ = code
        made.meaning = meaning
        return made

    TRUNCATED = "truncated", "The message ends before the final boundary of a multipart"
    NO_HEADERS = "no_headers", "A part has no header fields; it was read as text"
    BOUNDARY_ABSENT = (
        "boundary_absent",
        "The boundary of a multipart never comes; its first 64 KiB were read as text",
    )
    HEADERS_OUTSIDE = "headers_outside_parts", "A preamble or epilogue, which is not read, holds MIME header fields"
    NO_BOUNDARY = "no_boundary", "A multipart names no boundary; it was read as text"
    HEADER_CAPPED = "header_capped", "A header is larger, or has more fields, than is read"
    DEPTH_LIMIT = "depth_limit", "Parts are nested deeper than is read; what is deeper stays inside its container"
    PARTS_LIMIT = "parts_limit", "There are more parts than are read; the rest is in the raw message only"
    UNKNOWN_ENCODING = "unknown_transfer_encoding", "The transfer encoding is unknown; bytes were taken as they are"
    BASE64_NOISE = "base64_noise", "Bytes outside the alphabet stood in base64; they were skipped"
    BASE64_RESUMED = "base64_resumed", "Base64 went on after its padding; both pieces were decoded"
    BASE64_TRUNCATED = "base64_truncated", "Base64 ends in the middle of a byte"
    BAD_ESCAPE = "bad_quoted_printable", "An equals sign in quoted-printable begins no escape; it was kept"
    UNKNOWN_CHARSET = "unknown_charset", "The charset is unknown; read as UTF-8, else as Windows-1252"
    BAD_CHARSET = "bad_charset", "Bytes do not fit the declared charset; they were replaced"
    RAW_BYTES = "raw_bytes_in_header", "A header holds bytes above 127 that are not encoded"
    NAME_CLEANED = "name_cleaned", "Control, invisible or direction-changing characters were taken out of a file name"
    NAME_PATH = "name_path", "A file name held folders; only its last part was kept"
    NAME_RESERVED = "name_reserved", "A file name is reserved on some systems; it was changed"
    NAME_SHORTENED = "name_shortened", "A file name is too long; it was shortened"
    DUPLICATE_FIELD = (
        "duplicate_content_type",
        "A part declares its type or boundary twice; the first counts, unless its bytes plainly say otherwise",
    )
    PARTIAL = "message_partial", "A piece of a split message or file; stored, not put together"
    BAD_UUENCODE = "bad_uuencode", "Lines of a uuencoded file are none; they were skipped"
    BLOCK_TRUNCATED = "embedded_truncated", "A uuencoded or yEnc file has no end line"
    NO_BLOCK = "embedded_absent", "A part that is said to be uuencoded or yEnc holds no such file"
    YENC_MISMATCH = "yenc_mismatch", "A yEnc file has another size or checksum than its end line says"
    CONTAINER_BROKEN = "container_broken", "A file that holds others is damaged; what could be read was taken out"
    CONTAINER_LIMIT = (
        "container_limit",
        "A file holds more, larger or deeper nested files than are taken out; the others are in it only",
    )
    CONTAINER_STOPPED = (
        "container_stopped",
        "Looking into a file took too long or too much memory; what it holds was not taken out",
    )
    PDF_UNREAD = "pdf_unread", "A PDF seems to hold files, and what reads them is not installed"
    TNEF_CHECKSUM = "tnef_checksum", "A file in a winmail.dat has another checksum than is written behind it"
    DOCTYPE = "xml_doctype", "An XML file has a DOCTYPE; it was not looked into"


def codes(defects: Collection[Defect]) -> tuple[str, ...]:
    """Their codes, in the order of the alphabet; nearly always there are none."""
    return tuple(sorted([defect.value for defect in defects])) if defects else ()
