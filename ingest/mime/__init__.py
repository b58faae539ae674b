"""MIME parsing without I/O: bytes in, values out. `events` lists the values, `defects` the defect codes."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Literal

from ingest.mime import scanner
from ingest.mime.dates import received_at
from ingest.mime.events import MessageEnded
from ingest.mime.headers import MessageHeader, parse_headers
from ingest.mime.limits import MimeLimits
from ingest.mime.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from ingest.domain.manifest import BodyKind
    from ingest.mime.events import MimeEvent

# Bytes to process at a time. The C library returns the memory of larger buffers to the system each time they are
# freed and requests it again for the next ones; that took more than half of the time of a large attachment.
_PIECE = 65_536
_DEFAULT_LIMITS = MimeLimits()
# The wheel may hold the parser as machine code (tools/compiled.py); the results are the same.
FORM: Literal["compiled", "interpreted"] = "interpreted" if scanner.__file__.endswith(".py") else "compiled"

__all__ = ["FORM", "MimeLimits", "parse", "parse_headers", "parse_in_pieces", "received_at"]


def parse(
    chunks: Iterable[bytes],
    limits: MimeLimits | None = None,
    *,
    parent: str | None = None,
    bodies: Collection[BodyKind] = (),
    nested: bool = False,
) -> Iterator[MimeEvent]:
    """Parse a message from a stream of chunks. Never raises, whatever the bytes; reads all chunks despite the limits.

    Args:
        chunks: the raw message in chunks of any size; a few hundred KiB each work best.
        limits: when to stop reading.
        parent: path of the container that holds this entity (an S/MIME signature around its content, for example);
            None for the message itself. Paths of the parts begin with it: `2.1` and `2.2` below `2`.
        bodies: the kinds of body that the message already has; a text of another kind becomes a body.
        nested: whether it is a message inside another one, whose texts are not emitted.
    """
    limits = limits or _DEFAULT_LIMITS
    tally = Tally(limits.parts, bodies)
    depth = parent.count(".") + 1 if parent else 0
    reader = scanner.Scanner(limits, parent, tally, nesting=int(nested), depth=depth)
    scanned = _scanned(reader, chunks)
    return chain.from_iterable(chain(scanned, _ended(limits, tally)) if nested else scanned)


def parse_in_pieces(chunks: Iterable[bytes], limits: MimeLimits) -> Iterator[list[MimeEvent]]:
    """Parse a message as `parse` does; the events of each 64 KiB are yielded together."""
    return _scanned(scanner.Scanner(limits, None, Tally(limits.parts, ())), chunks)


def _ended(limits: MimeLimits, tally: Tally) -> Iterator[list[MimeEvent]]:
    """Yield the end of a nested message, whose scanner leaves it to the message around it."""
    yield [MessageEnded(MessageHeader(b"", limits), tally.status, tally.defects)]


def _scanned(reader: scanner.Scanner, chunks: Iterable[bytes]) -> Iterator[list[MimeEvent]]:
    """Yield the events of each piece; the last one ends the message, since what is at hand as a whole costs less."""
    last = b""
    for chunk in chunks:
        for piece in (chunk,) if len(chunk) <= _PIECE else _pieces(chunk):
            if last:
                yield reader.feed(last)
            last = piece
    yield reader.close(last)


def _pieces(chunk: bytes) -> Iterator[bytes]:
    return (chunk[at : at + _PIECE] for at in range(0, len(chunk), _PIECE))
