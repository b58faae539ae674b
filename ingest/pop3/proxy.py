"""Through a SOCKS5 or HTTP CONNECT proxy, which looks up the server's name.

A POP3 server speaks first, so not a byte behind the proxy's answer may be taken for part of it. The common clients
read CONNECT's answer a buffer at a time, and lose greetings; here it is read up to its blank line and no further.
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

# Of the answer to CONNECT, with its header. Proxies that say why they refuse do so in a body, which is not read.
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


class _Punctual:
    """A socket whose every wait ends with the deadline; with what python-socks uses of one."""

    def __init__(self, sock: socket.socket, clock: Callable[[], float], deadline: Deadline) -> None:
        self._sock = sock
        self._clock = clock
        self._deadline = deadline

    def recv(self, size: int, flags: int = 0) -> bytes:
        """As a socket's."""
        self._hurry()
        return self._sock.recv(size, flags)

    def sendall(self, data: bytes) -> None:
        """As a socket's."""
        self._hurry()
        self._sock.sendall(data)

    def close(self) -> None:
        """As a socket's."""
        self._sock.close()

    def _hurry(self) -> None:
        left = self._deadline.at - self._clock()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)


class _Dialled:
    """Stands where python-socks expects a proxy before the proxy: the connection is there already."""

    def __init__(self, sock: _Punctual) -> None:
        self._sock = sock

    def connect(self, **_: Any) -> _Punctual:
        """The connection."""
        return self._sock


def through(
    sock: socket.socket,
    server: Server,
    login: tuple[str, str] | None,
    clock: Callable[[], float],
    deadline: Deadline,
) -> None:
    """Have the proxy at the other end connect us to the server; the socket is closed when it does not.

    Raises:
        MaildropConnectError: it refuses, cannot reach the server, or is no such proxy.
        MaildropTimeoutError: the deadline has passed.
    """
    assert server.proxy is not None
    punctual = _Punctual(sock, clock, deadline)
    with _translated(sock, server, deadline):
        if server.proxy.kind == "http":
            _connect(punctual, server, login)
        else:
            _socks5(punctual, server, login)


def _socks5(sock: _Punctual, server: Server, login: tuple[str, str] | None) -> None:
    # RFC 1929 section 2 has one byte for each length, and names no character set.
    if login is not None and not all(text.isascii() and 0 < len(text) <= _SOCKS_TEXT for text in login):
        raise MaildropConnectError(
            f"A SOCKS5 proxy takes 1 to {_SOCKS_TEXT} ASCII characters only: correct `proxy.username` and "
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
    except ValueError as error:  # an answer whose parts make no sense to it
        raise MaildropConnectError(f"{_named(server)} does not speak SOCKS5: check `proxy`.") from error


def _connect(sock: _Punctual, server: Server, login: tuple[str, str] | None) -> None:
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
            f"{_named(server)} wants another user name or password: set `proxy.username` and `proxy.password`."
        )
    if not code.startswith("2"):
        raise MaildropConnectError(f"{_named(server)} does not connect us to {server.label}: it answered {code}.")


def _answer(sock: _Punctual) -> bytes:
    """The status line and header, up to the blank line, and nothing behind it."""
    taken = b""
    while True:
        shown = sock.recv(_ANSWER_BYTES, socket.MSG_PEEK)
        if not shown:
            raise ConnectionResetError
        # The blank line may be split between what was taken and what is shown.
        end = (taken[-3:] + shown).find(_BLANK_LINE)
        wanted = len(shown) if end < 0 else end + len(_BLANK_LINE) - len(taken[-3:])
        taken += sock.recv(wanted)
        if end >= 0 or len(taken) > _ANSWER_BYTES:
            return taken


def _ascii(host: str) -> str:
    """A host name as it goes over the wire."""
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:  # a label of no or over 63 characters
        raise MaildropConnectError(f"The host {host} is not known: check `host`.") from error


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
            raise MaildropConnectError(f"{_named(server)} ended the connection: check `proxy`.") from error
        raise


def _socks_words(error: ProxyError, server: Server) -> str:
    reason = _SOCKS_REASONS.get(error.error_code or 0)
    if reason is not None:
        return f"{_named(server)} does not connect us to {server.label}: {reason}."
    if "auth" in str(error).lower():
        return f"{_named(server)} wants another user name or password: set `proxy.username` and `proxy.password`."
    return f"{_named(server)} does not connect us to {server.label}: {error}."
