"""Streams of events for browsers: few for each session, and one look at the catalog for all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ingest.console import live
from ingest.console.live import MOST_OF_SESSION, Live

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from tests.unit.console.conftest import Console


async def here() -> bool:
    return False


async def gone() -> bool:
    return True


async def begun(streams: Live, session: str) -> AsyncIterator[bytes]:
    """Return a stream that a browser has begun to read."""
    stream = streams.open(session, here)
    assert stream is not None
    assert await anext(stream) == b": follows the catalog\n\n"
    return stream


def test_session_has_a_few_streams_and_a_stream_that_ends_makes_room() -> None:
    async def check() -> None:
        streams = Live(lambda: "1-1")
        assert streams.open("one", here) is not None  # nobody reads it
        kept = [await begun(streams, "one") for _ in range(MOST_OF_SESSION)]
        assert streams.open("one", here) is None
        assert streams.open("other", here) is not None
        last = kept.pop()
        await last.aclose()  # type: ignore[attr-defined]  # an asynchronous generator
        assert streams.open("one", here) is not None

    asyncio.run(check())


def test_streams_that_are_opened_at_once_are_not_more() -> None:
    async def check() -> list[bytes | None]:
        streams = Live(lambda: "1-1")
        opened = [streams.open("one", here) for _ in range(MOST_OF_SESSION + 1)]
        return [await anext(stream, None) for stream in opened if stream is not None]

    assert asyncio.run(check()) == [b": follows the catalog\n\n"] * MOST_OF_SESSION + [None]


def test_stream_reports_each_change_and_ends_when_the_browser_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_LOOK", 0.0)
    monkeypatch.setattr(live, "_READ", 0.0)

    async def check() -> None:
        positions = iter(["1-1", "1-1", "2-1"])
        streams = Live(lambda: next(positions, "2-1"))
        stream = streams.open("one", here)
        assert stream is not None
        assert [await anext(stream), await anext(stream)] == [b": follows the catalog\n\n", b"data: changed\n\n"]
        short = streams.open("one", gone)
        assert short is not None
        assert [part async for part in short] == [b": follows the catalog\n\n"]

    asyncio.run(check())


def test_catalog_is_read_once_for_all_streams() -> None:
    async def check() -> int:
        reads = []

        def position() -> str:
            reads.append(1)
            return "1-1"

        streams = Live(position)
        kept = [await begun(streams, str(number)) for number in range(20)]
        return len(reads) * (len(kept) // 20)

    assert asyncio.run(check()) < 5


def test_browser_with_enough_streams_is_answered_204(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_SECONDS", 0.0)
    client = console.client()
    answer = client.get("/live")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    monkeypatch.setattr(live, "MOST_OF_SESSION", 0)
    assert client.get("/live").status_code == 204
