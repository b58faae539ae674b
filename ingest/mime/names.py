"""File names for display and for object keys. Neither can escape its folder or reverse its text direction."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from ingest.mime.defects import Defect

_BYTES = 255  # limit of common file systems
_SAFE_BYTES = 180  # readable, with room for the names of folders
_ORIGINAL = 998  # characters of the original name in a manifest: the longest line that RFC 5322 allows
_EXTENSION_BYTES = 20
_FORBIDDEN = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')
_NOT_JSON = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?")
_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN = "application/vnd.oasis.opendocument."
# Not the `mimetypes` module: its tables differ by machine, and equal bytes must give equal keys everywhere.
_EXTENSIONS = {
    "application/epub+zip": ".epub",
    "application/gzip": ".gz",
    "application/java-archive": ".jar",
    "application/json": ".json",
    "application/pdf": ".pdf",
    "application/pkcs7-mime": ".p7m",
    "application/pkcs7-signature": ".p7s",
    "application/rtf": ".rtf",
    "application/vnd.microsoft.portable-executable": ".exe",
    _OPEN + "presentation": ".odp",
    _OPEN + "spreadsheet": ".ods",
    _OPEN + "text": ".odt",
    _OFFICE + "presentationml.presentation": ".pptx",
    _OFFICE + "spreadsheetml.sheet": ".xlsx",
    _OFFICE + "wordprocessingml.document": ".docx",
    "application/vnd.rar": ".rar",
    "application/x-7z-compressed": ".7z",
    "application/x-ole-storage": ".ole",
    "application/xml": ".xml",
    "application/zip": ".zip",
    "audio/mpeg": ".mp3",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/tiff": ".tiff",
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
    "text/xml": ".xml",
    "video/mp4": ".mp4",
}


@dataclass(frozen=True, slots=True)
class Name:
    """The display name, the original if different, the name for object keys, and the codes of changes."""

    display: str
    original: str | None
    safe: str
    defects: tuple[str, ...] = ()


def display_name(part: str, filename: str | None, detected_type: str) -> Name:
    """Return the names of an attachment.

    Args:
        part: its path, which names an attachment without a name.
        filename: the decoded original name.
        detected_type: decides the extension of an attachment without a name.
    """
    if not filename:
        made = f"part-{part}{_EXTENSIONS.get(detected_type, '.bin')}"
        return Name(made, None, made)
    defects: list[Defect] = []
    shown = filename
    if not (filename.isascii() and filename.isprintable()):
        shown = "".join(char for char in filename if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    if shown != filename:
        defects.append(Defect.NAME_CLEANED)
    base = re.split(r"[/\\]", shown)[-1].strip()
    if base != shown.strip():
        defects.append(Defect.NAME_PATH)
    display = _valid(base.lstrip("."), part, defects)
    original = _NOT_JSON.sub("\ufffd", filename)[:_ORIGINAL]
    # The object name is the path, a hyphen and this name, and must fit a file system.
    room = min(_SAFE_BYTES, _BYTES - len(part) - 1)
    safe = _shortened(_FORBIDDEN.sub("_", unicodedata.normalize("NFC", display)), room)
    return Name(
        display=display,
        original=original if original != display else None,
        safe=safe.strip(". ") or f"part-{part}",
        defects=tuple(defect.value for defect in defects),
    )


def _valid(name: str, part: str, defects: list[Defect]) -> str:
    """Make a name non-empty, not reserved and not too long."""
    stripped = name.rstrip(". ")
    if _RESERVED.fullmatch(stripped):
        defects.append(Defect.NAME_RESERVED)
        stripped = f"_{stripped}"
    shortened = _shortened(stripped, _BYTES)
    if shortened != stripped:
        defects.append(Defect.NAME_SHORTENED)
    return shortened or f"part-{part}"


def _shortened(name: str, size: int) -> str:
    """Shorten a name to `size` bytes of UTF-8, keeping the extension."""
    if len(name.encode("utf-8", "replace")) <= size:
        return name
    stem, dot, extension = name.rpartition(".")
    tail = dot + extension
    if not stem or len(tail.encode("utf-8", "replace")) > _EXTENSION_BYTES:
        stem, tail = name, ""
    room = size - len(tail.encode("utf-8", "replace"))
    return stem.encode("utf-8", "replace")[:room].decode("utf-8", "ignore") + tail
