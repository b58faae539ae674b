"""Connect through a SOCKS5 or HTTP CONNECT proxy, which looks up the server's name.

A POP3 server speaks first, so no byte after the proxy's answer may be consumed with it. Common clients read the
answer to CONNECT a buffer at a time and lose greetings; here it is read up to its blank line and no further.
"""

from __future__ import annotations

import base64
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from python_socks import ProxyError, ProxyTimeoutError, ProxyType
from python_socks.sync import Proxy

from ingest.errors import MaildropConnectError, MaildropTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.domain.mailbox import Server
    from ingest.pop3.deadlines import Deadline

# Maximum size of the answer to CONNECT with its header. A body, which may explain a refusal, is not read.
_ANSWER_BYTES = 16 * 1024
_BLANK_LINE = b"\r\n\r\n"
_SOCKS_TEXT = 255
# RFC 1928 section 6; python-socks' own code for a refused user name or password is none of these.
_SOCKS_REASONS = {
    2: "its rules do not allow it",
    3: "the network is unreachable from there",
    4: "it cannot reach or does not know the host: check `host`",
    5: "nothing answers there: check `port`",
    6: "the connection took too long there",
}


class _DeadlineSocket:
    """A socket whose every wait ends at the deadline; implements only what python-socks uses."""

    def __init__(self, sock: socket.socket, clock: Callable[[], float], deadline: Deadline) -> None:
        self._sock = sock
        self._clock = clock
        self._deadline = deadline

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Like `socket.recv`."""
        self._limit_wait()
        return self._sock.recv(size, flags)

    def sendall(self, data: bytes) -> None:
        """Like `socket.sendall`."""
        self._limit_wait()
        self._sock.sendall(data)

    def close(self) -> None:
        """Like `socket.close`."""
        self._sock.close()

    def _limit_wait(self) -> None:
        left = self._deadline.at - self._clock()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)


class _Dialled:
    """Takes the place of the upstream proxy in python-socks and returns the existing connection."""

    def __init__(self, sock: _DeadlineSocket) -> None:
        self._sock = sock

    def connect(self, **_: Any) -> _DeadlineSocket:
        """Return the connection."""
        return self._sock


def connect_through_proxy(
    sock: socket.socket,
    server: Server,
    login: tuple[str, str] | None,
    clock: Callable[[], float],
    deadline: Deadline,
) -> None:
    """Ask the proxy at the other end of `sock` to connect to the server; the socket is closed on failure.

    Raises:
        MaildropConnectError: it refuses, cannot reach the server, or is not such a proxy.
        MaildropTimeoutError: the deadline has passed.
    """
    assert server.proxy is not None
    punctual = _DeadlineSocket(sock, clock, deadline)
    with _translated(sock, server, deadline):
        if server.proxy.kind == "http":
            _connect(punctual, server, login)
        else:
            _socks5(punctual, server, login)


def _socks5(sock: _DeadlineSocket, server: Server, login: tuple[str, str] | None) -> None:
    # RFC 1929 section 2 has one byte for each length and names no character set.
    if login is not None and not all(text.isascii() and 0 < len(text) <= _SOCKS_TEXT for text in login):
        raise MaildropConnectError(
            f"A SOCKS5 proxy accepts only 1 to {_SOCKS_TEXT} ASCII characters: correct `proxy.username` and "
            "`proxy.password`."
        )
    user, password = login or (None, None)
    proxy = Proxy(
        ProxyType.SOCKS5,
        "",
        0,
        username=user,
        password=password,
        rdns=True,
        forward=_Dialled(sock),  # type: ignore[arg-type]  # all that is asked of it is to connect
    )
    host = _ascii(server.host)
    try:
        proxy.connect(host, server.port)
    except ValueError as error:  # python-socks cannot parse the answer
        raise MaildropConnectError(f"{_named(server)} does not speak SOCKS5: check `proxy`.") from error


def _connect(sock: _DeadlineSocket, server: Server, login: tuple[str, str] | None) -> None:
    """CONNECT, RFC 9110 section 9.3.6."""
    host = f"[{server.host}]" if ":" in server.host else _ascii(server.host)
    lines = [f"CONNECT {host}:{server.port} HTTP/1.1", f"Host: {host}:{server.port}"]
    if login is not None:
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(':'.join(login).encode()).decode()}")
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    status, _, _ = _answer(sock).partition(b"\r\n")
    version, _, rest = status.partition(b" ")
    code = rest[:3].decode("ascii", "replace")
    if not version.startswith(b"HTTP/1.") or not code.isdigit():
        raise MaildropConnectError(f"{_named(server)} does not speak HTTP: check `proxy`.")
    if code == "407":
        raise MaildropConnectError(
            f"{_named(server)} asks for a user name and password: set `proxy.username` and `proxy.password`."
        )
    if not code.startswith("2"):
        raise MaildropConnectError(f"{_named(server)} refuses to connect to {server.label}: it answered {code}.")


def _answer(sock: _DeadlineSocket) -> bytes:
    """Read the status line and header, up to the blank line and no further."""
    taken = b""
    while True:
        shown = sock.recv(_ANSWER_BYTES, socket.MSG_PEEK)
        if not shown:
            raise ConnectionResetError
        # The blank line may be split between what was consumed and what was peeked at.
        end = (taken[-3:] + shown).find(_BLANK_LINE)
        wanted = len(shown) if end < 0 else end + len(_BLANK_LINE) - len(taken[-3:])
        taken += sock.recv(wanted)
        if end >= 0 or len(taken) > _ANSWER_BYTES:
            return taken


def _ascii(host: str) -> str:
    """Return a host name as it is sent over the wire."""
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:  # a label of no or over 63 characters
        raise MaildropConnectError(f"The host {host} is unknown: check `host`.") from error


def _named(server: Server) -> str:
    assert server.proxy is not None
    return f"The proxy {server.proxy.host}:{server.proxy.port}"


@contextmanager
def _translated(sock: socket.socket, server: Server, deadline: Deadline) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        sock.close()
        if isinstance(error, TimeoutError | ProxyTimeoutError):
            raise MaildropTimeoutError(deadline.words) from error
        if isinstance(error, ProxyError):
            raise MaildropConnectError(_socks_words(error, server)) from error
        if isinstance(error, OSError):
            raise MaildropConnectError(f"{_named(server)} closed the connection: check `proxy`.") from error
        raise


def _socks_words(error: ProxyError, server: Server) -> str:
    reason = _SOCKS_REASONS.get(error.error_code or 0)
    if reason is not None:
        return f"{_named(server)} refuses to connect to {server.label}: {reason}."
    if "auth" in str(error).lower():
        return f"{_named(server)} asks for a user name and password: set `proxy.username` and `proxy.password`."
    return f"{_named(server)} refuses to connect to {server.label}: {error}."
