"""The format of a mailbox's checkpoint: the unique-ids that are done, to rebuild a lost ledger from."""

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
    """Return the bytes of a checkpoint; the same for the same content.

    Args:
        done: digests of unique-ids (16 bytes) with the second at which each was registered (since 1970).
    """
    return _FIRST_LINE + b"".join(_RECORD.pack(digest, second) for digest, second in sorted(done.items()))


def load(data: bytes) -> dict[bytes, int]:
    """Return what was passed to `dump`.

    Raises:
        ValueError: the bytes are not a checkpoint of this version.
    """
    if not data.startswith(_FIRST_LINE) or (len(data) - len(_FIRST_LINE)) % _RECORD.size:
        raise ValueError("not a checkpoint of version 1")
    return dict(_RECORD.iter_unpack(data[len(_FIRST_LINE) :]))
