"""POST over kept-alive connections, each request within one deadline."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError, ProtocolError, SSLError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError

from ingest.adapters.deadline import ForbiddenAddressError, GuardedPool, GuardedTlsPool, RequestDeadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

# Maximum size of an answer's body to read so that the connection can be reused; beyond it a new one is cheaper.
_BODY_BYTES = 16 * 1024

_PRIVATE = "its name leads to this machine or into a private network; if that is intended, set `allow_private`"
# Errors with a fixed message.
_PLAIN: tuple[tuple[type[OSError], str, str], ...] = (
    (ForbiddenAddressError, "private_address", _PRIVATE),
    (socket.gaierror, "connect", "its name is unknown; correct `url`, or check name resolution"),
)


class PostError(Exception):
    """No answer. `reason` is a short code (`connect`, `timeout`, ...); the message names the remedy."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status, and the value of `Retry-After` (RFC 9110 section 10.2.3) if there is one."""

    status: int
    retry_after: str | None


class Poster:
    """Posts to one URL.

    Args:
        url: `https://` or `http://`.
        timeout: seconds for one request as a whole, connecting included.
        ca_file: PEM certificates to trust instead of the system's.
        connections: number of connections kept open.
        permitted: called with every address of the host; if one is not permitted, no request is made.

    Raises:
        PostError: `ca_file` cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        ca_file: Path | None,
        connections: int,
        permitted: Callable[[str], bool] | None = None,
    ) -> None:
        parts = urlsplit(url)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout = timeout
        host = parts.hostname or ""
        self._pool: HTTPConnectionPool
        options: dict[str, Any] = {"maxsize": connections, "permitted": permitted}
        if parts.scheme == "https":
            self._pool = GuardedTlsPool(host, parts.port or 443, ssl_context=_context(ca_file), **options)
        else:
            self._pool = GuardedPool(host, parts.port or 80, **options)

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post once, without following redirects; return the answer.

        Raises:
            PostError: no answer came in time.
        """
        deadline = RequestDeadline(self._timeout)
        with deadline.running():
            try:
                response = self._pool.urlopen(
                    "POST",
                    self._target,
                    body=body,
                    headers=headers,
                    retries=False,  # neither a second try nor a redirect
                    timeout=self._timeout,
                    preload_content=False,
                    decode_content=False,
                )
            except (HTTPError, OSError, ValueError) as error:
                raise _translated(error, deadline) from error
            if deadline.over:
                # A head that was cut off counts as whole with http.client.
                response.close()
                raise _translated(TimeoutError(), deadline)
            _finish(response)
            return Answer(response.status, response.headers.get("retry-after"))

    def connect(self) -> None:
        """Connect, with TLS for `https://`, and send nothing.

        Raises:
            PostError: connecting failed.
        """
        deadline = RequestDeadline(self._timeout)
        connection = self._pool._new_conn()  # noqa: SLF001 - the same connection as for a request, but none is sent
        with deadline.running():
            try:
                connection.connect()
            except (HTTPError, OSError, ValueError) as error:
                raise _translated(error, deadline) from error
            finally:
                connection.close()

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        words = f"the certificates in {ca_file} cannot be read as PEM ({error.strerror}); correct `ca`"
        raise PostError("tls", words) from error


def _finish(response: BaseHTTPResponse) -> None:
    """Read the rest of an answer so that its connection can be reused, or close it.

    The status is already known, so errors here are ignored.
    """
    kept_alive = response.version > 10 and response.headers.get("connection", "").lower() != "close"  # noqa: PLR2004
    try:
        if kept_alive and len(response.read(_BODY_BYTES + 1)) <= _BODY_BYTES:
            response.release_conn()
            return
    except (HTTPError, OSError, ValueError):
        pass
    response.close()


def _translated(error: Exception, deadline: RequestDeadline) -> PostError:
    causes = list(_causes(error))
    if deadline.over or any(isinstance(cause, TimeoutError | Urllib3TimeoutError) for cause in causes):
        return PostError("timeout", f"did not answer within {deadline.seconds:g} s; check whether it is overloaded")
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            words = f"its certificate cannot be trusted ({cause.verify_message}); correct it, or set `ca`"
            return PostError("tls", words)
        for kind, reason, words in _PLAIN:
            if isinstance(cause, kind):
                return PostError(reason, words)
    if any(isinstance(cause, ssl.SSLError | SSLError) for cause in causes):
        return PostError("tls", "TLS failed; check that it supports TLS 1.2 or later on this port")
    found = next((cause for cause in causes if isinstance(cause, OSError)), None)
    if found is not None:
        why = found.strerror or "it closed the connection"
        return PostError("connect", f"cannot be reached ({why}); check that it is running")
    return PostError("protocol", "did not answer in HTTP; correct the port in `url`")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those it wraps, which urllib3 keeps among the arguments."""
    yield error
    if isinstance(error, ProtocolError | SSLError):
        for inner in error.args:
            if isinstance(inner, BaseException):
                yield from _causes(inner)
