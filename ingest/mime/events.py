"""What the MIME parser says while it reads a message: values only, no I/O.

The order: for each leaf part `PartBegun`, any number of `PartData`, `PartEnded`; a nested message is a leaf of its
own (its raw bytes) whose parts come between its begin and its end, and so do files that stand inside a text.
`MessageEnded` is last, always.

They are named tuples and not dataclasses because a mail of many small parts is made of them: a frozen dataclass takes
three times as long to make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from ingest.domain.manifest import Headers, Role, Status


class PartBegun(NamedTuple):
    """The header of a leaf part has been read.

    Attributes:
        path: the part's place, `1`, `2.1`, and below a nested message `2.1.1`; digits and dots only.
        parent: path of the nested message, text or other container that holds it; None at the top.
        role: `text` and `html` are bodies of the message itself; everything else is an attachment.
        declared_type: lower case `type/subtype`, `text/plain` where none was declared.
        charset: of a body, as declared; None where none was.
        filename: decoded but not yet made safe; None where none was given.
        disposition: lower case, `attachment` or `inline` or what else was sent; None where none was.
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
    """Decoded bytes of a part; a body's are UTF-8 already, an attachment's exactly what the sender encoded."""

    path: str
    data: bytes


class PartEnded(NamedTuple):
    """The part is complete; `defects` are the codes of everything that was repaired in it."""

    path: str
    defects: tuple[str, ...] = ()


class MessageEnded(NamedTuple):
    """The message is complete. `status` is `partial` when a limit stopped the parser before the end."""

    headers: Headers
    status: Status
    defects: tuple[str, ...] = ()


MimeEvent = PartBegun | PartData | PartEnded | MessageEnded
