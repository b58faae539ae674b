"""What every sink promises: one suite on the twin in memory, the file, and a webhook to a real HTTP server."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.sinks.jsonl import JsonLinesSink
from ingest.adapters.sinks.memory import MemorySink
from ingest.adapters.sinks.webhook import WebhookSink
from ingest.errors import SinkUnavailableError
from ingest.ports.sink import Outcome, Sink, Verdict
from tests.support.http import SECRET, Answer, Receiver, event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class World(ABC):
    """A sink, what it has confirmed, and how to take it away and bring it back."""

    sink: Sink

    @abstractmethod
    def received(self) -> list[bytes]: ...

    @abstractmethod
    def take_away(self) -> None: ...

    @abstractmethod
    def bring_back(self) -> None: ...


class MemoryWorld(World):
    def __init__(self) -> None:
        self.sink: MemorySink = MemorySink("memory")

    def received(self) -> list[bytes]:
        return [event.body for event in self.sink.delivered]

    def take_away(self) -> None:
        self.sink.away = True

    def bring_back(self) -> None:
        self.sink.away = False


class FileWorld(World):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.sink = JsonLinesSink("file", folder / "events.jsonl")

    def received(self) -> list[bytes]:
        path = self.folder / "events.jsonl"
        return path.read_bytes().splitlines() if path.exists() else []

    def take_away(self) -> None:
        self.folder.rename(self.folder.with_name("elsewhere"))

    def bring_back(self) -> None:
        self.folder.with_name("elsewhere").rename(self.folder)


class WebhookWorld(World):
    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.secret = SECRET
        self.sink = WebhookSink("hook", receiver.url, lambda: self.secret, timeout=10, clock=time.time)

    def received(self) -> list[bytes]:
        return [request.body for request in self.receiver.requests]

    def take_away(self) -> None:
        self.secret = "not a signing secret"

    def bring_back(self) -> None:
        self.secret = SECRET


@pytest.fixture(params=["memory", "file", "webhook"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with made(request.param, tmp_path) as it:
        yield it
        it.sink.close()


@contextmanager
def made(kind: str, folder: Path) -> Iterator[World]:
    if kind == "memory":
        yield MemoryWorld()
    elif kind == "file":
        yield FileWorld(folder / "sink")
    else:
        with Receiver() as receiver:
            yield WebhookWorld(receiver)


def test_each_event_is_delivered_octet_by_octet_with_one_outcome_each(world: World) -> None:
    events = [event(f"e{n}", mailbox="abc"[n % 3]) for n in range(30)]
    assert world.sink.deliver(events) == [Outcome(Verdict.DELIVERED)] * 30
    assert sorted(world.received()) == sorted(event.body for event in events)


def test_events_of_one_mailbox_stay_in_order(world: World) -> None:
    events = [event(f"{n:03d}", mailbox="ab"[n % 2]) for n in range(60)]
    world.sink.deliver(events[:40])
    world.sink.deliver(events[40:])
    for mailbox in "ab":
        arrived = [body for body in world.received() if json.loads(body)["source"] == mailbox]
        assert arrived == [event.body for event in events if event.mailbox == mailbox]


def test_no_events_are_no_outcomes(world: World) -> None:
    assert world.sink.deliver([]) == []
    assert world.received() == []


def test_an_event_may_be_delivered_again(world: World) -> None:
    for _ in range(2):
        assert world.sink.deliver([event("e")]) == [Outcome(Verdict.DELIVERED)]
    assert world.received() == [event("e").body] * 2


def test_a_check_delivers_nothing(world: World) -> None:
    world.sink.check()
    assert world.received() == []


def test_a_sink_that_cannot_take_anything_says_so_and_takes_everything_later(world: World) -> None:
    world.sink.deliver([event("first")])
    world.take_away()
    with pytest.raises(SinkUnavailableError) as raised:
        world.sink.check()
    assert len(str(raised.value)) > 20
    assert "\n" not in str(raised.value)
    with pytest.raises(SinkUnavailableError):
        world.sink.deliver([event("second")])
    world.bring_back()
    world.sink.check()
    assert world.received() == [event("first").body]
    assert world.sink.deliver([event("second")]) == [Outcome(Verdict.DELIVERED)]
    assert world.received() == [event("first").body, event("second").body]


def test_closing_twice_does_no_harm(world: World) -> None:
    world.sink.deliver([event("e")])
    world.sink.close()
    world.sink.close()


@pytest.fixture(params=["memory", "webhook"])
def picky(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """`refuse-*` is refused, `away-*` finds the sink away."""
    with made(request.param, tmp_path) as it:
        if isinstance(it, MemoryWorld):
            it.sink.verdict = lambda event: {
                "refuse": Outcome(Verdict.REFUSED, "http_422"),
                "away": Outcome(Verdict.UNAVAILABLE, "http_503"),
            }.get(event.id.split("-")[0], Outcome(Verdict.DELIVERED))
        elif isinstance(it, WebhookWorld):
            it.receiver.answer = lambda request: Answer(
                {"refuse": 422, "away": 503}.get(request.headers["webhook-id"].split("-")[0], 200)
            )
        yield it
        it.sink.close()


def test_a_refused_event_does_not_hold_up_those_behind_it(picky: World) -> None:
    outcomes = picky.sink.deliver([event("e-1"), event("refuse-2"), event("e-3")])
    assert outcomes == [
        Outcome(Verdict.DELIVERED),
        Outcome(Verdict.REFUSED, "http_422"),
        Outcome(Verdict.DELIVERED),
    ]


def test_nothing_is_tried_in_a_mailbox_behind_an_event_that_found_the_sink_away(picky: World) -> None:
    events = [event("e-1"), event("away-2"), event("e-3"), event("e-4", "b"), event("e-5")]
    away = Outcome(Verdict.UNAVAILABLE, "http_503")
    delivered = Outcome(Verdict.DELIVERED)
    assert picky.sink.deliver(events) == [delivered, away, away, delivered, away]
    names = {json.loads(body)["id"] for body in picky.received()}
    assert not names & {"e-3", "e-5"}
