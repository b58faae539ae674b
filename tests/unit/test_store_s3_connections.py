"""Answers are read by the letter: each form of body that HTTP knows, and nothing that it does not allow."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError
from botocore.httpsession import get_cert_path

from ingest.adapters.deadline import RequestDeadline
from ingest.adapters.stores.s3_connections import Connection, Network, Route
from tests.support.dripping import dripping_servers
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ingest.adapters.stores.s3_exchange import Exchange

NETWORK = Network(connect_timeout=PATIENCE, read_timeout=PATIENCE, piece_timeout=PATIENCE, idle=2, ca_bundle="")


@pytest.fixture
def ask() -> Iterator[Callable[..., Exchange]]:
    """Sends a request to a server that answers with the given bytes and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        exchanges: list[Exchange] = []
        threads: list[threading.Thread] = []

        def serve(answer: bytes) -> None:
            connection, _ = listener.accept()
            with connection:
                while b"\r\n\r\n" not in connection.recv(65536):
                    pass
                connection.sendall(answer)

        def send(answer: bytes, method: str = "GET") -> Exchange:
            threads.append(threading.Thread(target=serve, args=(answer,)))
            threads[-1].start()
            route = Route(urlsplit(f"http://127.0.0.1:{listener.getsockname()[1]}"), NETWORK)
            exchanges.append(route.exchange(method, "/", {"host": "h"}))
            return exchanges[-1]

        yield send
        for exchange in exchanges:
            exchange.close()
            exchange.connection.close()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbytes",
        b"HTTP/1.1 200\r\ncontent-length:5\r\n\r\nbytes and more",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbytes",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbyt\r\n2\r\nes\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nbytes",
    ],
    ids=["length", "no reason", "after 100", "chunks", "until closed"],
)
def test_body_is_read_in_each_form(ask: Callable[..., Exchange], answer: bytes) -> None:
    exchange = ask(answer)
    assert (exchange.status, exchange.read_all()) == (200, b"bytes")


def test_fields_are_found_by_lower_case_names(ask: Callable[..., Exchange]) -> None:
    exchange = ask(b'HTTP/1.1 200 OK\r\nETag:  "a:b" \r\nX-A: 1\r\nx-a: 2\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n')
    assert exchange.fields == {"etag": '"a:b"', "x-a": "1, 2", "x-empty": "", "content-length": "0"}


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"HTTP/1.1 204 None\r\n\r\n"])
def test_answer_without_a_body_leaves_the_connection_usable(ask: Callable[..., Exchange], head: bytes) -> None:
    exchange = ask(head, "HEAD")
    assert exchange.read_all() == b""
    assert list(exchange.route.idle) == [exchange.connection]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\n\r\na",
    ],
)
def test_connection_that_the_server_closes_is_not_kept(ask: Callable[..., Exchange], answer: bytes) -> None:
    exchange = ask(answer)
    assert exchange.read_all() == b"a"
    assert not exchange.route.idle


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nbytes",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nbytes",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nbytes",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno field\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nETag: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nETag : a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000 + b"\r\n\r\n",
    ],
)
def test_answer_of_an_unknown_form_is_refused(ask: Callable[..., Exchange], answer: bytes) -> None:
    with pytest.raises(HTTPException):
        ask(answer)


def test_body_that_ends_early_is_an_error(ask: Callable[..., Exchange]) -> None:
    exchange, buffer = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbyt"), bytearray(100)
    assert exchange.readinto(buffer) == 3
    with pytest.raises(IncompleteReadError):
        exchange.readinto(buffer)


@pytest.mark.parametrize(
    "body", [b"3\r\nbyt2\r\nes\r\n0\r\n\r\n", b"x\r\n", b"3\r\nby", b"3\r\nbyt\r\n", b"0\r\na: b\r\n"]
)
def test_chunks_of_an_unknown_form_are_an_error(ask: Callable[..., Exchange], body: bytes) -> None:
    exchange = ask(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    with pytest.raises(ResponseStreamingError):
        exchange.readinto(bytearray(100))
    exchange.close()
    assert not exchange.route.idle


def test_connection_is_kept_after_the_last_chunk(ask: Callable[..., Exchange]) -> None:
    exchange = ask(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nbytes\r\n0\r\na: b\r\n\r\n")
    assert exchange.read_all() == b"bytes"
    assert list(exchange.route.idle) == [exchange.connection]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbytes and more",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
    ],
)
def test_connection_with_bytes_behind_the_answer_is_not_kept(ask: Callable[..., Exchange], answer: bytes) -> None:
    exchange = ask(answer)
    assert exchange.read_all() == b"bytes"
    assert not exchange.route.idle


