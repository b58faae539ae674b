"""The events of the MIME parser: values only, no I/O.

Each leaf part gives `PartBegun`, any number of `PartData`, and `PartEnded`. A nested message is a leaf too (its raw
bytes); the events of its parts come between its `PartBegun` and `PartEnded`, as do those of files inside a text.
`MessageEnded` is always the last event.

Events are named tuples because a frozen dataclass takes three times as long to create, and a mail of many small parts
creates many.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.domain.manifest import Headers, Role, Status


class PartBegun(NamedTuple):
    """The header of a leaf part has been read.

    Attributes:
        path: position of the part: `1`, `2.1`, and below a nested message `2.1.1`; digits and dots only.
        parent: path of the nested message, text or other container that holds it; None at the top.
        role: `text` and `html` are bodies of the message itself; all others are attachments.
        declared_type: lower case `type/subtype`, `text/plain` if undeclared.
        charset: as declared; None if undeclared.
        filename: decoded but not made safe; None if there is none.
        disposition: lower case: `attachment`, `inline` or another value; None if there is none.
        content_id: without angle brackets.
    """

    path: str
    parent: str | None
    role: Literal["text", "html"] | Role
    declared_type: str
    charset: str | None = None
    filename: str | None = None
    disposition: str | None = None
    content_id: str | None = None


class PartData(NamedTuple):
    """Decoded bytes of a part: UTF-8 for a body, exactly what the sender encoded for an attachment."""

    path: str
    data: bytes


class PartEnded(NamedTuple):
    """The end of a part; `defects` are the codes of all repairs in it."""

    path: str
    defects: tuple[str, ...] = ()


NO_BYTES: Mapping[str, int] = MappingProxyType({})


class MessageEnded(NamedTuple):
    """The end of the message.

    Attributes:
        headers: those of the message itself.
        status: `partial` if something that looks like content was not read.
        defects: codes of what concerns no single part.
        skipped: bytes that are neither blank nor in a field or part, by the code that reports them.
    """

    headers: Headers
    status: Status
    defects: tuple[str, ...] = ()
    skipped: Mapping[str, int] = NO_BYTES


MimeEvent = PartBegun | PartData | PartEnded | MessageEnded
