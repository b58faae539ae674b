"""EDIFACT (ISO 9735): the header of the first message of an interchange."""

from __future__ import annotations

import re
from typing import NamedTuple

# UNA declares the separators; these are the defaults (ISO 9735-1 section 8): component, element, decimal mark,
# release, reserved, segment terminator.
_DEFAULT = b":+.? '"
_BLANKS = b" \t\r\n"
_TYPE = re.compile(rb"[A-Z]{6}")
_CODE = re.compile(rb"[A-Z0-9]{1,6}")


class Message(NamedTuple):
    """The fields of a message header (UNH), such as INVOIC, D96A, `INVOIC:D:96A:UN`."""

    type: str
    directory: str | None
    identifier: str
    in_interchange: bool


def first_message(head: bytes) -> Message | None:
    """Return the first message of an interchange; None if the bytes are not EDIFACT or hold no message header.

    Args:
        head: the beginning of the file, cut anywhere.
    """
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip(_BLANKS)
    if not head.startswith((b"UNA", b"UNB", b"UNH")):
        return None
    marks = head[3:9] if head.startswith(b"UNA") else _DEFAULT
    rest = head[9:] if head.startswith(b"UNA") else head
    different = marks.replace(b" ", b"")
    if len(marks) < len(_DEFAULT) or len(set(different)) < len(different):
        return None
    component, element, release, end = marks[0:1], marks[1:2], marks[3:4], marks[5:6]
    if release.strip():  # a separator after a release character is text
        rest = rest.replace(release * 2, b"..")
        rest = rest.replace(release + end, b"..").replace(release + element, b"..")
    in_interchange = rest.lstrip(_BLANKS).startswith(b"UNB" + element)
    for segment in rest.split(end):
        stripped = segment.lstrip(_BLANKS)
        if stripped.startswith(b"UNH" + element):
            return _message(stripped.split(element, 3), component, in_interchange=in_interchange)
    return None


def _message(elements: list[bytes], component: bytes, *, in_interchange: bool) -> Message | None:
    """Parse `UNH+reference+INVOIC:D:96A:UN:EAN008`."""
    if len(elements) < 3:  # noqa: PLR2004 - tag, reference, identifier
        return None
    parts = elements[2].split(component, 6)[:5]
    if not _TYPE.fullmatch(parts[0]):
        return None
    codes = [part for part in parts[1:] if _CODE.fullmatch(part)]
    whole = len(codes) == len(parts) - 1
    directory = (codes[0] + codes[1]).decode() if whole and len(codes) > 1 else None
    identifier = b":".join([parts[0], *codes]).decode()
    return Message(parts[0].decode(), directory, identifier, in_interchange)
