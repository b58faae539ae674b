"""The checkpoint of a mailbox: which unique-ids are done, as one object that a lost ledger can be rebuilt from."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ingest.domain.keys import DIGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "seen"

_FIRST_LINE = b"mailhaul seen 1\n"
_RECORD = struct.Struct(f">{DIGEST_BYTES}sI")


def dump(done: Mapping[bytes, int]) -> bytes:
    """Bytes of a checkpoint; the same for the same content.

    Args:
        done: digests of unique-ids (16 bytes) with the second at which each was registered (since 1970).
    """
    return _FIRST_LINE + b"".join(_RECORD.pack(digest, second) for digest, second in sorted(done.items()))


def load(data: bytes) -> dict[bytes, int]:
    """What `dump` was given.

    Raises:
        ValueError: these are not the bytes of a checkpoint, or of one of another version.
    """
    if not data.startswith(_FIRST_LINE) or (len(data) - len(_FIRST_LINE)) % _RECORD.size:
        raise ValueError("not a checkpoint of version 1")
    return dict(_RECORD.iter_unpack(data[len(_FIRST_LINE) :]))
