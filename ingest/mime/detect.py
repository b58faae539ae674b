"""Detect the media type of bytes by a signature table.

The libraries that were tried report a plain ZIP as a Word document, which is wrong too often in business mail.
"""

from __future__ import annotations

import re

DETECT_BYTES = 4096
PGP_MESSAGE = "application/pgp-encrypted"  # RFC 3156
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_OOXML = "application/vnd.openxmlformats-officedocument."
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"{\\rtf", "application/rtf"),
    (b"ID3", "audio/mpeg"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"\x7fELF", "application/x-executable"),
    (b"BEGIN:VCALENDAR", "text/calendar"),
    (b"-----BEGIN PKCS7-----", "application/pkcs7-mime"),
    (b"-----BEGIN PGP MESSAGE-----", PGP_MESSAGE),
    (b"-----BEGIN PGP SIGNATURE-----", "application/pgp-signature"),
    (b"-----BEGIN PGP PUBLIC KEY BLOCK-----", "application/pgp-keys"),
    (b"\x78\x9f\x3e\x22", "application/ms-tnef"),
    (b"OggS\0", "audio/ogg"),
    (b"fLaC\0", "audio/flac"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"(\xb5/\xfd", "application/zstd"),
    (b"8BPS\0", "image/vnd.adobe.photoshop"),
    (b"\0\0\1\0", "image/vnd.microsoft.icon"),
    (b"\xd7\xcd\xc6\x9a", "image/wmf"),
    (b"\1\0\0\0\x6c\0\0\0", "image/emf"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
    (b"\x1a\x45\xdf\xa3", "video/x-matroska"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (b"MSCF\0\0\0\0", "application/vnd.ms-cab-compressed"),
    (b"\x00\x00\x00\x0cjP  ", "image/jp2"),
)
# The same by their first two bytes: nearly every file is of another type than each of them.
_BY_START = {
    signature[:2]: tuple(each for each in _SIGNATURES if each[0][:2] == signature[:2]) for signature, _ in _SIGNATURES
}
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_FTYP = {b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif", b"avif": "image/avif"}
_BZIP2 = re.compile(rb"BZh[1-9]1AY&SY")
_BITMAP = re.compile(rb"BM.{4}\0{4}", re.DOTALL)
# The names of the first ZIP entries identify these formats.
_ZIP_ENTRIES: tuple[tuple[bytes, str], ...] = (
    (b"word/", _OOXML + "wordprocessingml.document"),
    (b"xl/", _OOXML + "spreadsheetml.sheet"),
    (b"ppt/", _OOXML + "presentationml.presentation"),
    (b"META-INF/MANIFEST.MF", "application/java-archive"),
)
# Object identifiers of CMS content types: PKCS #7 and S/MIME (RFC 5083, RFC 3274).
_CMS = (
    b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07",
    b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17",
    b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x09",
)
# Atomic: a comment ends at the first `-->`, without backtracking.
_HTML = re.compile(rb"(?i)(?>\s*<!--.*?-->)*+\s*<(!doctype html|html|head|body)\b", re.DOTALL)
_XML = re.compile(rb"\s*<\?xml\s")
_ELEMENT = re.compile(rb"\s*<[A-Za-z_!]")
# One of these fields, behind others or not.
_HEADER = re.compile(
    rb"""
      \s{0,99}+ (?: >?From [ ] [^\n]*\n )?+
      (?: [!-9;-~]{1,77} : [^\n]*\n (?:[ \t][^\n]*\n)* ){0,50}?
      (?: received|return-path|from|to|subject|date|message-id|mime-version|delivered-to ) :
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Of a mail without a name that says so: two of its own fields in the first lines, and nothing but fields before them.
_STRONG_HEADER = re.compile(
    rb"""
      \s{0,99}+ (?: >?From [ ] [^\n]*\n )?+
      (?: (?: [!-9;-~]{1,77} : [^\n]*\n (?:[ \t][^\n]*\n)*+ ){0,50}?
          (?: received|return-path|from|to|subject|date|message-id|mime-version|delivered-to ) :
          [^\n]*\n (?:[ \t][^\n]*\n)*+
      ){2}
    """,
    re.IGNORECASE | re.VERBOSE,
)
_NAME_WITH_TYPE = re.compile(r".*\.[a-z][a-z0-9]{0,4}", re.IGNORECASE | re.DOTALL)
_PDF = re.compile(rb"\s*%PDF-[0-9]\.[0-9]")
_NOT_PRINTABLE = re.compile(rb"[^\t\r\n -~]")
_NOT_BINARY = frozenset({"application/octet-stream", "application/rtf", "application/xml", "message/rfc822"})
_MESSAGES = frozenset({"message/rfc822", "message/global", "message/x-eml", "application/eml"})
_TEXT_TYPES = frozenset({"text/plain", "text/csv", "text/html", "text/calendar", "text/xml", "application/json"})
_CONTROLS = bytes(set(range(0x20)) - {0x09, 0x0A, 0x0C, 0x0D, 0x1B})


def binary_type(first: bytes) -> str | None:
    """Return the media type of bytes that are certainly a known binary format, however they are declared; else None.

    Args:
        first: the first 4 KiB.
    """
    if _PDF.match(first):
        return "application/pdf"
    if not first or not _NOT_PRINTABLE.search(first[:64]):
        return None
    known = detect_type(first, "", None)
    return None if known.startswith("text/") or known in _NOT_BINARY else known


def detect_type(first: bytes, declared: str, filename: str | None) -> str:
    """Return the media type of a file by its beginning.

    Args:
        first: the first 4 KiB.
        declared: the declared type; used where bytes alone do not decide (CSV or other text).
        filename: used likewise.

    Returns:
        Lower case `type/subtype`; `application/octet-stream` if unknown.
    """
    if not first:
        return declared if declared in _TEXT_TYPES else "application/octet-stream"
    known = _by_signature(first)
    if known is not None:
        return known
    if first.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(first)
    if first[:1] == b"\x30" and any(kind in first[:64] for kind in _CMS):
        return "application/pkcs7-signature" if "signature" in declared else "application/pkcs7-mime"
    # PDF readers accept the signature anywhere in the first kilobyte. Other formats may contain a PDF that early.
    text = first.removeprefix(_BYTE_ORDER_MARK)
    pdf = b"%PDF-" in first[:1024] and not _is_message(text, declared, filename or "")
    return "application/pdf" if pdf else _text(first, declared, filename)


def _by_signature(first: bytes) -> str | None:
    for signature, media_type in _BY_START.get(first[:2], ()):
        if first.startswith(signature):
            return media_type
    if first.startswith(b"RIFF"):
        return _RIFF.get(first[8:12])
    if first.startswith(b"BM") and _BITMAP.match(first):
        return "image/bmp"
    if first.startswith(b"BZh") and _BZIP2.match(first):
        return "application/x-bzip2"
    if first[4:8] == b"ftyp":
        return _FTYP.get(first[8:12], "video/mp4")
    return None


def _zip(first: bytes) -> str:
    if first[30:38] == b"mimetype":
        found = re.match(rb"[a-z]+/[a-z0-9.+-]+", first[38:138])
        if found is not None:
            return found[0].decode("ascii")
    for name, media_type in _ZIP_ENTRIES:
        if name in first and b"[Content_Types].xml" in first:
            return media_type
    return "application/zip"


def _text(first: bytes, declared: str, filename: str | None) -> str:
    plain = first.removeprefix(_BYTE_ORDER_MARK)
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        plain = first.decode("utf-16", "ignore").encode("utf-8", "ignore")
    if plain.translate(None, _CONTROLS) != plain:
        return "application/octet-stream"
    if _XML.match(plain) or _is_bare_xml(plain, declared, filename):
        return "application/xml"
    if _HTML.match(plain):
        return "text/html"
    if _is_message(plain, declared, filename or ""):
        return "message/rfc822"
    if declared == "text/csv" or (filename or "").lower().endswith(".csv"):
        return "text/csv"
    return declared if declared in _TEXT_TYPES else "text/plain"


def _is_message(plain: bytes, declared: str, filename: str) -> bool:
    """Whether text is a mail: its type or its name says so, or it is a file of no type with the header of one."""
    if declared in _MESSAGES or filename.lower().endswith(".eml"):
        return _HEADER.match(plain) is not None
    if declared != "application/octet-stream" or _NAME_WITH_TYPE.fullmatch(filename):
        return False
    return _STRONG_HEADER.match(plain.replace(b"\r", b"\n") if b"\n" not in plain else plain) is not None


def _is_bare_xml(plain: bytes, declared: str, filename: str | None) -> bool:
    """Without an XML declaration, a leading element counts as XML only if the sender says so."""
    said = declared.endswith(("/xml", "+xml")) or (filename or "").lower().endswith(".xml")
    return said and _ELEMENT.match(plain) is not None
