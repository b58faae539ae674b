"""Width and height of pictures, from their first bytes. Nothing is decoded, and nothing raises."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

# A JPEG begins with its metadata, of which a camera writes up to some 64 KiB before the size.
PICTURE_BYTES = 262_144
_MOST_SEGMENTS = 200
_LARGEST = 1_000_000  # pixels on one side; more is nonsense
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # start of frame, all kinds (ITU T.81 table B.1)
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_SVG_SIZE = re.compile(rb"<svg\b[^>]{0,4000}?\swidth=[\"'](\d{1,6})(?:px)?[\"'][^>]{0,4000}?\sheight=[\"'](\d{1,6})")


class Pixels(NamedTuple):
    """The size of a picture in pixels."""

    width: int
    height: int


def picture_size(head: bytes, media_type: str) -> Pixels | None:
    """Return the size of a picture, None if its first bytes do not say it.

    Args:
        head: the beginning of the file, `PICTURE_BYTES` at most.
        media_type: as detected.
    """
    reader = _READERS.get(media_type)
    try:
        found = None if reader is None else reader(head)
    except (struct.error, IndexError):
        return None
    if found is None or not all(0 < side <= _LARGEST for side in found):
        return None
    return Pixels(*found)


def _png(head: bytes) -> tuple[int, int]:
    return struct.unpack_from(">II", head, 16)


def _gif(head: bytes) -> tuple[int, int]:
    return struct.unpack_from("<HH", head, 6)


def _bmp(head: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<ii", head, 18)
    return width, abs(height)  # negative: the rows run downwards


def _jpeg(head: bytes) -> tuple[int, int] | None:
    at = 2
    for _ in range(_MOST_SEGMENTS):
        while head[at] == 0xFF and head[at + 1] == 0xFF:  # noqa: PLR2004 - fill bytes before a marker
            at += 1
        marker = head[at + 1]
        if head[at] != 0xFF:  # noqa: PLR2004 - the first byte of every marker
            return None
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        at += 2 if marker in _STANDALONE else 2 + struct.unpack_from(">H", head, at + 2)[0]
    return None


def _webp(head: bytes) -> tuple[int, int] | None:
    match head[12:16]:
        case b"VP8X":
            width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
            return width, height
        case b"VP8L":
            bits = struct.unpack_from("<I", head, 21)[0]
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", head, 26)
            return width & 0x3FFF, height & 0x3FFF
    return None


def _svg(head: bytes) -> tuple[int, int] | None:
    found = _SVG_SIZE.search(head)
    return None if found is None else (int(found[1]), int(found[2]))


_READERS = {
    "image/png": _png,
    "image/gif": _gif,
    "image/bmp": _bmp,
    "image/jpeg": _jpeg,
    "image/webp": _webp,
    "image/svg+xml": _svg,
}
