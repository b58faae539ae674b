"""Make the requests of an object store's API: connections, retries, credentials, deadlines."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from typing_extensions import override
from urllib3 import PoolManager, ProxyManager, Timeout
from urllib3.exceptions import HTTPError, NewConnectionError, ProxyError, ReadTimeoutError

from ingest.adapters.deadline import GuardedPool, GuardedTlsPool, RequestDeadline, limited, suspended
from ingest.adapters.stores.rest.messages import TRANSIENT_STATUS, Reply, not_a_store
from ingest.adapters.stores.transfer import CHUNK_BYTES
from ingest.errors import StoreError, StoreRefusedError, StoreUnavailableError
from ingest.ports.translation import Translation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from typing_extensions import Buffer
    from urllib3 import BaseHTTPResponse

    from ingest.adapters.stores.rest.messages import Request

# Bytes of a body for which a deadline counts.
PIECE_BYTES = 64 * 1024
# A page of a listing has a thousand entries of a few hundred bytes.
_REPLY_BYTES = 16 * 2**20
_UNAUTHORIZED = 401
_OK = frozenset({200, 201, 202, 204, 206})
_PAUSE_SECONDS = 0.5
_UNREACHABLE = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})
_POOLS = {"http": GuardedPool, "https": GuardedTlsPool}


class Signer(Protocol):
    """Adds credentials to requests; threads share it."""

    def sign(self, request: Request, length: int | None) -> tuple[str, Mapping[str, str]]:
        """Return target and header of a request as they are sent.

        Args:
            request: as made by the API.
            length: bytes of its body, None if it has none.

        Raises:
            StoreError: there are no credentials, or none can be had now.
        """
        ...

    def renew(self) -> bool:
        """Forget what the server rejected (401); return whether another try may succeed."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and counts of requests; see `RestStore`."""

    connect_timeout: float = 10
    read_timeout: float = 60
    piece_timeout: float = 90
    attempts: int = 3
    max_connections: int = 64


