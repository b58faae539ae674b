"""Streams of events that tell browsers when the catalog has read something new (server-sent events)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

# Streams of one session, and of all. A browser opens six connections to a host over HTTP/1.1, of which some are to be
# left for pages.
MOST_OF_SESSION, MOST = 4, 200
# A stream ends then, and the browser opens another one.
_SECONDS = 600.0
# Seconds between two looks whether the browser has gone, and between two looks at the catalog, for all streams.
_LOOK, _READ = 0.5, 1.0


@dataclass
class Live:
    """Counts streams, and reads the catalog once for all of them. Used by the event loop alone.

    Attributes:
        position: returns how far the catalog has read.
    """

    position: Callable[[], str]
    _open: Counter[str] = field(default_factory=Counter)
    _known: str = ""
    _read_at: float = -_READ
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def open(self, session: str, is_gone: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes] | None:
        """Return a stream for a session; None if it has as many as it may.

        Args:
            session: of whoever asks.
            is_gone: whether the browser has closed the connection.
        """
        if self._is_full(session):
            return None
        # It counts from when it is read: a browser that has gone before that would never end it.
        return self._changes(session, is_gone)

    def _is_full(self, session: str) -> bool:
        return self._open[session] >= MOST_OF_SESSION or self._open.total() >= MOST

    async def _changes(self, session: str, is_gone: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
        ends = time.monotonic() + _SECONDS
        if self._is_full(session):
            return  # many were opened at once; the browser asks again, and is answered that there are enough
        self._open[session] += 1
        try:
            known = await self._read()
            yield b": follows the catalog\n\n"
            while time.monotonic() < ends and not await is_gone():
                await asyncio.sleep(_LOOK)
                position = await self._read()
                if position != known:
                    known = position
                    yield b"data: changed\n\n"
        finally:
            self._open[session] -= 1
            if not self._open[session]:
                del self._open[session]

    async def _read(self) -> str:
        async with self._reading:
            if time.monotonic() - self._read_at >= _READ:
                self._known = await run_in_threadpool(self.position)
                self._read_at = time.monotonic()
            return self._known
