"""RTF as Outlook stores it in messages."""

from __future__ import annotations

from struct import pack


def compressed(rtf: bytes) -> bytes:
    """Compressed RTF (MS-OXRTFCP) of literal bytes, with the end that the format wants."""
    out = bytearray()
    for at in range(0, len(rtf), 8):
        run = rtf[at : at + 8]
        out += b"\0" + run
    last = len(rtf) % 8
    position = (207 + len(rtf)) % 4096
    end = pack(">H", position << 4)
    if last:
        out[-last - 1] = 1 << last
        out += end
    else:
        out += b"\1" + end
    return pack("<II4sI", len(out) + 12, len(rtf), b"LZFu", 0) + bytes(out)


def from_html(source: str) -> bytes:
    """RTF that holds HTML (MS-OXRTFEX): tags in groups of their own, and what is only for readers of RTF."""
    written = "".join(char if char.isascii() else f"\\'{char.encode('cp1252').hex()}" for char in source)
    return (
        r"{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0{\fonttbl{\f0\fswiss Arial;}}{\colortbl\red0;}"
        r"{\*\generator x;}\uc1\pard\plain\htmlrtf only for RTF\htmlrtf0 {\*\htmltag64 "
        f"{written}}}\\htmlrtf {{\\b bold\\htmlrtf0 }}}}"
    ).encode()
