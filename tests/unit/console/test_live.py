"""Streams of events for browsers: few for each session, and one look at the catalog for all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ingest.console import live
from ingest.console.live import MOST_OF_SESSION, Listener, Live
from ingest.errors import LedgerUnavailableError
from tests.unit.console.conftest import SECRETS, with_tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    import pytest

    from tests.unit.console.conftest import Console


async def here() -> bool:
    return False


async def gone() -> bool:
    return True


def none_ended(_: Collection[str]) -> set[str]:
    return set()


def of(session: str) -> Listener:
    return Listener("anna", session)


async def begun(streams: Live, session: str) -> AsyncIterator[bytes]:
    """Return a stream that a browser has begun to read."""
    stream = streams.open(of(session), here)
    assert stream is not None
    assert await anext(stream) == b": follows the catalog\n\n"
    return stream


def test_session_has_a_few_streams_and_a_stream_that_ends_makes_room() -> None:
    async def check() -> None:
        streams = Live(lambda: "1-1", none_ended)
        assert streams.open(of("one"), here) is not None  # nobody reads it
        kept = [await begun(streams, "one") for _ in range(MOST_OF_SESSION)]
        assert streams.open(of("one"), here) is None
        assert streams.open(of("other"), here) is not None
        last = kept.pop()
        await last.aclose()  # type: ignore[attr-defined]  # an asynchronous generator
        assert streams.open(of("one"), here) is not None

    asyncio.run(check())


def test_streams_that_are_opened_at_once_are_not_more() -> None:
    async def check() -> list[bytes | None]:
        streams = Live(lambda: "1-1", none_ended)
        opened = [streams.open(of("one"), here) for _ in range(MOST_OF_SESSION + 1)]
        return [await anext(stream, None) for stream in opened if stream is not None]

    assert asyncio.run(check()) == [b": follows the catalog\n\n"] * MOST_OF_SESSION + [None]


def test_stream_reports_each_change_and_ends_when_the_browser_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_LOOK", 0.0)
    monkeypatch.setattr(live, "_READ", 0.0)

    async def check() -> None:
        positions = iter(["1-1", "1-1", "2-1"])
        streams = Live(lambda: next(positions, "2-1"), none_ended)
        stream = streams.open(of("one"), here)
        assert stream is not None
        assert [await anext(stream), await anext(stream)] == [b": follows the catalog\n\n", b"data: changed\n\n"]
        short = streams.open(of("one"), gone)
        assert short is not None
        assert [part async for part in short] == [b": follows the catalog\n\n"]

    asyncio.run(check())


def test_catalog_is_read_once_for_all_streams() -> None:
    async def check() -> int:
        reads = []

        def position() -> str:
            reads.append(1)
            return "1-1"

        streams = Live(position, none_ended)
        kept = [await begun(streams, str(number)) for number in range(20)]
        return len(reads) * (len(kept) // 20)

    assert asyncio.run(check()) < 5


def test_streams_of_a_session_that_has_ended_end_and_those_of_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_LOOK", 0.0)
    monkeypatch.setattr(live, "_READ", 0.0)
    over, asked = set[str](), list[set[str]]()

    def ended(sessions: Collection[str]) -> set[str]:
        asked.append(set(sessions))
        if "broken" in over:
            raise LedgerUnavailableError("the ledger is unavailable")
        return over & set(sessions)

    async def check() -> None:
        positions = iter(range(100))
        streams = Live(lambda: str(next(positions)), ended)
        one, same, other, nobody = [await begun(streams, session) for session in ("one", "one", "other", "")]
        over.add("broken")
        assert await anext(one) == b"data: changed\n\n"
        over.clear()
        over.add("one")
        for stream in (one, same):
            assert [part async for part in stream] == [b"event: logged_out\ndata: logged_out\n\n"]
        for stream in (other, nobody):
            assert await anext(stream) == b"data: changed\n\n"

    asyncio.run(check())
    assert {"one", "other"} in asked
    assert all("" not in sessions for sessions in asked)


def test_sessions_of_all_streams_are_asked_for_at_once() -> None:
    asked = []

    def ended(sessions: Collection[str]) -> set[str]:
        asked.append(sessions)
        return set()

    async def check() -> None:
        streams = Live(lambda: "1-1", ended)
        kept = [await begun(streams, str(number)) for number in range(live.MOST)]
        assert len(kept) == live.MOST

    asyncio.run(check())
    assert len(asked) < 10


def test_stream_ends_when_another_console_logs_the_browser_out(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_SECONDS", 0.0)
    client = console.client("nobody", with_tokens())
    client.post("/login", data={"secret": SECRETS["viewer"]})
    access = client.app.state.access  # type: ignore[attr-defined]  # an application of Starlette
    (secret,) = client.cookies.values()
    assert access.ended([secret, "another"]) == {"another"}
    other = console.client("nobody", with_tokens())
    other.app.state.access.log_out(secret)  # type: ignore[attr-defined]  # as above
    assert access.ended([secret]) == {secret}
    page = client.get("/live", headers={"accept": "text/html"})
    assert (page.status_code, "Your session has ended" in page.text) == (401, True)
    client.cookies.clear()
    assert "Your session has ended" not in client.get("/mailboxes").text


def test_listening_is_no_use_of_a_session(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_SECONDS", 0.0)
    client = console.client("nobody", with_tokens().model_copy(update={"session_idle": 600.0}))
    client.post("/login", data={"secret": SECRETS["viewer"]})
    for status in (200, 401):
        console.b.clock.time += 400
        assert client.get("/live").status_code == status


def test_browser_with_enough_streams_is_answered_204(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_SECONDS", 0.0)
    client = console.client()
    answer = client.get("/live")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    monkeypatch.setattr(live, "MOST_OF_SESSION", 0)
    assert client.get("/live").status_code == 204
