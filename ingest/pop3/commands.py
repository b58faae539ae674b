"""Commands, and the octets they become."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.errors import MaildropAuthError
from ingest.pop3.states import Verb

if TYPE_CHECKING:
    from ingest.domain.mailbox import Credentials

_LISTINGS = frozenset({Verb.CAPA, Verb.UIDL, Verb.LIST})
_BODIES = frozenset({Verb.RETR, Verb.TOP})


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `repr` hides the argument, which may be a password."""

    verb: Verb
    argument: bytes | None = field(default=None, repr=False)

    @property
    def listing(self) -> bool:
        """Whether +OK is followed by short rows."""
        return self.verb in _LISTINGS

    @property
    def body(self) -> bool:
        """Whether +OK is followed by the octets of a message."""
        return self.verb in _BODIES

    def octets(self) -> bytes:
        """What goes over the wire (RFC 1939 section 3)."""
        if self.argument is None:
            return self.verb.encode() + b"\r\n"
        return b"%b %b\r\n" % (self.verb.encode(), self.argument)


CAPA = Command(Verb.CAPA)
STLS = Command(Verb.STLS)
UIDL = Command(Verb.UIDL)
LIST = Command(Verb.LIST)
QUIT = Command(Verb.QUIT)


def retr(number: int) -> Command:
    """The whole message."""
    return Command(Verb.RETR, b"%d" % number)


def top(number: int) -> Command:
    """The header of a message and no line of its body (RFC 1939 section 7)."""
    return Command(Verb.TOP, b"%d 0" % number)


def dele(number: int) -> Command:
    """Mark a message; it is removed at QUIT."""
    return Command(Verb.DELE, b"%d" % number)


def login(credentials: Credentials) -> tuple[Command, Command]:
    """USER and PASS.

    Raises:
        MaildropAuthError: a line break or NUL in either, which would let it inject commands (CVE-2025-15367).
    """
    user = _argument(credentials.username, "user name")
    password = _argument(credentials.password, "password")
    return Command(Verb.USER, user), Command(Verb.PASS, password)


def _argument(text: str, what: str) -> bytes:
    """UTF-8, as RFC 6856 has it; ASCII stays what it is."""
    try:
        octets = text.encode()
    except UnicodeEncodeError:
        octets = b"\0"
    if any(octet in octets for octet in b"\r\n\0"):
        raise MaildropAuthError(
            f"The {what} contains a line break, a NUL or a broken character; nothing was sent. "
            "If it comes from a file, take the line end out of it."
        )
    return octets
