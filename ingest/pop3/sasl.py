"""SASL mechanisms: each an object that knows what to say to which challenge, and nothing of POP3.

RFC 4422 says what a mechanism is, RFC 5034 how POP3 carries it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Protocol

from ingest.errors import MaildropProtocolError


class Exchange(Protocol):
    """One login by one mechanism.

    Attributes:
        name: the mechanism's, as servers announce it.
    """

    name: str

    def initial(self) -> bytes | None:
        """What the client says first; None where the server does."""
        ...

    def respond(self, challenge: bytes, /) -> bytes:
        """The answer to a challenge, which is given as it was sent, in base64.

        Raises:
            MaildropProtocolError: a challenge that makes no sense, or one more than the mechanism has.
        """
        ...

    def accepted(self) -> None:
        """The server said +OK.

        Raises:
            MaildropProtocolError: it said so before the exchange was over.
        """
        ...


class Plain:
    """PLAIN (RFC 4616)."""

    name = "PLAIN"

    def __init__(self, username: bytes, password: bytes) -> None:
        self._message = b"\0%b\0%b" % (username, password)

    def initial(self) -> bytes:
        """Return the whole message."""
        return self._message

    def respond(self, _: bytes) -> bytes:
        """Raise: PLAIN has no challenges."""
        raise unexpected_challenge(self.name)

    def accepted(self) -> None:
        """Do nothing: PLAIN has nothing to verify."""


class Login:
    """LOGIN (draft-murchison-sasl-login): the server asks for the user name, then for the password.

    The prompts are ignored, because servers word them differently (`Username:`, `User Name`, ...).
    """

    name = "LOGIN"

    def __init__(self, username: bytes, password: bytes) -> None:
        self._answers = [password, username]

    def initial(self) -> None:
        """The server speaks first."""
        return

    def respond(self, _: bytes) -> bytes:
        """Return first the user name, then the password."""
        if not self._answers:
            raise unexpected_challenge(self.name)
        return self._answers.pop()

    def accepted(self) -> None:
        """Accept at any time: some servers are satisfied with the user name alone."""


class Bearer:
    """A token instead of a password: XOAUTH2 (Google's, Microsoft's) and OAUTHBEARER (RFC 7628).

    Both refuse a token with a challenge that holds a reason in JSON; -ERR follows once the challenge is answered.
    """

    def __init__(self, name: str, message: bytes, response: bytes) -> None:
        self.name = name
        self._message = message
        self._response = response
        self._refused = False

    def initial(self) -> bytes:
        """Return user name and token."""
        return self._message

    def respond(self, _: bytes) -> bytes:
        """Record the refusal and answer it."""
        if self._refused:
            raise unexpected_challenge(self.name)
        self._refused = True
        return self._response

    def accepted(self) -> None:
        """The server said +OK.

        Raises:
            MaildropProtocolError: it had refused the token before.
        """
        if self._refused:
            raise MaildropProtocolError(f"The server refused the token of {self.name} and then accepted it.")


def xoauth2(username: bytes, token: bytes) -> Bearer:
    """Build Google's form (developers.google.com/workspace/gmail/imap/xoauth2-protocol)."""
    return Bearer("XOAUTH2", b"user=%b\x01auth=Bearer %b\x01\x01" % (username, token), b"")


def oauthbearer(username: bytes, token: bytes, host: bytes, port: int) -> Bearer:
    """Build the form of RFC 7628 section 3.1; a refusal is answered with a lone control-A (section 3.2.3)."""
    escaped = username.replace(b"=", b"=3D").replace(b",", b"=2C")
    message = b"n,a=%b,\x01host=%b\x01port=%d\x01auth=Bearer %b\x01\x01" % (escaped, host, port, token)
    return Bearer("OAUTHBEARER", message, b"\x01")


def decoded(challenge: bytes) -> str:
    """Decode a challenge.

    Raises:
        MaildropProtocolError: it is not base64 or not UTF-8.
    """
    try:
        return base64.b64decode(challenge, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise MaildropProtocolError("The server's challenge is not base64-encoded text.") from error


def unexpected_challenge(mechanism: str) -> MaildropProtocolError:
    """Return the error for a challenge that the mechanism does not define."""
    return MaildropProtocolError(f"The server sent one challenge more than {mechanism} allows.")
