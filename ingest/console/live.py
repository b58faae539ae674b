"""Streams of events that tell browsers when the catalog has read something new (server-sent events)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from starlette.concurrency import run_in_threadpool

from ingest.errors import LedgerUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection

# Streams of one session, and of all. A browser opens six connections to a host over HTTP/1.1, of which some are to be
# left for pages.
MOST_OF_SESSION, MOST = 4, 200
# A stream ends then, and the browser opens another one.
_SECONDS = 600.0
# Seconds between two looks whether the browser has gone, and for all streams between two at catalog and sessions.
_LOOK, _READ = 0.5, 1.0


class Listener(NamedTuple):
    """Whoever reads streams.

    Attributes:
        name: of the user.
        session: its secret; empty without one, as behind a proxy.
    """

    name: str
    session: str


@dataclass
class Live:
    """Counts streams, and reads the catalog and their sessions once for all of them. Used by the event loop alone.

    Attributes:
        position: returns how far the catalog has read.
        ended: returns those of some sessions that have ended.
    """

    position: Callable[[], str]
    ended: Callable[[Collection[str]], set[str]]
    _open: Counter[Listener] = field(default_factory=Counter)
    _known: str = ""
    _ended: set[str] = field(default_factory=set)
    _read_at: float = -_READ
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def open(self, listener: Listener, is_gone: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes] | None:
        """Return a stream for whoever listens; None if there are as many as there may be.

        Args:
            listener: whoever asks.
            is_gone: whether the browser has closed the connection.
        """
        if self._is_full(listener):
            return None
        # It counts from when it is read: a browser that has gone before that would never end it.
        return self._changes(listener, is_gone)

    def count(self) -> int:
        """Return how many streams are open."""
        return self._open.total()

    def _is_full(self, listener: Listener) -> bool:
        return self._open[listener] >= MOST_OF_SESSION or self._open.total() >= MOST

    async def _changes(self, listener: Listener, is_gone: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
        ends = time.monotonic() + _SECONDS
        if self._is_full(listener):
            return  # many were opened at once; the browser asks again, and is answered that there are enough
        self._open[listener] += 1
        try:
            known = await self._read()
            yield b": follows the catalog\n\n"
            while time.monotonic() < ends and not await is_gone():
                await asyncio.sleep(_LOOK)
                position = await self._read()
                if listener.session in self._ended:
                    yield b"event: logged_out\ndata: logged_out\n\n"
                    return
                if position != known:
                    known = position
                    yield b"data: changed\n\n"
        finally:
            self._open[listener] -= 1
            if not self._open[listener]:
                del self._open[listener]

    async def _read(self) -> str:
        async with self._reading:
            if time.monotonic() - self._read_at >= _READ:
                sessions = {one.session for one in self._open} - {""}
                self._known, self._ended = await run_in_threadpool(self._look, sessions)
                self._read_at = time.monotonic()
            return self._known

    def _look(self, sessions: set[str]) -> tuple[str, set[str]]:
        position = self.position()
        try:
            return position, self.ended(sessions)
        except LedgerUnavailableError:
            return position, set()  # whether they have ended is not known before it is back
