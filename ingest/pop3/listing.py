"""What the rows of CAPA, UIDL and LIST mean. Rows that make no sense are left out, never guessed at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.ports.maildrop import Listed, Listing

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUMBER_DIGITS = 10
# No message is larger than a pebibyte; what is above is an overflow or a lie.
_LARGEST = 2**50
_PRINTABLE = bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))


def put_together(uidl: Iterable[bytes], scan: Iterable[bytes]) -> Listing:
    """The rows on which UIDL and LIST agree, by number.

    Args:
        uidl: rows `number unique-id` (RFC 1939 section 7).
        scan: rows `number octets`, which may go on with anything (section 5).
    """
    sizes = _by_number(scan)
    ids = _by_number(uidl)
    rows = [
        Listed(number, unique_id, _size(sizes[number]))
        for number, unique_id in sorted(ids.items())
        if number in sizes and _is_unique_id(unique_id)
    ]
    return Listing(rows, left_out=len(ids.keys() | sizes.keys()) - len(rows))


def capabilities(rows: Iterable[bytes]) -> frozenset[str]:
    """The names in an answer to CAPA, in upper case and without their arguments (RFC 2449 section 5)."""
    return frozenset(row.split()[0].decode("ascii", "replace").upper() for row in rows if row.split())


def _by_number(rows: Iterable[bytes]) -> dict[int, bytes]:
    """The rest of each row under its number; a number said twice stands for nothing."""
    found: dict[int, bytes] = {}
    repeated: set[int] = set()
    for row in rows:
        digits, _, rest = row.partition(b" ")
        if not digits.isdigit() or len(digits) > _NUMBER_DIGITS:
            continue
        number = int(digits)
        if number in found:
            repeated.add(number)
        found[number] = rest
    return {number: rest for number, rest in found.items() if number and number not in repeated}


def _is_unique_id(octets: bytes) -> bool:
    """Anything but control characters: servers put blanks and 8-bit octets into them, and they are only compared."""
    return bool(octets) and not octets.translate(None, _PRINTABLE)


def _size(rest: bytes) -> int | None:
    digits = rest.split(maxsplit=1)[0] if rest.split(maxsplit=1) else b""
    if not digits.isdigit():
        return None
    size = int(digits)
    return size if size < _LARGEST else None
