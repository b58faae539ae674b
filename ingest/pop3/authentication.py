"""The login commands for given credentials: USER and PASS, APOP, or AUTH with a SASL mechanism."""

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

# RFC 2449 section 4: the limit of a command, CRLF included. Responses to challenges have no such limit.
_COMMAND_BYTES = 255


class Authentication(Protocol):
    """One login."""

    @property
    def mechanism(self) -> str | None:
        """The SASL mechanism; None if the login consists of commands alone."""
        ...

    def commands(self, timestamp: bytes | None, /) -> tuple[Command, ...]:
        """Return the commands to send; `timestamp` is the greeting's.

        Raises:
            MaildropRefusedError: the login is APOP and the greeting has no timestamp.
        """
        ...

    def respond(self, challenge: bytes, /) -> bytes:
        """Return the answer to a challenge; see `ingest.pop3.sasl.Exchange`."""
        ...

    def accepted(self) -> None:
        """Handle +OK; see `ingest.pop3.sasl.Exchange`."""
        ...


def authentication(credentials: Credentials, server: Server) -> Authentication:
    """Return the login for the given credentials.

    Raises:
        MaildropAuthError: they contain a line break or NUL, which could inject commands (CVE-2025-15367).
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
    """Check that a server which announces its mechanisms offers this one.

    Raises:
        MaildropRefusedError: it does not offer it; no credentials were sent.
    """
    if mechanism is None or not capabilities.announced or mechanism in capabilities.mechanisms:
        return
    offered = ", ".join(sorted(capabilities.mechanisms)) or "no AUTH at all"
    passwords = " USER and PASS work too." if "USER" in capabilities.names else ""
    raise MaildropRefusedError(
        f"{server.label} does not offer AUTH {mechanism}; no credentials were sent. "
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
        raise sasl.unexpected_challenge("PASS")

    def accepted(self) -> None:
        """Do nothing: these logins have nothing to verify."""


class _Apop:
    """RFC 1939 section 7, which prescribes MD5. It keeps the password off the line, but is not strong."""

    mechanism = None

    def __init__(self, user: bytes, password: bytes, label: str) -> None:
        self._user = user
        self._password = password
        self._label = label

    def commands(self, timestamp: bytes | None) -> tuple[Command, ...]:
        if timestamp is None:
            raise MaildropRefusedError(
                f"{self._label} does not offer APOP: its greeting has no timestamp; no credentials were sent. "
                "Set `auth` to `password` or `sasl-plain`, over TLS."
            )
        digest = hashlib.md5(timestamp + self._password, usedforsecurity=False).hexdigest()
        return (Command(Verb.APOP, b"%b %b" % (self._user, digest.encode())),)

    def respond(self, _: bytes) -> bytes:
        raise sasl.unexpected_challenge("APOP")

    def accepted(self) -> None:
        """Do nothing: these logins have nothing to verify."""


class _Sasl:
    """AUTH (RFC 5034 section 4); the initial response goes into the command if it fits and the server accepts it."""

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
    """Encode as UTF-8 (RFC 6856); ASCII stays as it is."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = b"\0"
    if any(byte in data for byte in b"\r\n\0"):
        raise MaildropAuthError(
            f"The {what} contains a line break, a NUL or an invalid character; nothing was sent. "
            "If it comes from a file, remove the line break from the file."
        )
    return data


def _without_separator(data: bytes) -> bytes:
    """Check that a field of a bearer message holds no control-A, its separator."""
    if b"\x01" in data:
        raise MaildropAuthError("The user name or token contains a control character; nothing was sent.")
    return data
