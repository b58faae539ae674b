"""An HTTP server on loopback that answers as the object says which a test configured."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar
from urllib.parse import parse_qs

from tests.support.servers import serving

if TYPE_CHECKING:
    import ssl

_Owner = TypeVar("_Owner", bound="Answering")


class Answering:
    """Serves HTTP in threads during a `with` block.

    Attributes:
        handler: answers requests.
        tls: it speaks TLS.
        stopped: set when it ends, for answers that wait until then.
    """

    handler: ClassVar[type[Handler[Any]]]
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        self.stopped = threading.Event()
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(self.handler, self))
        server.daemon_threads = False
        if self.tls is not None:
            server.socket = self.tls.wrap_socket(server.socket, server_side=True)
        self.port = server.server_port
        self._running = ExitStack()
        self._running.enter_context(serving(server))
        self._running.callback(self.stopped.set)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()


class Handler(BaseHTTPRequestHandler, Generic[_Owner]):
    """Answers one request."""

    def __init__(self, owner: _Owner, *arguments: Any) -> None:
        self.owner = owner
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.get()

    def do_POST(self) -> None:
        self.post()

    def get(self) -> None:
        """Answer a GET."""
        self.answer(404, b"{}")

    def post(self) -> None:
        """Answer a POST."""
        self.answer(404, b"{}")

    def form(self) -> dict[str, str]:
        """Return the fields of the form that was posted."""
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        return {name: values[0] for name, values in parse_qs(body, strict_parsing=True).items()}

    def answer(self, status: int, body: bytes, location: str = "") -> None:
        """Send JSON, or whatever a test wants in its place."""
        self.send_response(status)
        if location:
            self.send_header("location", location)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""
