"""From credentials to what is said at login: USER and PASS, APOP, or AUTH with a SASL mechanism."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Protocol

from ingest.domain.mailbox import Mechanism
from ingest.errors import MaildropAuthError, MaildropRefusedError
from ingest.pop3 import sasl
from ingest.pop3.commands import Command
from ingest.pop3.states import Verb

if TYPE_CHECKING:
    from ingest.domain.mailbox import Credentials, Server
    from ingest.pop3.capabilities import Capabilities

# RFC 2449 section 4: of a command, with its CRLF. What does not fit goes into a response, which has no such limit.
_COMMAND_BYTES = 255


class Authentication(Protocol):
    """One login."""

    @property
    def mechanism(self) -> str | None:
        """Of SASL; None where the login is made of commands alone."""
        ...

    def commands(self, timestamp: bytes | None, /) -> tuple[Command, ...]:
        """What to send; `timestamp` is the greeting's.

        Raises:
            MaildropRefusedError: APOP, and the greeting has none.
        """
        ...

    def respond(self, challenge: bytes, /) -> bytes:
        """The answer to a challenge; see `ingest.pop3.sasl.Exchange`."""
        ...

    def accepted(self) -> None:
        """The server said +OK; see `ingest.pop3.sasl.Exchange`."""
        ...


def authentication(credentials: Credentials, server: Server) -> Authentication:
    """The login that the credentials ask for.

    Raises:
        MaildropAuthError: a line break or NUL in them, which would let them inject commands (CVE-2025-15367).
    """
    user = _bytes(credentials.username, "user name")
    secret = _bytes(credentials.password, "password")
    match credentials.mechanism:
        case Mechanism.PASSWORD:
            return _UserPass(user, secret)
        case Mechanism.APOP:
            return _Apop(user, secret, server.label)
        case _:
            return _Sasl(_exchange(credentials, user, secret, server), two_step=server.quirks.two_step_auth)


def require_offered(mechanism: str | None, capabilities: Capabilities, server: Server) -> None:
    """A server that says which mechanisms it has is asked for no other.

    Raises:
        MaildropRefusedError: it does not offer this one; nothing secret was sent.
    """
    if mechanism is None or not capabilities.announced or mechanism in capabilities.mechanisms:
        return
    offered = ", ".join(sorted(capabilities.mechanisms)) or "no AUTH at all"
    passwords = " USER and PASS work too." if "USER" in capabilities.names else ""
    raise MaildropRefusedError(
        f"{server.label} does not offer AUTH {mechanism}; nothing secret was sent. "
        f"It offers {offered}.{passwords} Set `auth` to one of those."
    )


class _UserPass:
    """RFC 1939 section 7."""

    mechanism = None

    def __init__(self, user: bytes, password: bytes) -> None:
        self._commands = Command(Verb.USER, user), Command(Verb.PASS, password)

    def commands(self, _: bytes | None) -> tuple[Command, ...]:
        return self._commands

    def respond(self, _: bytes) -> bytes:
        raise sasl.one_too_many("PASS")

    def accepted(self) -> None:
        """As it should be."""


class _Apop:
    """RFC 1939 section 7. MD5 is what the RFC says; it keeps the password off the line, not safe for ever."""

    mechanism = None

    def __init__(self, user: bytes, password: bytes, label: str) -> None:
        self._user = user
        self._password = password
        self._label = label

    def commands(self, timestamp: bytes | None) -> tuple[Command, ...]:
        if timestamp is None:
            raise MaildropRefusedError(
                f"{self._label} does not offer APOP: its greeting has no timestamp; nothing secret was sent. "
                "Set `auth` to `password` or `sasl-plain`, over TLS."
            )
        digest = hashlib.md5(timestamp + self._password, usedforsecurity=False).hexdigest()
        return (Command(Verb.APOP, b"%b %b" % (self._user, digest.encode())),)

    def respond(self, _: bytes) -> bytes:
        raise sasl.one_too_many("APOP")

    def accepted(self) -> None:
        """As it should be."""


class _Sasl:
    """AUTH (RFC 5034 section 4), with the initial response in the command where it fits and the server takes it."""

    def __init__(self, exchange: sasl.Exchange, *, two_step: bool) -> None:
        self.mechanism = exchange.name
        self._exchange = exchange
        self._two_step = two_step
        self._waiting: bytes | None = None

    def commands(self, _: bytes | None) -> tuple[Command, ...]:
        initial = self._exchange.initial()
        name = self._exchange.name.encode()
        bare = Command(Verb.AUTH, name)
        if initial is None:
            return (bare,)
        whole = Command(Verb.AUTH, b"%b %b" % (name, base64.b64encode(initial)))
        if self._two_step or len(whole.encode()) > _COMMAND_BYTES:
            self._waiting = initial
            return (bare,)
        return (whole,)

    def respond(self, challenge: bytes) -> bytes:
        # In two steps the first challenge is empty and asks for the initial response.
        if self._waiting is not None:
            initial, self._waiting = self._waiting, None
            return initial
        return self._exchange.respond(challenge)

    def accepted(self) -> None:
        self._exchange.accepted()


def _exchange(credentials: Credentials, user: bytes, secret: bytes, server: Server) -> sasl.Exchange:
    match credentials.mechanism:
        case Mechanism.PLAIN:
            return sasl.Plain(user, secret)
        case Mechanism.LOGIN:
            return sasl.Login(user, secret)
        case Mechanism.XOAUTH2:
            return sasl.xoauth2(_without_separator(user), _without_separator(secret))
        case Mechanism.OAUTHBEARER:
            host = server.host.encode("ascii", "ignore")
            return sasl.oauthbearer(_without_separator(user), _without_separator(secret), host, server.port)
        case _:
            from ingest.pop3.scram import Scram  # noqa: PLC0415 - its library takes 100 ms to import, for few mailboxes

            return Scram(credentials.username, credentials.password)


def _bytes(text: str, what: str) -> bytes:
    """UTF-8, as RFC 6856 has it; ASCII stays what it is."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = b"\0"
    if any(byte in data for byte in b"\r\n\0"):
        raise MaildropAuthError(
            f"The {what} contains a line break, a NUL or a broken character; nothing was sent. "
            "If it comes from a file, take the line end out of it."
        )
    return data


def _without_separator(data: bytes) -> bytes:
    """What goes between the control-A of a bearer message may hold none."""
    if b"\x01" in data:
        raise MaildropAuthError("The user name or token contains a control character; nothing was sent.")
    return data
