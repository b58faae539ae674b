"""The record of a registered message: since when it is known, and which object in the store proves that it is there.

One binary form serves the ledger's seen sets and the checkpoints in the store.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

from ingest.domain.keys import DIGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_STORED_AT = struct.Struct(f">{DIGEST_BYTES}sHI")
_RECORD = struct.Struct(f">{DIGEST_BYTES}sI{_STORED_AT.size}s")
_EPOCH = date(1970, 1, 1)
# The highest bit of the day marks records that were restored.
_LAST_DAY, _LARGEST = 2**15 - 1, 2**32 - 1
_MARKED_BYTE, _MARK = DIGEST_BYTES, 0x80

# The first line of a mailbox's checkpoint, which holds the messages that are done, to rebuild a lost ledger from.
_CHECKPOINT = b"mailhaul seen 2\n"

RECORD_BYTES = _RECORD.size
UNKNOWN = bytes(_STORED_AT.size)


@dataclass(frozen=True, slots=True)
class StoredAt:
    """Where a message lies in the store.

    Attributes:
        key: the message key, 32 hex digits.
        day: the day in the folder's path, None for `undated`.
        size: bytes of the raw object.
    """

    key: str
    day: date | None
    size: int

    def pack(self) -> bytes:
        """Return 22 bytes, or `UNKNOWN` for a day or a size that they cannot hold: it will not be deleted then."""
        days = 0 if self.day is None else (self.day - _EPOCH).days
        if (self.day is not None and not 0 < days <= _LAST_DAY) or self.size > _LARGEST:
            return UNKNOWN
        return _STORED_AT.pack(bytes.fromhex(self.key), days, self.size)

    @classmethod
    def unpack(cls, packed: bytes) -> StoredAt | None:
        """Return what was packed; None for `UNKNOWN`."""
        if packed == UNKNOWN:
            return None
        key, days, size = _STORED_AT.unpack(packed)
        days &= _LAST_DAY
        return cls(key.hex(), _EPOCH + timedelta(days) if days else None, size)


class SeenRecord(NamedTuple):
    """What is kept of a registered message.

    Attributes:
        second: of its registration (since 1970); see `NEVER_DELETED` in `ingest.ports.seen`.
        stored_at: a packed `StoredAt`. It is unpacked only for messages that are to be deleted.
    """

    second: int
    stored_at: bytes = UNKNOWN

    @property
    def is_restored(self) -> bool:
        """Whether the ledger has lost data since the registration: the digest may be that of another message."""
        return bool(self.stored_at[_MARKED_BYTE] & _MARK)

    def as_restored(self) -> SeenRecord:
        """Return the record, marked as restored; one without `stored_at` allows no deletion and needs no mark."""
        if self.stored_at == UNKNOWN:
            return self
        marked = bytearray(self.stored_at)
        marked[_MARKED_BYTE] |= _MARK
        return self._replace(stored_at=bytes(marked))


def pack_records(records: Iterable[tuple[bytes, SeenRecord]]) -> bytes:
    """Return `RECORD_BYTES` bytes for each digest (16 bytes) and its record."""
    return b"".join(_RECORD.pack(digest, *record) for digest, record in records)


def unpack_records(packed: bytes) -> dict[bytes, SeenRecord]:
    """Return the records by digest; the first record of a digest counts.

    Raises:
        ValueError: the length is not a multiple of `RECORD_BYTES`.
    """
    if len(packed) % RECORD_BYTES:
        raise ValueError("not a sequence of seen records")
    records: dict[bytes, SeenRecord] = {}
    for digest, second, stored_at in _RECORD.iter_unpack(packed):
        records.setdefault(digest, SeenRecord(second, stored_at))
    return records


def dump_checkpoint(done: Mapping[bytes, SeenRecord]) -> bytes:
    """Return the bytes of a checkpoint; the same for the same content.

    Args:
        done: the records of processed messages, by digest (16 bytes).
    """
    return _CHECKPOINT + pack_records(sorted(done.items()))


def load_checkpoint(data: bytes) -> dict[bytes, SeenRecord]:
    """Return what was passed to `dump_checkpoint`.

    Raises:
        ValueError: the bytes are not a checkpoint of this version.
    """
    if not data.startswith(_CHECKPOINT):
        raise ValueError("not a checkpoint of version 2")
    return unpack_records(data[len(_CHECKPOINT) :])
