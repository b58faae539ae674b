"""MIME without I/O: bytes in, values out. See `events` for what comes, `defects` for what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.mime.dates import received_at
from ingest.mime.headers import parse_headers
from ingest.mime.limits import MimeLimits
from ingest.mime.scanner import Scanner

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from ingest.domain.manifest import BodyKind
    from ingest.mime.events import MimeEvent

# Bytes to work on at a time. The C library gives memory of larger buffers back to the system each time they are let
# go of, and gets it again for the next ones; that took more than half of the time of a large attachment.
_PIECE = 65_536

__all__ = ["MimeLimits", "parse", "parse_headers", "received_at"]


def parse(
    chunks: Iterable[bytes],
    limits: MimeLimits | None = None,
    *,
    parent: str | None = None,
    bodies: Collection[BodyKind] = (),
) -> Iterator[MimeEvent]:
    """Read a message as it comes; never raises, whatever the bytes.

    Args:
        chunks: the raw message in pieces of any size; a few hundred KiB each are best.
        limits: how much to take on.
        parent: path of the container, such as an S/MIME signature around its content, in which this entity was found;
            None for the message itself. Paths begin with it: below `2` there are `2.1`, `2.2`, and so on, whose
            `parent` it is.
        bodies: the kinds of body that the message has already; a text of another kind is its body, wherever it was.
    """
    scanner = Scanner(limits or MimeLimits(), parent, bodies=bodies, depth=parent.count(".") + 1 if parent else 0)
    for chunk in chunks:
        if len(chunk) <= _PIECE:
            yield from scanner.feed(chunk)
        else:
            for at in range(0, len(chunk), _PIECE):
                yield from scanner.feed(chunk[at : at + _PIECE])
    yield from scanner.close()
