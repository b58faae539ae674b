"""Codes for irregularities in a message and how it was read nevertheless. None of them stops processing."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Collection


class Defect(Enum):
    """A code and its meaning."""

    meaning: str
    __hash__ = object.__hash__  # members are singletons; that of Enum is a function in Python

    def __new__(cls, code: str, meaning: str) -> Self:
        """Create a member whose value is its code."""
        made = object.__new__(cls)
        made._value_ = code
        made.meaning = meaning
        return made

    MAY_BE_CUT = (
        "may_be_cut",
        "The mail server sent far fewer bytes than it listed, or something that is no answer behind the message",
    )
    TRUNCATED = "truncated", "The message ends before the final boundary of a multipart"
    BYTE_ORDER_MARK = "byte_order_mark", "A byte order mark precedes the header; it was skipped"
    BLANK_BEFORE_HEADER = "blank_before_header", "Blank lines precede a header; they were skipped"
    BLANKS_END_HEADER = "header_ended_by_blanks", "A line of blanks or control characters ends a header"
    HEADER_UNENDED = (
        "header_not_ended",
        "No blank line ends a header; what follows its fields was read as content",
    )
    HEADER_LINES = "header_lines_skipped", "Lines of a header are not fields; they were skipped"
    DELIMITER_JUNK = "delimiter_junk", "Other characters follow a boundary in its line; they were skipped"
    DELIMITER_MISSING = (
        "opening_delimiter_missing",
        "A multipart has a closing delimiter only; what precedes it was read as a part",
    )
    BARE_CR = (
        "bare_cr",
        "Bare CR stands in a header or around a delimiter of a message with other line ends; it may end a line there",
    )
    TEXT_OUTSIDE = "text_outside_parts", "Text before the first or after the last part of a multipart is in no part"
    BOUNDARY_GUESSED = (
        "boundary_guessed",
        "The boundary of a multipart never occurs; another line that looks like a delimiter was used",
    )
    ENCODING_WRONG = (
        "transfer_encoding_wrong",
        "A text, message, XML or JSON declared as base64 is plain; it was read as it is",
    )
    TEXT_AROUND = (
        "text_around_file",
        "Text surrounds the uuencoded or yEnc file of a part; it was skipped",
    )
    UNACCOUNTED = (
        "bytes_unaccounted",
        "The parser lost track of bytes; this is a bug, please report it with the raw message",
    )
    NO_HEADERS = "no_headers", "A part has no header fields; it was read as text"
    BOUNDARY_ABSENT = (
        "boundary_absent",
        "The boundary of a multipart never occurs; its content was read as text",
    )
    HEADERS_OUTSIDE = (
        "headers_outside_parts",
        "A preamble or epilogue, which is not read, contains MIME header fields",
    )
    NO_BOUNDARY = (
        "no_boundary",
        "A multipart declares no boundary; a line that looks like a delimiter was used, or it was read as text",
    )
    HEADER_CAPPED = (
        "header_capped",
        "A header is larger or has more fields than the limits allow; the rest was ignored",
    )
    DEPTH_LIMIT = "depth_limit", "Parts are nested deeper than the limit; deeper ones stay inside their container"
    PARTS_LIMIT = "parts_limit", "There are more parts than the limit; the rest is in the raw message only"
    UNKNOWN_ENCODING = "unknown_transfer_encoding", "The transfer encoding is unknown; the bytes were not decoded"
    BASE64_NOISE = "base64_noise", "Base64 contains bytes outside its alphabet; they were skipped"
    BASE64_RESUMED = "base64_resumed", "Base64 continues after its padding; both pieces were decoded"
    BASE64_TRUNCATED = "base64_truncated", "Base64 ends in the middle of a byte"
    BAD_ESCAPE = "bad_quoted_printable", "An equals sign in quoted-printable does not begin an escape; it was kept"
    UNKNOWN_CHARSET = "unknown_charset", "The charset is unknown; the text was read as UTF-8, else as Windows-1252"
    CHARSET_DETECTED = "charset_detected", "8-bit text declares no charset; it was read in the one that was detected"
    BAD_CHARSET = "bad_charset", "Bytes are invalid in the declared charset; they were replaced"
    RAW_BYTES = "raw_bytes_in_header", "A header contains unencoded bytes above 127"
    BAD_DATE = "bad_date", "The Date field is no date, or lies outside 1971 to 2100; it is null"
    NAME_CLEANED = "name_cleaned", "Control, invisible or direction-changing characters were removed from a file name"
    NAME_PATH = "name_path", "A file name contained folders; only its last part was kept"
    NAME_RESERVED = "name_reserved", "A file name is reserved on some systems; it was changed"
    NAME_SHORTENED = "name_shortened", "A file name is too long; it was shortened"
    DUPLICATE_FIELD = (
        "duplicate_content_type",
        "A part declares its type or boundary twice; the first was used, unless the content contradicts it",
    )
    PARTIAL = "message_partial", "A piece of a split message or file; stored, not reassembled"
    BAD_UUENCODE = "bad_uuencode", "A uuencoded file contains invalid lines; they were skipped"
    BLOCK_TRUNCATED = "embedded_truncated", "A uuencoded or yEnc file has no end line"
    NO_BLOCK = (
        "embedded_absent",
        "A part that is declared as uuencoded or yEnc contains no such file; it was read as it is",
    )
    YENC_MISMATCH = "yenc_mismatch", "Size or checksum of a yEnc file differ from its end line"
    CONTAINER_BROKEN = "container_broken", "A container is damaged; what could be read was extracted"
    CONTAINER_LIMIT = (
        "container_limit",
        "A container holds more, larger or deeper nested files than the limits allow; the others were not extracted",
    )
    CONTAINER_STOPPED = (
        "container_stopped",
        "Reading a container took too much time or memory; its content was not extracted",
    )
    ARCHIVE_PASSWORD = "archive_password", "Files of an archive need a password; they were not extracted"
    PDF_PASSWORD = "pdf_password", "A PDF needs a password; the files in it were not extracted"
    PASSWORD_WRONG = (
        "password_wrong",
        "An archive or a PDF needs another password than those configured for the mailbox and the sender",
    )
    ENCRYPTION_UNSUPPORTED = (
        "encryption_unsupported",
        "An archive or a PDF is encrypted in a way that is not read; it was not opened",
    )
    DERIVED_LIMIT = (
        "derived_limit",
        "A text is too large, too deeply nested or too odd for another form of it; that is incomplete or missing",
    )
    PDF_UNREAD = "pdf_unread", "A PDF seems to contain files, and the extra that reads them is not installed"
    TNEF_CHECKSUM = "tnef_checksum", "The checksum of a file in a winmail.dat is wrong"
    DOCTYPE = "xml_doctype", "An XML file has a DOCTYPE that declares entities; it was not inspected"
    INVOICE_BROKEN = "invoice_broken", "An e-invoice is damaged; its fields are those before the damage"
    RULE_FAILED = "rule_failed", "The condition of a rule could not be evaluated; the rule was applied"
    INVOICE_LIMIT = (
        "invoice_limit",
        "An e-invoice is larger or more deeply nested than the limits allow; its fields are those up to there",
    )


def codes(defects: Collection[Defect]) -> tuple[str, ...]:
    """Return the codes in alphabetical order; nearly always there are none."""
    return tuple(sorted([defect.value for defect in defects])) if defects else ()
