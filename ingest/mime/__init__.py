"""MIME without I/O: octets in, values out. See `events` for what comes, `defects` for what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.mime.dates import received_at
from ingest.mime.headers import parse_headers
from ingest.mime.limits import MimeLimits
from ingest.mime.scanner import Scanner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ingest.mime.events import MimeEvent

__all__ = ["MimeLimits", "parse", "parse_headers", "received_at"]


def parse(chunks: Iterable[bytes], limits: MimeLimits | None = None) -> Iterator[MimeEvent]:
    """Read a message as it comes; never raises, whatever the octets.

    Args:
        chunks: the raw message in pieces of any size; a few hundred KiB each are best.
        limits: how much to take on.
    """
    scanner = Scanner(limits or MimeLimits())
    for chunk in chunks:
        yield from scanner.feed(chunk)
    yield from scanner.close()
