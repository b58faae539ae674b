"""Answers are read by the letter: each form of body that HTTP knows, and nothing that it does not allow."""

from __future__ import annotations

import socket
import threading
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import IncompleteReadError, ResponseStreamingError

from ingest.adapters.stores.s3_connections import Network, Route
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.adapters.stores.s3_connections import Exchange

NETWORK = Network(connect_timeout=PATIENCE, read_timeout=PATIENCE, idle=2, ca_bundle="")


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
            connection, _ = route.connected()
            try:
                exchanges.append(route.send(connection, method, "/", {"host": "h"}, None))
            except HTTPException:
                connection.close()
                raise
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
        connection, _ = route.connected()
        with pytest.raises(HTTPException):
            route.send(connection, "PUT", "/", {"host": "h", "x-a": "b\r\nx-c: d"}, b"")
        connection.close()
        served, _ = listener.accept()
        with served:
            assert served.recv(100) == b""