class HttpClient:
    """Makes requests to one server. Threads share its connections; a forked process makes its own.

    Args:
        endpoint: URL of the server; a path is put before that of each request.
        signer: adds the credentials.
        limits: of each request.
        sleep: waits some seconds before a request is repeated.
    """

    def __init__(
        self, endpoint: str, signer: Signer, limits: Limits, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._signer = signer
        self.limits = limits
        self._sleep = sleep
        self._lock = threading.Lock()
        self._made: tuple[int, PoolManager] | None = None

    def ask(self, request: Request, body: BinaryIO | bytes | None = None, size: int = 0) -> Reply:
        """Make a request and read its answer, whatever it says.

        Args:
            request: without the object's bytes.
            body: the object's bytes; what is no `bytes` is read from the position that it has now.
            size: how many they are.

        Raises:
            StoreUnavailableError: there is no answer.
        """
        with limited(self.limits.piece_timeout):
            response = self._send(request, body, size)
            with translated(), _closing(response):
                content = response.read(_REPLY_BYTES + 1)
        if len(content) > _REPLY_BYTES:
            raise not_a_store()
        return _reply(response, content)

    @contextmanager
    def reading(self, request: Request) -> Iterator[tuple[Reply, TimedBody]]:
        """Make a request, and yield the answer with a body that is yet to be read; that of a refusal was read."""
        deadline = RequestDeadline(self.limits.piece_timeout, by_progress=True)
        with deadline.started():
            with deadline.used():
                response = self._send(request, None, 0)
            with _closing(response):
                with translated(), deadline.used():
                    content = b"" if response.status in _OK else response.read(_REPLY_BYTES)
                deadline.suspend()
                yield _reply(response, content), TimedBody(response, deadline)

    def _send(self, request: Request, body: BinaryIO | bytes | None, size: int) -> BaseHTTPResponse:
        start = 0 if body is None or isinstance(body, bytes) else body.tell()
        renewed, attempt = False, 0
        while True:
            attempt += 1
            if body is not None and not isinstance(body, bytes):
                body.seek(start)
            try:
                response = self._send_once(request, body, size)
            except StoreUnavailableError:
                if attempt >= self.limits.attempts:
                    raise
            else:
                if response.status == _UNAUTHORIZED and not renewed and self._signer.renew():
                    renewed, attempt = True, attempt - 1
                elif response.status not in TRANSIENT_STATUS or attempt >= self.limits.attempts:
                    return response
                response.close()
            with suspended():
                self._sleep(_PAUSE_SECONDS * attempt)

    def _send_once(self, request: Request, body: BinaryIO | bytes | None, size: int) -> BaseHTTPResponse:
        length = None if body is None else len(request.before) + size + len(request.after)
        with suspended():
            target, headers = self._signer.sign(request, length)
        headers = {**headers, "user-agent": "mailhaul"}
        if length is not None:
            headers["content-length"] = str(length)
        with limited(self.limits.piece_timeout) as deadline:
            with translated(deadline):
                response = self._pool().request(
                    request.method,
                    self._endpoint + target,
                    body=None if body is None else _pieces(request, body),
                    headers=headers,
                    retries=False,  # neither a second try nor a redirect
                    timeout=Timeout(connect=self.limits.connect_timeout, read=self.limits.read_timeout),
                    preload_content=False,
                    decode_content=False,
                )
            if deadline.over:
                # A head that was cut off counts as whole with http.client.
                response.close()
                raise _late()
        return response

    def _pool(self) -> PoolManager:
        pid = os.getpid()
        with self._lock:
            if self._made is None or self._made[0] != pid:
                self._made = pid, self._make_pool()
            return self._made[1]

    def _make_pool(self) -> PoolManager:
        parts = urlsplit(self._endpoint)
        proxy = getproxies().get(parts.scheme)
        options: dict[str, Any] = {"maxsize": self.limits.max_connections, "retries": False}
        if parts.scheme == "https":
            options["ssl_context"] = ssl.create_default_context()
        made: PoolManager
        if proxy and not proxy_bypass(parts.hostname or ""):
            made = ProxyManager(proxy if "://" in proxy else f"http://{proxy}", **options)
        else:
            made = PoolManager(**options)
        made.pool_classes_by_scheme = _POOLS
        return made


class TimedBody:
    """The body of an answer, each piece of which has the deadline's time. The deadline is suspended between reads."""

    def __init__(self, response: BaseHTTPResponse, deadline: RequestDeadline) -> None:
        self._response, self._deadline = response, deadline

    def readinto(self, buffer: Buffer, /) -> int:
        """Read a piece.

        Raises:
            StoreUnavailableError: it did not arrive, or not in time.
        """
        view = memoryview(buffer).cast("B")[:PIECE_BYTES]
        self._deadline.restart()
        try:
            with translated(self._deadline):
                piece = self._response.read(len(view))
        finally:
            self._deadline.suspend()
        if self._deadline.over:
            # A body without a length counts as whole when its connection ends.
            raise _late()
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Do nothing: the connection is released by whoever made the request."""


def _pieces(request: Request, body: BinaryIO | bytes) -> Iterator[bytes]:
    """Yield the body of a request; each piece that is sent counts as progress."""
    if isinstance(body, bytes):
        whole = request.before + body + request.after
        for start in range(0, len(whole), CHUNK_BYTES):
            yield whole[start : start + CHUNK_BYTES]
        return
    if request.before:
        yield request.before
    while chunk := body.read(CHUNK_BYTES):
        yield chunk
    if request.after:
        yield request.after


def _reply(response: BaseHTTPResponse, content: bytes) -> Reply:
    return Reply(response.status, {name.lower(): value for name, value in response.headers.items()}, content)


@contextmanager
def _closing(response: BaseHTTPResponse) -> Iterator[None]:
    """Keep the connection if the answer was read to its end, else close it."""
    try:
        yield
    finally:
        if not response.closed:
            response.close()


class translated(Translation):  # noqa: N801 - used like a function
    """Translate what urllib3 raises inside the block into the errors of `ingest.ports.store`."""

    __slots__ = ("_deadline",)

    def __init__(self, deadline: RequestDeadline | None = None) -> None:
        self._deadline = deadline

    @override
    def translate(self, error: BaseException) -> StoreError | None:
        if not isinstance(error, HTTPError | OSError | ValueError):
            return None
        return _failed(error, late=self._deadline is not None and self._deadline.over)


def _failed(error: Exception, *, late: bool) -> StoreError:
    causes = list(_causes(error))
    if late or _among(causes, TimeoutError, ReadTimeoutError):
        return _late()
    if _among(causes, ProxyError):
        return StoreUnavailableError("the object store cannot be reached through the environment's proxy")
    if _among(causes, ssl.SSLCertVerificationError):
        return StoreRefusedError(
            "the store's certificate is not trusted: correct the endpoint, or set SSL_CERT_FILE to the CA's file"
        )
    unreachable = any(isinstance(cause, OSError) and cause.errno in _UNREACHABLE for cause in causes)
    if unreachable or _among(causes, NewConnectionError, socket.gaierror):
        return StoreUnavailableError("the object store cannot be reached: check endpoint, network and server")
    return StoreUnavailableError(f"the connection to the object store failed ({type(error).__name__})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes, through urllib3 down to the socket's."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _among(causes: Sequence[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)


def _late() -> StoreUnavailableError:
    return StoreUnavailableError("the object store did not answer in time")