def test_request_with_a_line_break_in_a_field_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        route = Route(urlsplit(f"http://127.0.0.1:{listener.getsockname()[1]}"), NETWORK)
        with pytest.raises(HTTPException):
            route.exchange("PUT", "/", {"host": "h", "x-a": "b\r\nx-c: d"}, b"")
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


# A server that sends a byte now and then is never silent for as long as a timeout: only a deadline ends the request.
_HEAD = b"HTTP/1.1 200 OK\r\nX-Padding: "
_BODY = b"HTTP/1.1 503 Busy\r\nContent-Length: 99999\r\n\r\n"
_TLS_RECORD = b"\x16\x03\x03\x40\x00"
_BRIEF = replace(NETWORK, piece_timeout=0.3)


@pytest.mark.parametrize("beginning", [_HEAD, _BODY], ids=["head", "body"])
def test_answer_that_drips_ends_with_the_time_of_a_piece(beginning: bytes) -> None:
    with dripping_servers(1, 0.02, beginning, greets=False) as (server,):
        route = Route(urlsplit(f"http://127.0.1.1:{server.port}"), _BRIEF)
        with pytest.raises(ReadTimeoutError):
            route.exchange("PUT", "/", {"host": "h"}, b"bytes").read_all()
        assert not route.idle


def test_handshake_that_drips_ends_with_the_time_of_a_piece() -> None:
    with dripping_servers(1, 0.02, _TLS_RECORD, greets=False) as (server,):
        route = Route(
            urlsplit(f"https://127.0.1.1:{server.port}"), replace(_BRIEF, ca_bundle=str(get_cert_path(True)))
        )
        with pytest.raises(ReadTimeoutError):
            route.exchange("PUT", "/", {"host": "h"}, b"bytes")


def test_deadline_of_the_caller_ends_a_request() -> None:
    with dripping_servers(1, 0.02, _HEAD, greets=False) as (server,):
        route = Route(urlsplit(f"http://127.0.1.1:{server.port}"), NETWORK)
        with RequestDeadline(0.3).running(), pytest.raises(ReadTimeoutError):
            route.exchange("PUT", "/", {"host": "h"}, b"bytes")


class Partial(socket.socket):
    """A socket that sends a request in part, as the kernel does when its limit is over."""

    def sendmsg(self, buffers: Iterable[Any], *_: Any) -> int:
        return super().sendmsg([b"".join(buffers)[:1000]])


@pytest.fixture
def narrow() -> Iterator[tuple[Route, socket.socket]]:
    """A route with one open connection, which holds few bytes on their way, and the server's end of it."""
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with far, Partial(fileno=near.detach()) as partial:
        route = Route(urlsplit("http://127.0.0.1:1"), replace(NETWORK, piece_timeout=0.5))
        route.release(Connection(partial))
        yield route, far


def test_upload_that_is_taken_a_byte_now_and_then_ends_with_the_time_of_a_piece(
    narrow: tuple[Route, socket.socket],
) -> None:
    (route, far), ended = narrow, threading.Event()

    def take() -> None:
        while not ended.wait(0.02) and far.recv(1000):
            pass

    server = threading.Thread(target=take)
    server.start()
    try:
        with pytest.raises(ReadTimeoutError):
            route.exchange("PUT", "/", {"host": "h"}, bytes(2**20))
    finally:
        ended.set()
        server.join()


def test_upload_that_the_kernel_takes_in_parts_arrives_whole(narrow: tuple[Route, socket.socket]) -> None:
    (route, far), body = narrow, bytes(range(256)) * 2048
    route.network = NETWORK
    received: list[bytes] = []

    def serve() -> None:
        far.settimeout(PATIENCE)
        while not b"".join(received).endswith(body):
            received.append(far.recv(65536))
        far.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    server = threading.Thread(target=serve)
    server.start()
    assert route.exchange("PUT", "/", {"host": "h"}, body).read_all() == b""
    server.join()
    assert b"".join(received).partition(b"\r\n\r\n")[2] == body
