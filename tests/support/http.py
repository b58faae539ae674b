"""A receiver of webhooks and other requests on loopback whose answers are scripted, and events to send it."""

from __future__ import annotations

import base64
import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from ingest.domain.events import Event

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping


SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def event(name: str, mailbox: str = "a") -> Event:
    """An event as small as may be, yet with text that is not ASCII and a line break within a string."""
    body = json.dumps({"id": name, "source": mailbox, "data": {"subject": "Rëchnung\n1"}}, ensure_ascii=False)
    return Event(id=name, type="t", mailbox=mailbox, body=body.encode())


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; header names in lower case. `connection` numbers the connection it came over."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
        status: HTTP status.
        headers: all but the length.
        body: the content.
        raw: bytes to send instead of an answer, before the connection is closed.
        trickle: bytes to send, then one more now and then, until the client disconnects.
        silent: send nothing until the client disconnects.
    """

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None
    trickle: bytes = b""
    silent: bool = False


class Receiver:
    """Runs during a `with` block. `answer` is called with each request, after it was added to `requests`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Answer] = lambda _: Answer()
        self.stopped = threading.Event()
        self._open: set[socket.socket] = set()
        self._connections = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"receiver": self}))
        self._tls = tls
        if tls is not None:
            # The handshake is done by the connection's thread, at its first read.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self._server.server_port

    @property
    def address(self) -> str:
        """Its URL without a path."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The URL to post to."""
        return f"{self.address}/hooks/mail?of=mailhaul"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                _hang_up(connection)
        self._server.server_close()

    @property
    def connections(self) -> int:
        """The number of connections so far."""
        return self._connections

    @property
    def open(self) -> int:
        """The number of open connections."""
        with self._lock:
            return len(self._open)

    def opened(self, connection: socket.socket) -> int:
        """Register a connection, so that it can be closed; return its number."""
        with self._lock:
            self._open.add(connection)
            self._connections += 1
            return self._connections

    def closed(self, connection: socket.socket) -> None:
        """Unregister a connection."""
        with self._lock:
            self._open.discard(connection)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients that disconnect early are part of the tests."""


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: Receiver
    number = 0

    def setup(self) -> None:
        self.number = self.receiver.opened(self.request)
        super().setup()

    def finish(self) -> None:
        self.receiver.closed(self.request)
        super().finish()

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # the client is gone, and never sent a whole request
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.path, headers, body, self.number, self.command)
        self.receiver.requests.append(request)
        self._send(self.receiver.answer(request))

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST  # noqa: N815 - their names there

    def _send(self, answer: Answer) -> None:
        if answer.silent or answer.trickle:
            self.close_connection = True
            self._hold(answer.trickle)
        elif answer.raw is not None:
            self.close_connection = True
            self.wfile.write(answer.raw)
        else:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

    def _hold(self, trickle: bytes) -> None:
        self.connection.settimeout(0.02)
        self.wfile.write(trickle)
        while not self.receiver.stopped.is_set():
            if trickle:
                self.wfile.write(b"y")
            try:
                if not self.connection.recv(1):
                    return
            except TimeoutError:
                continue

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Print nothing."""
