"""A token server on loopback (RFC 6749, RFC 7523) that verifies requests, and misbehaves if a test wants it."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ingest.domain.grant import ClientCredentials, RefreshToken, ServiceAccount
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    import ssl

CLIENT, SECRET, REFRESH = "the-application", "s3cret & more", "1//refresh"
SUBJECT, ACCOUNT = "invoices@example.org", "robot@project.iam.example"
SCOPE = "https://mail.example/"
_ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass
class TokenServer:
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
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = False
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/token"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

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


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, owner: TokenServer, *arguments: Any) -> None:
        self.owner = owner
        super().__init__(*arguments)

    def do_POST(self) -> None:
        self.owner.headers = {name.lower(): value for name, value in self.headers.items()}
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode(), strict_parsing=True)
        if self.owner.silent:
            self.owner.stopped.wait(PATIENCE)
            return
        status, body = self.owner.decide({name: values[0] for name, values in form.items()})
        data = json.dumps(body).encode()
        if self.owner.answer is not None:
            status, data = self.owner.answer
        if self.owner.drip:
            self._drip()
            return
        self.send_response(302 if self.owner.location else status)
        if self.owner.location:
            self.send_header("location", self.owner.location)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _drip(self) -> None:
        """Until the other side has enough."""
        with suppress(OSError):
            self.wfile.write(self.owner.beginning)
            while not self.owner.stopped.wait(0.01):
                self.wfile.write(self.owner.drip)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Nothing on the terminal."""


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
