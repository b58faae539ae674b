"""SCRAM-SHA-256 (RFC 5802, RFC 7677): neither side says the password, and the server proves that it knows it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from scramp import ScramClient, ScramException  # type: ignore[import-untyped] # it has no types

from ingest.errors import MaildropAuthError, MaildropProtocolError
from ingest.pop3.sasl import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator

# Half a second of CPU. Servers use 4,096 to 600,000; who names the number decides how long we are kept busy.
_MOST_ITERATIONS = 1_000_000


class Scram:
    """One exchange.

    Args:
        username: UTF-8.
        password: UTF-8.
        nonce: of the client, for tests with known answers; None for a random one.

    Raises:
        MaildropAuthError: characters that SASLprep (RFC 4013) prohibits.
    """

    name = "SCRAM-SHA-256"

    def __init__(self, username: str, password: str, nonce: str | None = None) -> None:
        try:
            self._client = ScramClient([self.name], username, password, c_nonce=nonce)
        except ScramException as error:
            raise MaildropAuthError(
                "The user name or password has characters that SCRAM does not allow; nothing was sent."
            ) from error
        self._answered = 0
        self._proven = False

    def initial(self) -> bytes:
        """Return the client's first message."""
        message: str = self._client.get_client_first()
        return message.encode()

    def respond(self, challenge: bytes) -> bytes:
        """Answer the server's first message with our proof, and its final message with nothing.

        Raises:
            MaildropProtocolError: the message is malformed, or the signature does not match the password.
        """
        self._answered += 1
        message = decoded(challenge)
        with _translated():
            if self._answered == 1:
                return self._proof(message)
            self._client.set_server_final(message)
        self._proven = True
        return b""

    def accepted(self) -> None:
        """The server said +OK.

        Raises:
            MaildropProtocolError: it did so without proving that it knows the password.
        """
        if not self._proven:
            raise MaildropProtocolError(
                "The server accepted the login without proving that it knows the password; it may be an impostor."
            )

    def _proof(self, message: str) -> bytes:
        self._client.set_server_first(message)
        if int(self._client.iterations) > _MOST_ITERATIONS:
            raise MaildropProtocolError(f"The server asks for more than {_MOST_ITERATIONS} iterations of SCRAM.")
        proof: str = self._client.get_client_final()
        return proof.encode()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ScramException as error:
        raise MaildropProtocolError(f"The server sent an invalid SCRAM message: {error.args[0]}.") from error
