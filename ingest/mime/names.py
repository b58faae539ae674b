"""File names: one to show, one for an object key. Neither can leave its folder or lie about its direction."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from ingest.mime.defects import Defect

_BYTES = 255  # what file systems take
_SAFE_BYTES = 180  # readable, and room for a folder's own names
_ORIGINAL = 998  # characters of a name as it was sent, in a manifest: the longest line that RFC 5322 allows
_EXTENSION_BYTES = 20
_FORBIDDEN = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')
_NOT_JSON = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?")
_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN = "application/vnd.oasis.opendocument."
# A table of our own: the machine's differ, and the same bytes must give the same key everywhere.
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
    """A name to show, the one that was sent where that differs, one for object keys, and what was done to it."""

    display: str
    original: str | None
    safe: str
    defects: tuple[str, ...] = ()


def display_name(part: str, filename: str | None, detected_type: str) -> Name:
    """What to call an attachment.

    Args:
        part: its path, for one without a name.
        filename: as it was sent, decoded.
        detected_type: gives the extension of one without a name.
    """
    if not filename:
        made = f"part-{part}{_EXTENSIONS.get(detected_type, '.bin')}"
        return Name(made, None, made)
    defects: list[Defect] = []
    shown = "".join(char for char in filename if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    if shown != filename:
        defects.append(Defect.NAME_CLEANED)
    base = re.split(r"[/\\]", shown)[-1].strip()
    if base != shown.strip():
        defects.append(Defect.NAME_PATH)
    display = _whole(base.lstrip("."), part, defects)
    original = _NOT_JSON.sub("\ufffd", filename)[:_ORIGINAL]
    # The object's name is the path, a hyphen and this, and has to fit into a folder.
    room = min(_SAFE_BYTES, _BYTES - len(part) - 1)
    safe = _shortened(_FORBIDDEN.sub("_", unicodedata.normalize("NFC", display)), room)
    return Name(
        display=display,
        original=original if original != display else None,
        safe=safe.strip(". ") or f"part-{part}",
        defects=tuple(defect.value for defect in defects),
    )


def _whole(name: str, part: str, defects: list[Defect]) -> str:
    """Neither empty, nor reserved, nor too long."""
    stripped = name.rstrip(". ")
    if _RESERVED.fullmatch(stripped):
        defects.append(Defect.NAME_RESERVED)
        stripped = f"_{stripped}"
    shortened = _shortened(stripped, _BYTES)
    if shortened != stripped:
        defects.append(Defect.NAME_SHORTENED)
    return shortened or f"part-{part}"


def _shortened(name: str, size: int) -> str:
    """Within so many bytes of UTF-8, the extension kept."""
    if len(name.encode("utf-8", "replace")) <= size:
        return name
    stem, dot, extension = name.rpartition(".")
    tail = dot + extension
    if not stem or len(tail.encode("utf-8", "replace")) > _EXTENSION_BYTES:
        stem, tail = name, ""
    room = size - len(tail.encode("utf-8", "replace"))
    return stem.encode("utf-8", "replace")[:room].decode("utf-8", "ignore") + tail
