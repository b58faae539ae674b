"""Archives that cost whoever unpacks them much, or never end."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

# Of lengths with which the repetitions below end at whole bytes.
_NAME = b"forever01.zip"
_COMMENT = b"The only file in here is a copy of this."
_LAST = b"\x03\x00"  # a final block without content
# Codes of RFC 1951 section 3.2.5: symbol, extra bits and their value, for the lengths and distances that are used.
_LENGTHS = {3: (257, 0, 0), 10: (264, 0, 0), 11: (265, 1, 0), 19: (269, 2, 0), 131: (281, 5, 0)}
_DISTANCES = {24: (8, 3, 7), 48: (10, 4, 15), 131: (14, 6, 2)}


def nested(levels: int, copies: int) -> bytes:
    """Return an archive of archives, each with as many copies of the next, down to a file."""
    content = bytes(1000)
    for _ in range(levels):
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as made:
            for number in range(copies):
                made.writestr(f"{number}.zip", content)
        content = data.getvalue()
    return content


def huge(mebibytes: int) -> bytes:
    """Return an archive with one file of so many MiB of zeros, which are never in memory at once."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    packed = block * mebibytes + deflate.flush()
    size = mebibytes * 2**20
    head = _local(size, len(packed), 0)
    return head + packed + _directory(size, len(packed), 0)


def quine() -> bytes:
    """Return an archive whose only file is the archive itself, byte for byte.

    Its deflated content has blocks that quote bytes, and blocks that repeat those written last, arranged like a
    program that prints itself. The CRC-32 of the whole stands inside of it: a linear equation in its bits.
    """
    constant = zlib.crc32(_quine(0))
    columns = [zlib.crc32(_quine(1 << bit)) ^ constant ^ (1 << bit) for bit in range(32)]
    return _quine(_solved(columns, constant))


def _quine(crc: int) -> bytes:
    size = len(_assembled(0, 0, crc))
    return _assembled(size, size - len(_local(0, 0, 0)) - len(_directory(0, 0, 0)), crc)


def _assembled(size: int, packed: int, crc: int) -> bytes:
    head, tail = _local(size, packed, crc), _LAST + _directory(size, packed, crc)
    first, repeat_first = _quote(len(head) + 5), _repeat(48, 19, 19, 10)
    repeat = _repeat(24, 11, 10, 3)
    group, nothing = _quote(24), _quote(0) + _empty_in_seven_bytes()
    repeat_last = _repeat(131, 131)
    last = _quote(len(repeat_last) + len(tail))
    quoted_first = _quote(len(repeat_first))
    return b"".join(
        [
            *(head, first, head, first, repeat_first),
            *(quoted_first, repeat_first, _quote(5), quoted_first),
            *(group, repeat_first, _quote(5), quoted_first, group, repeat),
            *(group, repeat, group, repeat, group, repeat),
            *(group, repeat, nothing, last, repeat, nothing),
            *(last, repeat_last, tail, repeat_last, tail),
        ]
    )


def _quote(size: int) -> bytes:
    """Return the header of a stored block: what follows is written as it is."""
    return struct.pack("<BHH", 0, size, size ^ 0xFFFF)


def _repeat(distance: int, *lengths: int) -> bytes:
    """Return blocks that repeat what was written so far before, in pieces, and end with a whole byte."""
    symbol, extra, value = _DISTANCES[distance]
    bits = "010"
    for length in lengths:
        bits += _length(length) + f"{symbol:05b}" + _extra(value, extra)
    bits += "0000000"
    while len(bits) % 8:
        bits += "0100000000"
    return _bytes(bits)


def _length(length: int) -> str:
    symbol, extra, value = _LENGTHS[length]
    code = f"{symbol - 256:07b}" if symbol < 280 else f"{symbol - 280 + 0b11000000:08b}"
    return code + _extra(value, extra)


def _extra(value: int, size: int) -> str:
    return f"{value:0{size}b}"[::-1] if size else ""


def _empty_in_seven_bytes() -> bytes:
    return _bytes("0100000000" * 2 + "0000") + struct.pack("<HH", 0, 0xFFFF)


def _bytes(bits: str) -> bytes:
    """Return bits in the order in which a decoder reads them."""
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def _local(size: int, packed: int, crc: int) -> bytes:
    return struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, crc, packed, size, len(_NAME), 0) + _NAME


def _directory(size: int, packed: int, crc: int) -> bytes:
    entry = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 33, crc, packed, size, len(_NAME), 0, 0, 0, 0, 0, 0
    )
    entry += _NAME
    at = len(_local(0, 0, 0)) + packed
    return entry + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), at, len(_COMMENT)) + _COMMENT


def _solved(columns: list[int], constant: int) -> int:
    """Return the bits x for which the sum (XOR) of the columns at its ones is the constant."""
    rows = [sum(((column >> row) & 1) << bit for bit, column in enumerate(columns)) for row in range(32)]
    rows = [row | ((constant >> number) & 1) << 32 for number, row in enumerate(rows)]
    for bit in range(32):
        pivot = next(number for number in range(bit, 32) if rows[number] >> bit & 1)
        rows[bit], rows[pivot] = rows[pivot], rows[bit]
        rows = [row ^ rows[bit] if number != bit and row >> bit & 1 else row for number, row in enumerate(rows)]
    return sum((rows[bit] >> 32) << bit for bit in range(32))
