"""A POP3 server whose maildrops are empty, for benchmarks: `python -m tests.benchmarks.empty_stub CERTIFICATE`.

It accepts every login over implicit TLS, on every address of the machine. It prints its port, and for each line on
standard input how many sessions it has ended so far.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_ANSWERS = {
    b"CAPA": b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\nRESP-CODES\r\n.\r\n",
    b"STAT": b"+OK 0 0\r\n",
    b"UIDL": b"+OK\r\n.\r\n",
    b"LIST": b"+OK\r\n.\r\n",
}


class _Session(asyncio.Protocol):
    ended = 0

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"+OK ready\r\n")

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\r\n")
        words = [line.split(b" ", 1)[0].upper() for line in lines]
        self._transport.write(b"".join(_ANSWERS.get(word, b"+OK\r\n") for word in words))
        if b"QUIT" in words:
            _Session.ended += 1
            self._transport.close()


async def _serve(certificate: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Session, "0.0.0.0", 0, ssl=context, backlog=1000)  # noqa: S104 - see above
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    threading.Thread(target=_report, args=(lambda: loop.call_soon_threadsafe(ended.set),), daemon=True).start()
    await ended.wait()


def _report(end: Callable[[], object]) -> None:
    for _ in sys.stdin:
        print(_Session.ended, flush=True)
    end()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
