"""What the protocol core makes of the server's bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.errors import MaildropProtocolError

if TYPE_CHECKING:
    from ingest.pop3.commands import Command

_STATUS = re.compile(rb"(\+OK|-ERR)(?:[ \t]+|$)")
# RFC 1939 section 7: a msg-id of RFC 822. That it is one is looked at because whoever may choose the bytes freely
# can learn the password from the answers (CVE-2007-1558).
_TIMESTAMP = re.compile(rb"<[!-;=?A-~]+@[!-;=?A-~]+>")
# RFC 2449 section 8: levels separated by slashes, no blanks and no brackets.
_CODE = re.compile(r"\[([!-Z\\^-~]{1,64})\]")
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Status:
    """A status line.

    Attributes:
        ok: +OK, not -ERR.
        bytes: what follows. Thousands of these lines come and few are read, so reading waits until it is asked for.
    """

    ok: bool
    data: bytes

    @property
    def text(self) -> str:
        """The server's words, printable and cut to 200 characters; for people only."""
        return shown(self.data)

    @property
    def code(self) -> str:
        """The response code in upper case without brackets (RFC 2449 section 8), empty where there is none."""
        match = _CODE.match(self.text)
        return match[1].upper() if match else ""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The server has spoken first, as it must."""

    status: Status

    @property
    def timestamp(self) -> bytes | None:
        """What APOP is reckoned from (RFC 1939 section 7), angle brackets and all; None where there is none."""
        match = _TIMESTAMP.search(self.status.data)
        return match[0] if match else None


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
class Challenge:
    """The server wants to know more before it answers AUTH (RFC 5034 section 4). `bytes` are as sent, in base64."""

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
    """A multi-line answer is complete. `unstuffed` says that a line's single dot was lost (see `DotFraming`)."""

    unstuffed: bool


@dataclass(frozen=True, slots=True)
class Farewell:
    """-ERR that answers no command: the server is about to close, for idleness or to shut down."""

    status: Status


Event = Greeting | Reply | Challenge | Data | Rows | End | Farewell


def parse_status(line: bytes) -> Status:
    """A status line without its CRLF.

    Raises:
        MaildropProtocolError: neither +OK nor -ERR.
    """
    match = _STATUS.match(line)
    if match is None:
        raise MaildropProtocolError(f"The server answered with something that is not POP3: {shown(line)!r}")
    return Status(match[1] == b"+OK", line[match.end() :])


def shown(data: bytes) -> str:
    """A server's words, safe to print."""
    text = data[:_SHOWN].decode(errors="replace")
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
