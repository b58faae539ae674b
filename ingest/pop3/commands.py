"""Commands, and the bytes they become."""

from __future__ import annotations

from dataclasses import dataclass, field

from ingest.pop3.states import Verb

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
        """Whether +OK is followed by the bytes of a message."""
        return self.verb in _BODIES

    def encode(self) -> bytes:
        """What goes over the wire (RFC 1939 section 3)."""
        if self.argument is None:
            return self.verb.encode() + b"\r\n"
        return b"%b %b\r\n" % (self.verb.encode(), self.argument)


CAPA = Command(Verb.CAPA)
STLS = Command(Verb.STLS)
UIDL = Command(Verb.UIDL)
LIST = Command(Verb.LIST)
STAT = Command(Verb.STAT)
QUIT = Command(Verb.QUIT)
LISTING = (STAT, UIDL, LIST)


def retr(number: int) -> Command:
    """Return the command that fetches a whole message."""
    return Command(Verb.RETR, b"%d" % number)


def top(number: int) -> Command:
    """Return the command that fetches the header of a message and no body lines (RFC 1939 section 7)."""
    return Command(Verb.TOP, b"%d 0" % number)


def dele(number: int) -> Command:
    """Return the command that marks a message for removal at QUIT."""
    return Command(Verb.DELE, b"%d" % number)
