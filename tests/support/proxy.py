"""A proxy on loopback that makes the connection to a server slower, narrower or unreliable.

Latency costs no throughput: each chunk is sent `delay` seconds after it was read, however many are in flight, so that
pipelining helps as on a real line. One thread with one event loop serves all connections.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.support.servers import free_port
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

# The most bytes in flight in one direction of one connection; at 50 ms this still allows 160 MB/s.
_IN_FLIGHT = 8 * 2**20
_BACKLOG = 1024


class DelayProxy:
    """Passes connections to `host`:`port` on to 127.0.0.1:`target_port`.

    While it is stopped, connections are refused; started again, it listens on the same port.

    Args:
        target_port: of the server.
        delay: seconds each way. A new connection takes three of them to reach the server, as its handshake would.
        bytes_per_second: for each direction of each connection; None for no limit.
        cut_after: each connection ends after so many bytes from the server; None for never.
        cut_at: a connection ends when a client sends this (without TLS, in one piece), before the server receives it.
        mute_at: the server receives this, but its answer is lost: the connection ends when it comes.
        host: the address of this machine to listen on.
    """

    def __init__(
        self,
        target_port: int,
        delay: float,
        bytes_per_second: float | None = None,
        cut_after: int | None = None,
        *,
        cut_at: bytes | None = None,
        mute_at: bytes | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.host, self.port = host, free_port()
        self._line = _Line(target_port, delay, bytes_per_second, cut_after=cut_after, cut_at=cut_at, mute_at=mute_at)
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None

    def start(self) -> None:
        """Listen; return when connections are accepted."""
        self._ready.clear()
        self._thread = threading.Thread(target=self._run, name="delay-proxy", daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE), "the proxy did not start"

    def stop(self) -> None:
        """Refuse new connections and drop the open ones."""
        if self._thread is None:
            return
        assert self._over is not None
        self._in_loop(self._over.set)
        self._thread.join()
        self._thread = None

    def cut_after(self, size: int | None) -> None:
        """End connections that are opened from now on after so many bytes from the server; None for never."""
        self._line.cut_after = size

    def lead_to(self, target_port: int) -> None:
        """Pass connections that are opened from now on to another server."""
        self._line.target_port = target_port

    def stall(self) -> None:
        """Pass nothing on, in either direction; connections stay open. Return when this is in effect."""
        self._in_loop(self._line.stall)

    def resume(self) -> None:
        """Pass everything on again, what was held first."""
        self._in_loop(self._line.resume)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _in_loop(self, action: Callable[[], None]) -> None:
        assert self._loop is not None, "the proxy was not started"
        done = threading.Event()

        def act() -> None:
            action()
            done.set()

        self._loop.call_soon_threadsafe(act)
        assert done.wait(PATIENCE), "the proxy hangs"

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._line.stalled = False
        server = await self._loop.create_server(
            lambda: _ClientEnd(self._line), self.host, self.port, backlog=_BACKLOG
        )
        self._ready.set()
        await self._over.wait()
        server.close()
        await self._line.drop_all()


class _Line:
    """The state that all connections share."""

    def __init__(
        self,
        target_port: int,
        delay: float,
        bytes_per_second: float | None,
        *,
        cut_after: int | None,
        cut_at: bytes | None,
        mute_at: bytes | None,
    ) -> None:
        self.target_port = target_port
        self.delay = delay
        self.rate = bytes_per_second
        self.cut_after = cut_after
        self.cut_at = cut_at
        self.mute_at = mute_at
        self.stalled = False
        self.ends: set[_End] = set()
        self.dialling: set[asyncio.Task[None]] = set()

    def stall(self) -> None:
        self.stalled = True

    def resume(self) -> None:
        self.stalled = False
        for end in list(self.ends):
            end.release()

    async def drop_all(self) -> None:
        for task in self.dialling:
            task.cancel()
        await asyncio.gather(*self.dialling, return_exceptions=True)
        while self.ends:
            for end in list(self.ends):
                end.abort()
            await asyncio.sleep(0)  # an aborted transport closes its socket in the next round


class _Chunk(NamedTuple):
    """Bytes on their way to an end; without bytes the other side has finished, or is gone."""

    due: float
    data: bytes
    gone: bool = False


class _End(asyncio.Protocol):
    """One side of a connection: reads for its peer, and writes what its peer has read, when that is due."""

    def __init__(self, line: _Line) -> None:
        self.line = line
        self.loop = asyncio.get_running_loop()
        self.peer: _End | None = None
        self.transport: asyncio.Transport | None = None
        self._coming: deque[_Chunk] = deque()
        self._in_flight = 0
        self._timer: asyncio.TimerHandle | None = None
        self._free_at = 0.0
        self._writable = True

    # --- called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.line.ends.add(self)
        self.release()

    def data_received(self, data: bytes) -> None:
        assert self.peer is not None
        self.peer.send_later(data)

    def eof_received(self) -> bool:
        assert self.peer is not None
        self.peer.send_later(b"")
        return True  # the other direction may go on

    def connection_lost(self, exc: Exception | None) -> None:
        self.line.ends.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._coming.clear()
        if self.peer is not None:
            self.peer.send_later(b"", gone=True)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self.release()

    # --- called by the peer

    def send_later(self, data: bytes, *, gone: bool = False) -> None:
        """Write bytes when their time has come."""
        now = self.loop.time()
        if self.line.rate is None:
            self._coming.append(_Chunk(now + self.line.delay, data, gone))
        else:
            self._send_slowly(now, data, gone=gone)
        self._in_flight += len(data)
        if self._in_flight > _IN_FLIGHT and self.peer is not None:
            self.peer.hold()
        self._schedule()

    def _send_slowly(self, now: float, data: bytes, *, gone: bool) -> None:
        """Cut bytes into slices of 20 ms, each due when the line has become free for it."""
        assert self.line.rate is not None
        step = max(1, int(self.line.rate / 50))
        for at in range(0, len(data) or 1, step):
            piece = data[at : at + step]
            self._free_at = max(self._free_at, now) + len(piece) / self.line.rate
            self._coming.append(_Chunk(self._free_at + self.line.delay, piece, gone))

    def hold(self) -> None:
        """Leave bytes where they are for now."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def read_on(self) -> None:
        """Read again, if it was held."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    # --- time

    def release(self) -> None:
        """Write all that is due."""
        self._timer = None
        if self.transport is None or self.line.stalled or not self._writable:
            return
        now = self.loop.time()
        due: list[bytes] = []
        last: _Chunk | None = None
        while self._coming and self._coming[0].due <= now:
            last = self._coming.popleft()
            due.append(last.data)
        if last is not None:
            self._write(b"".join(due), last)
        self._schedule()

    def _write(self, data: bytes, last: _Chunk) -> None:
        assert self.transport is not None
        self._in_flight -= len(data)
        if data and not self.transport.is_closing():
            self.put(data)
        if last.gone:
            self.transport.close()
        elif not last.data and not self.transport.is_closing():
            with suppress(OSError):  # the other side is gone already
                self.transport.write_eof()
        if self._in_flight <= _IN_FLIGHT and self.peer is not None:
            self.peer.read_on()

    def put(self, data: bytes) -> None:
        """Hand bytes to the transport."""
        assert self.transport is not None
        self.transport.write(data)

    def _schedule(self) -> None:
        if self._timer is None and self._coming and self.transport is not None and not self.line.stalled:
            self._timer = self.loop.call_at(self._coming[0].due, self.release)


class _ClientEnd(_End):
    """The end that a client has connected to; it finds the server."""

    def __init__(self, line: _Line) -> None:
        super().__init__(line)
        self.peer = _End(line)
        self.peer.peer = self
        self._left = line.cut_after

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        task = self.loop.create_task(self._dial())
        self.line.dialling.add(task)
        task.add_done_callback(self.line.dialling.discard)

    def data_received(self, data: bytes) -> None:
        if self.line.cut_at is not None and self.line.cut_at in data:
            self.abort()
            return
        if self.line.mute_at is not None and self.line.mute_at in data:
            self._left = 0
        super().data_received(data)

    async def _dial(self) -> None:
        assert self.peer is not None
        peer = self.peer
        await asyncio.sleep(3 * self.line.delay)  # SYN, SYN-ACK, ACK
        if self.transport is None or self.transport.is_closing():
            return
        try:
            await self.loop.create_connection(lambda: peer, "127.0.0.1", self.line.target_port)
        except OSError:
            self.abort()

    def put(self, data: bytes) -> None:
        assert self.transport is not None
        if self._left is None:
            self.transport.write(data)
            return
        self.transport.write(data[: self._left])
        self._left -= min(self._left, len(data))
        if self._left == 0:
            self.transport.close()
