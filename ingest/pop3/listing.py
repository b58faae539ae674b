"""Combine the answers to STAT, UIDL and LIST. Malformed rows are left out, never guessed at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.ports.maildrop import Listed, Listing

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUMBER_DIGITS = 10
# No message is larger than a pebibyte; a larger number is an overflow or invented.
_LARGEST = 2**50
_PRINTABLE = bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))


def combine_listing(count: int | None, uidl: Iterable[bytes] | None, scan: Iterable[bytes]) -> Listing:
    """Return the rows on which STAT, UIDL and LIST agree, by number.

    Args:
        count: message count from STAT, which bounds the numbers; None if STAT's answer was malformed.
        uidl: rows `number unique-id` (RFC 1939 section 7); None if the server has no UIDL.
        scan: rows `number size`; anything may follow the size (section 5).
    """
    sizes = _by_number(scan)
    ids = _by_number(uidl or ())
    spoken_of = sizes.keys() | ids.keys()
    numbers = sorted(number for number in spoken_of if isinstance(number, int) and (count is None or number <= count))
    rows = [
        Listed(number, ids.get(number), _size(rest))
        for number in numbers
        if (rest := sizes.get(number)) is not None and (uidl is None or _is_unique_id(ids.get(number)))
    ]
    unspoken = max(0, (count or 0) - len(numbers))
    return Listing(rows, unique_ids=uidl is not None, left_out=len(spoken_of) + unspoken - len(rows))


def parse_count(text: bytes) -> int | None:
    """Return the message count from the answer to STAT, `count size` (RFC 1939 section 5), or None if malformed."""
    digits = text.split(maxsplit=1)[0] if text.strip() else b""
    return int(digits) if digits.isdigit() and len(digits) <= _NUMBER_DIGITS else None


def _by_number(rows: Iterable[bytes]) -> dict[int | bytes, bytes | None]:
    """Map each row's number to the rest of the row, or to None if it was repeated; a malformed row maps to None."""
    found: dict[int | bytes, bytes | None] = {}
    for row in rows:
        digits, _, rest = row.partition(b" ")
        if not digits.isdigit() or len(digits) > _NUMBER_DIGITS or not (number := int(digits)):
            found[digits] = None
        elif number in found:
            found[number] = None
        else:
            found[number] = rest
    return found


def _is_unique_id(data: bytes | None) -> bool:
    """Accept anything but control characters: servers use blanks and 8-bit bytes, and the ids are only compared."""
    return bool(data) and not (data or b"").translate(None, _PRINTABLE)


def _size(rest: bytes) -> int | None:
    digits = rest.split(maxsplit=1)[0] if rest.strip() else b""
    if not digits.isdigit():
        return None
    size = int(digits)
    return size if size < _LARGEST else None
