"""An S3 server that misbehaves in the ways that tests ask for."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ingest.adapters.stores.s3 import S3Store
from tests.support.servers import serving
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

_PAGES = {"page": 200, "forbids in a page": 403, "404 in a page": 404}
_DRIPPING = {
    "drips its head": b"HTTP/1.1 200 OK\r\nX-Filler: ",
    "drips its refusal": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 1000000\r\n\r\n",
}
# The tokens that a listing names, one for each page.
_LISTINGS = {"truncated": [""], "repeats a page": ["same", "same"], "two pages": ["next"]}


class OddServer(ThreadingHTTPServer):
    """Stores and returns objects like S3, except for what `quirks` names."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), OddHandler)
        self.quirks: set[str] = set()
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, Message, int]] = []
        self.release = threading.Event()
        self.sleeps: list[float] = []
        self._connections: list[socket.socket] = []
        self.refusals = 0  # so many more requests are rejected as the quirk says

    def close_connections(self) -> None:
        """Close every connection, as servers do with idle ones; return when the clients can notice it."""
        for connection in self._connections:
            with suppress(OSError):  # the client has closed it
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.append(request)
        if "takes a byte now and then" in self.quirks:
            request.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        super().process_request(request, client_address)

    def open(self, **options: Any) -> S3Store:
        endpoint = f"http://127.0.0.1:{self.server_port}"
        account = {"keys": lambda: ("key", "secret"), "region": "us-east-1", "sleep": self.sleeps.append}
        return S3Store("bucket", **{"endpoint": endpoint, **account, "attempts": 1, "path_style": True, **options})


class OddHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: OddServer

    def log_message(self, *arguments: object) -> None:
        pass

    def handle_one_request(self) -> None:
        if "takes a byte now and then" in self.server.quirks:
            self._drip_in()
            return
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def do_PUT(self) -> None:
        key, body = self._begin()
        conditional, quirks = "If-None-Match" in self.headers, self.server.quirks
        if page := quirks & {"ends with a page", "412 in a page"}:
            self._page(412 if "412 in a page" in page else 200)
        elif "demands md5" in quirks and "Content-MD5" not in self.headers:
            self._refuse(
                400, "InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum"
            )
        elif "another checksum" in quirks:
            self._answer(200, ETag='"etag"', checksum="AAAA")
        elif "page with an ETag" in quirks:
            self._answer(200, b"<html>back soon</html>", ETag='"page"', kind="text/html")
        elif "partNumber=" in self.path:
            self._answer(200, ETag='"part"')
        elif conditional and "refuses conditions" in quirks:
            self._refuse(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
        elif "refuses checksums" in quirks and "x-amz-checksum-sha256" in self.headers:
            self._refuse(
                400, "InvalidArgument", "Unsupported header 'x-amz-checksum-sha256' received for this API call."
            )
        elif "conflicts" in quirks and self._refuses_once_more():
            self._refuse(409, "ConditionalRequestConflict", "somebody else is creating it")
        elif conditional and "ignores conditions" not in quirks and key in self.server.objects:
            self._refuse(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        else:
            self.server.objects[key] = body
            self._answer(200, ETag='"etag"')

    def do_GET(self) -> None:
        key, _ = self._begin()
        if page := self.server.quirks & _PAGES.keys():
            self._page(_PAGES[page.pop()])
        elif listing := self.server.quirks & _LISTINGS.keys():
            self._list(_LISTINGS[listing.pop()])
        elif "busy" in self.server.quirks:
            self._refuse(503, "SlowDown", "Please reduce your request rate.")
        elif "drops" in self.server.quirks and self._refuses_once_more():
            self.close_connection = True
        elif "stalls" in self.server.quirks:
            self.server.release.wait(PATIENCE)
            self.close_connection = True
        elif "cuts" in self.server.quirks:
            content = self.server.objects[key]
            self._answer(200, content[: len(content) // 2], length=len(content), ETag='"etag"')
            self.close_connection = True
        elif "another range" in self.server.quirks:
            self._answer(206, b"bytes", ETag='"etag"', part="bytes 0-4/100")
        elif "drips" in self.server.quirks:
            self._drip(b'HTTP/1.1 200 OK\r\nETag: "etag"\r\nContent-Length: 1000000000\r\n\r\n')
        elif "stalls halfway" in self.server.quirks:
            content = self.server.objects[key]
            self._answer(200, content[: len(content) // 2], length=len(content), ETag='"etag"')
            self.server.release.wait(PATIENCE)
            self.close_connection = True
        else:
            self._give(key, self.server.objects.get(key, b""))

    def _list(self, tokens: list[str]) -> None:
        """Send a page with an object that is named after it."""
        number = sum(method == "GET" for method, _, _ in self.server.requests)
        entry = f"<Key>box/{number}</Key><LastModified>2026-03-02T00:00:00Z</LastModified><Size>1</Size>"
        token = (
            f"<NextContinuationToken>{tokens[number - 1]}</NextContinuationToken>" if number <= len(tokens) else ""
        )
        more = "true" if token else "false"
        body = f"<IsTruncated>{more}</IsTruncated><Contents>{entry}</Contents>{token}"
        self._answer(200, f"<ListBucketResult>{body}</ListBucketResult>".encode())

    def do_POST(self) -> None:
        key, _ = self._begin()
        if self.path.endswith("?uploads") and "no upload id" in self.server.quirks:
            self._answer(200, b"<InitiateMultipartUploadResult></InitiateMultipartUploadResult>")
        elif "fails in a success" in self.server.quirks and "uploadId=" in self.path:
            self._refuse(200, "InternalError", "We encountered an internal error. Please try again.")
        elif "ends with a page" in self.server.quirks and "uploadId=" in self.path:
            self._page(200)
        elif self.path.endswith("?uploads"):
            self._answer(
                200, b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            )
        elif "If-None-Match" in self.headers and key in self.server.objects:
            self._refuse(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        else:
            self.server.objects[key] = b"parts"
            self._answer(200, b"<CompleteMultipartUploadResult><ETag>etag</ETag></CompleteMultipartUploadResult>")

    def do_DELETE(self) -> None:
        self._begin()
        self._answer(204)

    def do_HEAD(self) -> None:
        key, _ = self._begin()
        if "page" in self.server.quirks:
            self._answer(200, kind="text/html")
        elif "404 in a page" in self.server.quirks:
            self._answer(404, kind="text/html")
        else:
            self._give(key, b"")

    def _drip(self, first: bytes) -> None:
        """Send some bytes, then another one now and then, until the client disconnects."""
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(first)
            while not self.server.release.wait(0.02):
                self.wfile.write(b"x")

    def _drip_in(self) -> None:
        """Read a byte now and then, until the client disconnects."""
        self.close_connection = True
        self.connection.settimeout(5)
        with suppress(OSError):
            while not self.server.release.wait(0.02) and self.connection.recv(1):
                pass

    def _give(self, key: str, content: bytes) -> None:
        if key in self.server.objects:
            self._answer(200, content, length=len(self.server.objects[key]), ETag='"etag"')
        elif self.command == "HEAD":
            self._answer(404)
        else:
            self._refuse(404, "NoSuchKey", "The specified key does not exist.")

    def _begin(self) -> tuple[str, bytes]:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.headers, self.client_address[1]))
        return unquote(urlsplit(self.path).path), body

    def _page(self, status: int) -> None:
        self._answer(status, b"<html><body>Back soon.<br></body></html>", kind="text/html")

    def _refuses_once_more(self) -> bool:
        self.server.refusals -= 1
        return self.server.refusals >= 0

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())

    def _answer(
        self,
        status: int,
        body: bytes = b"",
        length: int | None = None,
        *,
        kind: str = "",
        checksum: str = "",
        part: str = "",
        **headers: str,
    ) -> None:
        for quirk in self.server.quirks & _DRIPPING.keys():
            self._drip(_DRIPPING[quirk])
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        named = {"Content-Type": kind, "x-amz-checksum-sha256": checksum, "Content-Range": part}
        for name, value in (*headers.items(), *named.items()):
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running_odd_server(server: OddServer) -> Iterator[OddServer]:
    with serving(server):
        try:
            yield server
        finally:
            server.release.set()
