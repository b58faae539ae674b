from __future__ import annotations

import socket
from urllib.parse import urlsplit

from tests.support.http import Receiver


def test_a_request_that_its_client_did_not_finish_is_none() -> None:
    """As when the client is killed between the header and the body."""
    with Receiver() as receiver:
        for body in (b"", b"{", b"{}"):
            with socket.create_connection(("127.0.0.1", urlsplit(receiver.url).port or 0)) as client:
                client.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n" + body)
                client.shutdown(socket.SHUT_WR)
                while client.recv(1024):
                    pass
    assert [request.body for request in receiver.requests] == [b"{}"]
