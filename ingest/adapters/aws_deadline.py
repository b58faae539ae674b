"""Requests of boto3 clients with a deadline each.

botocore limits each wait for a byte, so a server that sends one now and then holds a request, a worker and its claim
for ever. Here every piece of a request has a deadline (`RequestDeadline`), for a body in either direction too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSConnection, AWSHTTPConnectionPool, AWSHTTPSConnectionPool
from botocore.exceptions import ReadTimeoutError
from urllib3.connection import HTTPConnection

from ingest.adapters.deadline import GuardedConnection, GuardedTlsConnection, limited, running_deadline

if TYPE_CHECKING:
    import socket

    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from typing_extensions import Buffer

    from ingest.adapters.deadline import RequestDeadline
    from ingest.adapters.stores.transfer import Readable

# Bytes of an answer's body for which a deadline counts.
PIECE_BYTES = 64 * 1024


class _Connection(AWSConnection, GuardedConnection):  # type: ignore[misc]  # both change `request` and `send`, and call on
    """botocore's connection, whose socket a deadline can shut down."""

    def _new_conn(self) -> socket.socket:
        made = HTTPConnection._new_conn(self)  # noqa: SLF001 - urllib3's own, whose errors botocore knows
        self._keep(made.dup())
        if (deadline := running_deadline()) is not None:
            deadline.guard(self._handle)
        return made


class _TlsConnection(_Connection, GuardedTlsConnection):  # type: ignore[misc]  # as above
    """The same over TLS."""


class _Pool(AWSHTTPConnectionPool):
    ConnectionCls = _Connection  # type: ignore[assignment]  # it does all that the one it replaces does


class _TlsPool(AWSHTTPSConnectionPool):
    ConnectionCls = _TlsConnection  # type: ignore[assignment]  # as above


class _Session:
    """botocore's HTTP session; every request has a deadline, that of its caller or one of its own."""

    def __init__(self, inner: Any, seconds: float) -> None:
        self._inner, self._seconds = inner, seconds

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """Send one request, and read its answer unless it is to be streamed."""
        with limited(self._seconds) as deadline:
            return self._send(request, deadline)

    def _send(self, request: AWSPreparedRequest, deadline: RequestDeadline) -> AWSResponse:
        try:
            answer: AWSResponse = self._inner.send(request)
        except Exception as error:
            if deadline.over:
                raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
            raise
        if deadline.over:
            # A head that was cut off counts as whole with http.client.
            answer.raw.close()
            raise ReadTimeoutError(endpoint_url=request.url)
        return answer

    def close(self) -> None:
        """Close all connections."""
        self._inner.close()


class TimedBody:
    """The body of an answer, each piece of which has the deadline's time. The deadline is suspended between reads."""

    def __init__(self, source: Readable, deadline: RequestDeadline) -> None:
        self._source, self._deadline = source, deadline

    def readinto(self, buffer: Buffer, /) -> int | None:
        """Read a piece.

        Raises:
            ReadTimeoutError: it did not arrive in time.
        """
        self._deadline.restart()
        try:
            count = self._source.readinto(memoryview(buffer)[:PIECE_BYTES])
        except Exception as error:
            if self._deadline.over:
                raise ReadTimeoutError(endpoint_url="the store", error=error) from error
            raise
        finally:
            self._deadline.suspend()
        if self._deadline.over:
            # A body without a length counts as whole when its connection ends.
            raise ReadTimeoutError(endpoint_url="the store")
        return count

    def close(self) -> None:
        """Release the connection."""
        self._source.close()


def limit_requests(client: Any, seconds: float) -> None:
    """Give every request of a boto3 client a deadline: this many seconds for each piece, and for the answer's head.

    botocore has no option for it, so this replaces the connection pools of the client's session.
    """
    session = client._endpoint.http_session  # noqa: SLF001 - see above
    pools = {"http": _Pool, "https": _TlsPool}
    session._pool_classes_by_scheme = pools  # noqa: SLF001 - for proxies
    session._manager.pool_classes_by_scheme = pools  # noqa: SLF001 - for direct connections
    client._endpoint.http_session = _Session(session, seconds)  # noqa: SLF001 - see above
