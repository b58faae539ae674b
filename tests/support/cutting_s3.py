"""A proxy before an S3 server whose GET answers are cut short, as those of a broken cache are."""

from __future__ import annotations

from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.support.servers import serving
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator


class CuttingProxy(ThreadingHTTPServer):
    """Passes every request on.

    Attributes:
        cuts: the ends of the keys whose content is cut in half.
        announced: whether Content-Length is that of what comes, so that the answer looks complete.
        count: how many answers were cut.
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.backend = port
        self.cuts: tuple[str, ...] = ()
        self.announced = True
        self.count = 0

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CuttingProxy

    def log_message(self, *arguments: object) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = HTTPConnection("127.0.0.1", self.server.backend, timeout=PATIENCE)
        try:
            # The signature covers the Host header, so it is passed on as it came.
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        found = self.command == "GET" and answer.status == 200
        cut = found and self.path.partition("?")[0].endswith(self.server.cuts or ("\0",))
        length = len(content)
        if cut:
            self.server.count += 1
            content = content[: length // 2]
            length = len(content) if self.server.announced else length
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                self.send_header(name, value)
        if self.command == "HEAD":
            self.send_header("Content-Length", answer.getheader("Content-Length") or "0")
        elif answer.status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)
        if cut and not self.server.announced:
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815 - the names that the base class calls


@contextmanager
def cutting_proxy(port: int) -> Iterator[CuttingProxy]:
    """Run one before the S3 server at this port."""
    with serving(CuttingProxy(port)) as proxy:
        yield proxy
