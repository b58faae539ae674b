"""The format of a mailbox's checkpoint: the messages that are done, to rebuild a lost ledger from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.domain.seen import SeenRecord, pack_records, unpack_records

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "seen"

_FIRST_LINE = b"mailhaul seen 2\n"


def dump(done: Mapping[bytes, SeenRecord]) -> bytes:
    """Return the bytes of a checkpoint; the same for the same content.

    Args:
        done: the records of processed messages, by digest (16 bytes).
    """
    return _FIRST_LINE + pack_records(sorted(done.items()))


def load(data: bytes) -> dict[bytes, SeenRecord]:
    """Return what was passed to `dump`.

    Raises:
        ValueError: the bytes are not a checkpoint of this version.
    """
    if not data.startswith(_FIRST_LINE):
        raise ValueError("not a checkpoint of version 2")
    return unpack_records(data[len(_FIRST_LINE) :])
