"""winmail.dat by the byte (MS-OXTNEF), good and bad."""

from __future__ import annotations

from struct import pack

BEGIN_FILE, TITLE, DATA, PROPERTIES = 0x00069002, 0x00018010, 0x0006800F, 0x00069005
TRANSPORT_NAME, CODE_PAGE, MESSAGE_PROPERTIES = 0x00069001, 0x00069007, 0x00069003
STRING, UNICODE, OBJECT, BINARY = 0x1E, 0x1F, 0x0D, 0x102
LONG_NAME, SHORT_NAME, MIME_TYPE, CONTENT_ID, CONTENT = 0x3707, 0x3704, 0x370E, 0x3712, 0x3701
MESSAGE = bytes.fromhex("0703020000000000c000000000000046")


def tnef(*attributes: bytes) -> bytes:
    """A whole stream."""
    version = attribute(0x00089006, pack("<I", 0x00010000), level=1)
    return pack("<IH", 0x223E9F78, 1) + version + b"".join(attributes)


def attribute(name: int, data: bytes, *, level: int = 2, checksum: int | None = None) -> bytes:
    """One attribute; with another checksum than its own where one is given."""
    written = sum(data) & 0xFFFF if checksum is None else checksum
    return pack("<BII", level, name, len(data)) + data + pack("<H", written)


def properties(*made: bytes) -> bytes:
    """The attribute that holds MAPI properties of a file."""
    return attribute(PROPERTIES, pack("<I", len(made)) + b"".join(made))


def fixed(kind: int, name: int, data: bytes) -> bytes:
    """A property of a type that always takes as many bytes."""
    return pack("<HH", kind, name) + data


def variable(kind: int, name: int, *values: bytes) -> bytes:
    """A property whose values have a length."""
    padded = [pack("<I", len(value)) + value + bytes(-len(value) % 4) for value in values]
    return pack("<HHI", kind, name, len(values)) + b"".join(padded)


def text(name: int, value: str) -> bytes:
    """A property with a text in UTF-16."""
    return variable(UNICODE, name, value.encode("utf-16-le") + b"\0\0")


def attached(title: str, content: bytes, *more: bytes) -> bytes:
    """A file as Outlook writes it; `more` are its properties."""
    named = attribute(TITLE, title.encode("cp1252") + b"\0")
    return attribute(BEGIN_FILE, bytes(14)) + named + attribute(DATA, content) + properties(*more)
