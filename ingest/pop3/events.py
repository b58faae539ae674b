"""What the protocol core makes of the server's octets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.errors import MaildropProtocolError

if TYPE_CHECKING:
    from ingest.pop3.commands import Command

_STATUS = re.compile(rb"(\+OK|-ERR)(?:[ \t]+|$)")
# RFC 2449 section 8: levels separated by slashes, no blanks and no brackets.
_CODE = re.compile(r"\[([!-Z\\^-~]{1,64})\]")
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Status:
    """A status line.

    Attributes:
        ok: +OK, not -ERR.
        code: the response code in upper case without brackets (RFC 2449 section 8), empty where there is none.
        text: the server's words, printable and cut to 200 characters; for people only.
    """

    ok: bool
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Greeting:
    """The server has spoken first, as it must."""

    status: Status


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the oldest outstanding command; after +OK to a multi-line one, data and `End` follow."""

    command: Command
    status: Status

    @property
    def ok(self) -> bool:
        """+OK, not -ERR."""
        return self.status.ok


@dataclass(frozen=True, slots=True)
class Data:
    """Octets of a message, unstuffed."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a listing, without line ends."""

    rows: list[bytes]


@dataclass(frozen=True, slots=True)
class End:
    """A multi-line answer is complete. `unstuffed` says that a line's single dot was lost (see `DotFraming`)."""

    unstuffed: bool


@dataclass(frozen=True, slots=True)
class Farewell:
    """-ERR that answers no command: the server is about to close, for idleness or to shut down."""

    status: Status


Event = Greeting | Reply | Data | Rows | End | Farewell


def parse_status(line: bytes) -> Status:
    """A status line without its CRLF.

    Raises:
        MaildropProtocolError: neither +OK nor -ERR.
    """
    match = _STATUS.match(line)
    if match is None:
        raise MaildropProtocolError(f"The server answered with something that is not POP3: {shown(line)!r}")
    text = shown(line[match.end() :])
    code = _CODE.match(text)
    return Status(ok=match[1] == b"+OK", code=code[1].upper() if code else "", text=text)


def shown(octets: bytes) -> str:
    """A server's words, safe to print."""
    text = octets[:_SHOWN].decode(errors="replace")
    return "".join(char if char.isprintable() else "?" for char in text)
