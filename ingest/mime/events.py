"""The events of the MIME parser: values only, no I/O.

Each leaf part gives `PartBegun`, any number of `PartData`, and `PartEnded`. A nested message is a leaf too (its raw
bytes); the events of its parts come between its `PartBegun` and `PartEnded`, as do those of files inside a text.
`MessageEnded` is always the last event.

Events of parts are named tuples because a frozen dataclass takes three times as long to create, and a mail of many
small parts creates many.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ingest.mime.defects import codes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ingest.domain.mail import Headers
    from ingest.domain.manifest import Role, Status
    from ingest.mime.defects import Defect
    from ingest.mime.fields import Fields
    from ingest.mime.headers import MessageHeader

Flow = Literal["flowed", "delsp"]


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
        location: Content-Location, a URL, as sent.
        description: Content-Description, decoded.
        flow: `flowed` if its lines are folded (RFC 3676), `delsp` if their last blank is not part of the text.
    """

    path: str
    parent: str | None
    role: Literal["text", "html"] | Role
    declared_type: str
    charset: str | None = None
    filename: str | None = None
    disposition: str | None = None
    content_id: str | None = None
    location: str | None = None
    description: str | None = None
    flow: Flow | None = None


class PartData(NamedTuple):
    """Decoded bytes of a part: UTF-8 for a body, exactly what the sender encoded for an attachment."""

    path: str
    data: bytes


class PartEnded(NamedTuple):
    """The end of a part; `defects` are the codes of all repairs in it."""

    path: str
    defects: tuple[str, ...] = ()


NO_BYTES: Final[Mapping[str, int]] = MappingProxyType({})


class MessageEnded:
    """The end of the message. Its header fields are decoded when they are asked for the first time.

    Args:
        header: of the message.
        status: see below.
        defects: those of the message.
        skipped: see below.

    Attributes:
        status: `partial` if something that looks like content was not read.
        skipped: bytes that are neither blank nor in a field or part, by the code that reports them.
    """

    __slots__ = ("_defects", "_header", "_headers", "skipped", "status")

    def __init__(
        self,
        header: MessageHeader,
        status: Status,
        defects: Collection[Defect] = (),
        skipped: Mapping[str, int] = NO_BYTES,
    ) -> None:
        self._header, self._defects = header, set(defects)
        self._headers: Headers | None = None
        self.status, self.skipped = status, skipped

    @property
    def headers(self) -> Headers:
        """Those of the message itself."""
        if self._headers is None:
            self._headers = self._header.decode(self._defects)
        return self._headers

    @property
    def fields(self) -> Fields:
        """All fields of the header, in order."""
        return self._header.fields(self._defects)

    @property
    def defects(self) -> tuple[str, ...]:
        """Codes of what concerns no single part, the header fields included."""
        _ = self.headers
        return codes(self._defects)

    def partial(self) -> MessageEnded:
        """Return the same event with the status `partial`."""
        return MessageEnded(self._header, "partial", self._defects, self.skipped)


MimeEvent = PartBegun | PartData | PartEnded | MessageEnded
