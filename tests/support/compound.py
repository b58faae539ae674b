"""Writes compound files (MS-CFB) as Outlook saves messages in: storages, and streams in sectors of 512 bytes."""

from __future__ import annotations

import itertools
from struct import pack

_SECTOR, _MINI_STREAM = 512, 4096
_END, _FREE, _NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFF
_FAT = 0xFFFFFFFD

Tree = dict[str, "bytes | Tree"]


def compound(tree: Tree) -> bytes:
    """Write a tree of storages (dicts) and streams (bytes), which are padded so that none is in the mini stream."""
    entries: list[list[object]] = [["Root Entry", 5, _NONE, _END, 0]]
    sectors: list[bytes] = []
    chain: list[int] = []

    def stored(data: bytes) -> int:
        first = len(sectors)
        count = -(-len(data) // _SECTOR)
        for number in range(count):
            sectors.append(data[number * _SECTOR : (number + 1) * _SECTOR].ljust(_SECTOR, b"\0"))
            chain.append(_END if number == count - 1 else first + number + 1)
        return first if count else _END

    def add(name: str, value: bytes | Tree) -> int:
        number = len(entries)
        if isinstance(value, bytes):
            value = value.ljust(_MINI_STREAM, b"\0")
            entries.append([name, 2, _NONE, stored(value), len(value)])
        else:
            entries.append([name, 1, _NONE, 0, 0])
            entries[number][2] = children(value)
        return number

    siblings: dict[int, int] = {}

    def children(tree: Tree) -> int:
        numbers = [add(name, value) for name, value in sorted(tree.items(), key=lambda pair: (len(pair[0]), pair[0]))]
        siblings.update(itertools.pairwise(numbers))
        return numbers[0] if numbers else _NONE

    entries[0][2] = children(tree)
    directory = b"".join(_entry(entry, siblings.get(number, _NONE)) for number, entry in enumerate(entries))
    first = stored(directory)
    sectors.append(b"")
    chain.append(_FAT)
    table = pack(f"<{len(chain)}I", *chain).ljust(_SECTOR, b"\xff")
    assert len(table) == _SECTOR, "one sector of the table is all that is written"
    sectors[-1] = table
    header = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
        + bytes(16)
        + pack("<HHHHH6xIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, first, 0, 0, _END, 0, _END, 0)
        + pack("<I", len(sectors) - 1)
        + pack("<I", _FREE) * 108
    )
    return header + b"".join(sectors)


def saved_message(*attachments: tuple[str, bytes] | Tree, text: str = "Hello.") -> bytes:
    """A message as Outlook saves it: attachments with name and content, or attached messages as trees."""
    return compound({"__nameid_version1.0": {}, **message_tree(*attachments, text=text)})


def message_tree(*attachments: tuple[str, bytes] | Tree, text: str = "Hello.") -> Tree:
    """The storage of a message (MS-OXMSG section 2.2)."""
    tree: Tree = {"__substg1.0_1000001F": text.encode("utf-16-le")}
    for number, attachment in enumerate(attachments):
        tree[f"__attach_version1.0_#{number:08X}"] = (
            {"__substg1.0_3701000D": attachment}
            if isinstance(attachment, dict)
            else {
                "__substg1.0_3707001F": attachment[0].encode("utf-16-le"),
                "__substg1.0_37010102": attachment[1],
                "__substg1.0_3712001F": "<cid@x>".encode("utf-16-le"),
            }
        )
    return tree


def _entry(entry: list[object], right: int) -> bytes:
    name, kind, child, start, size = entry
    written = str(name).encode("utf-16-le") + b"\0\0"
    return pack("<64sHBBIII16xI8x8xIQ", written, len(written), kind, 1, _NONE, right, child, 0, start, size)
