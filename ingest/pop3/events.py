"""The events that the protocol core produces from the server's bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.errors import MaildropOutOfStepError

if TYPE_CHECKING:
    from ingest.pop3.commands import Command

_STATUS = re.compile(rb"(\+OK|-ERR)(?:[ \t]+|$)")
# RFC 1939 section 7: a msg-id of RFC 822. The syntax is checked because a server that may choose the bytes freely
# can learn the password from the digests (CVE-2007-1558).
_TIMESTAMP = re.compile(rb"<[!-;=?A-~]+@[!-;=?A-~]+>")
# RFC 2449 section 8: levels separated by slashes, no blanks and no brackets.
_CODE = re.compile(r"\[([!-Z\\^-~]{1,64})\]")
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Status:
    """A status line.

    Attributes:
        ok: +OK, not -ERR.
        data: the rest of the line. It is decoded only on demand: thousands of these lines arrive and few are read.
    """

    ok: bool
    data: bytes

    @property
    def text(self) -> str:
        """The server's text, printable and cut to 200 characters; for display only."""
        return shown(self.data)

    @property
    def code(self) -> str:
        """The response code in upper case without brackets (RFC 2449 section 8), or an empty string."""
        match = _CODE.match(self.text)
        return match[1].upper() if match else ""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The server's greeting."""

    status: Status

    @property
    def timestamp(self) -> bytes | None:
        """The timestamp for APOP (RFC 1939 section 7), angle brackets included, or None."""
        match = _TIMESTAMP.search(self.status.data)
        return match[0] if match else None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the oldest outstanding command. After +OK to a multi-line command, data and `End` follow."""

    command: Command
    status: Status

    @property
    def ok(self) -> bool:
        """+OK, not -ERR."""
        return self.status.ok


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge to AUTH (RFC 5034 section 4). `data` is base64, as sent."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a message, unstuffed."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a listing, without line ends."""

    rows: list[bytes]


@dataclass(frozen=True, slots=True)
class End:
    """The end of a multi-line answer. `unstuffed`: a line lost its single leading dot (see `DotFraming`)."""

    unstuffed: bool


@dataclass(frozen=True, slots=True)
class Farewell:
    """An -ERR that answers no command: the server is about to close the session (idle timeout or shutdown)."""

    status: Status


Event = Greeting | Reply | Challenge | Data | Rows | End | Farewell


def parse_status(line: bytes) -> Status:
    """Parse a status line without its CRLF.

    Raises:
        MaildropOutOfStepError: the line begins with neither +OK nor -ERR.
    """
    match = _STATUS.match(line)
    if match is None:
        raise MaildropOutOfStepError(f"The server answered with something that is not POP3: {shown(line)!r}")
    return Status(match[1] == b"+OK", line[match.end() :])


def shown(data: bytes) -> str:
    """Return a server's text, safe to print."""
    text = data[:_SHOWN].decode(errors="replace")
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
