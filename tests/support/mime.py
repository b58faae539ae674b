"""Parsing a mail in chunks of a chosen size into plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ingest.mime import MimeLimits, parse
from ingest.mime.body import BodyText
from ingest.mime.defects import codes
from ingest.mime.events import MessageEnded, PartBegun, PartData, PartEnded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ingest.domain.mail import Headers

SIZES = (1, 7, 4096, 262_144)


@dataclass(frozen=True)
class Leaf:
    """One complete part."""

    head: PartBegun
    content: bytes
    defects: tuple[str, ...]


@dataclass(frozen=True)
class Read:
    """Everything the parser returned for a mail; leaves by path."""

    leaves: dict[str, Leaf]
    headers: Headers
    status: str
    defects: tuple[str, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)


def read(raw: bytes, size: int = 262_144, limits: MimeLimits | None = None, **found_in: Any) -> Read:
    """Parse a mail in chunks of `size` bytes; see `read_pieces`."""
    return read_pieces((raw[at : at + size] for at in range(0, len(raw), size)), limits, **found_in)


def read_pieces(pieces: Iterable[bytes], limits: MimeLimits | None = None, **found_in: Any) -> Read:
    """Parse a mail and check the order of events.

    Args:
        pieces: the chunks of the mail.
        limits: when to stop reading.
        found_in: other arguments of `parse`, for an entity inside a container.
    """
    heads: dict[str, PartBegun] = {}
    contents: dict[str, list[bytes]] = {}
    leaves: dict[str, Leaf] = {}
    ended: MessageEnded | None = None
    for event in parse(pieces, limits, **found_in):
        assert ended is None, "nothing comes after the end"
        match event:
            case PartBegun():
                assert event.path not in heads, "paths are unique"
                heads[event.path], contents[event.path] = event, []
            case PartData():
                assert event.path not in leaves, "no data after a part's end"
                assert event.data, "no event without bytes"
                contents[event.path].append(event.data)
            case PartEnded():
                leaves[event.path] = _leaf(heads[event.path], b"".join(contents[event.path]), event.defects)
            case MessageEnded():
                ended = event
    assert ended is not None
    assert leaves.keys() == heads.keys(), "every part that begins ends"
    return Read(leaves, ended.headers, ended.status, ended.defects, ended.skipped)


def _leaf(head: PartBegun, content: bytes, defects: tuple[str, ...]) -> Leaf:
    """Convert bodies to UTF-8, as they are stored."""
    if head.role not in ("text", "html"):
        return Leaf(head._replace(charset=None), content, defects)
    text = BodyText(lambda: [content], head.charset, "html" if head.role == "html" else "text")
    converted = b"".join(text)
    return Leaf(head, converted, tuple(sorted({*defects, *codes(text.defects)})))


def read_alike(raw: bytes, **how: Any) -> Read:
    """Parse in chunks of every size, which must make no difference."""
    first, *others = [read(raw, size, **how) for size in SIZES]
    for other in others:
        assert other == first
    return first
