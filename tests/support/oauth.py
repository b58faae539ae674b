"""A token server on loopback (RFC 6749, RFC 7523) that verifies requests, and misbehaves if a test wants it."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from typing_extensions import override

from ingest.domain.grant import ClientCredentials, RefreshToken, ServiceAccount
from tests.support.answering import Answering, Handler
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    import ssl

CLIENT, SECRET, REFRESH = "the-application", "s3cret & more", "1//refresh"
SUBJECT, ACCOUNT = "invoices@example.org", "robot@project.iam.example"
SCOPE = "https://mail.example/"
_ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass
class TokenServer(Answering):
    """Issues `token-1`, `token-2`, ... for valid requests.

    Attributes:
        lives: the lifetime that it reports, in seconds.
        rotate: it gives out a new refresh token each time, and takes only the last one.
        answer: status and body instead of a token.
        silent: it sends nothing.
        drip: it sends these bytes after `beginning`, again and again.
        beginning: of what drips.
        location: it redirects there.
        tls: it speaks TLS.
        requests: the forms that were posted.
        headers: of the last request, names in lower case.
    """

    lives: object = 3600
    rotate: bool = False
    answer: tuple[int, bytes] | None = None
    silent: bool = False
    drip: bytes = b""
    beginning: bytes = b""
    location: str | None = None
    tls: ssl.SSLContext | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    refresh_token: str = REFRESH
    issued: int = 0

    def __enter__(self) -> Self:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._lock = threading.Lock()
        return super().__enter__()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/token"

    @property
    def key_file(self) -> str:
        """A service account's key, as Google issues it."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return json.dumps({"client_email": ACCOUNT, "private_key": pem.decode(), "private_key_id": "k1"})

    def application(self, secret: str = SECRET) -> ClientCredentials:
        return ClientCredentials(self.url, CLIENT, secret, SCOPE)

    def user(self, refresh_token: str = REFRESH, secret: str | None = SECRET) -> RefreshToken:
        return RefreshToken(self.url, CLIENT, secret, refresh_token, SCOPE)

    def service_account(self, subject: str = SUBJECT) -> ServiceAccount:
        return ServiceAccount(self.url, self.key_file, subject, SCOPE)

    def decide(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Return the answer to a request."""
        with self._lock:
            self.requests.append(form)
            problem = self._problem(form)
            if problem is not None:
                # Microsoft's descriptions have several lines, Google's have one.
                words = "Somebody has to act." if form["grant_type"] == _ASSERTION else "Somebody\r\nhas to act."
                return 400, {"error": problem, "error_description": words}
            self.issued += 1
            token = {"access_token": f"token-{self.issued}", "token_type": "Bearer", "expires_in": self.lives}
            if self.rotate:
                self.refresh_token = f"refresh-{self.issued}"
                token["refresh_token"] = self.refresh_token
            return 200, token

    def _problem(self, form: dict[str, str]) -> str | None:
        match form["grant_type"]:
            case "client_credentials":
                right = (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)
                return None if right and form.get("scope") == SCOPE else "invalid_client"
            case "refresh_token":
                return None if form["refresh_token"] == self.refresh_token else "invalid_grant"
            case grant if grant == _ASSERTION:
                return None if self._signed(form["assertion"]) else "invalid_grant"
        return "unsupported_grant_type"

    def _signed(self, assertion: str) -> bool:
        """Return whether the account's assertion names the user and this server; raise if its signature is wrong."""
        head, claims, signature = assertion.split(".")
        signed = f"{head}.{claims}".encode()
        self.key.public_key().verify(_decoded(signature), signed, padding.PKCS1v15(), hashes.SHA256())
        said = json.loads(_decoded(claims))
        assert json.loads(_decoded(head)) == {"alg": "RS256", "kid": "k1", "typ": "JWT"}
        return (said["iss"], said["sub"], said["aud"], said["scope"]) == (ACCOUNT, SUBJECT, self.url, SCOPE)


class _Handler(Handler[TokenServer]):
    @override
    def post(self) -> None:
        owner = self.owner
        owner.headers = {name.lower(): value for name, value in self.headers.items()}
        form = self.form()
        if owner.silent:
            owner.stopped.wait(PATIENCE)
            return
        status, token = owner.decide(form)
        if owner.drip:
            self._drip()
            return
        status, body = owner.answer or (status, json.dumps(token).encode())
        self.answer(302 if owner.location else status, body, owner.location or "")

    def _drip(self) -> None:
        """Until the other side has enough."""
        with suppress(OSError):
            self.wfile.write(self.owner.beginning)
            while not self.owner.stopped.wait(0.01):
                self.wfile.write(self.owner.drip)
        self.close_connection = True


TokenServer.handler = _Handler


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
