"""What every sink promises: one suite on the twin in memory and on every real one, each with a consumer behind it."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.sinks.aws import Access
from ingest.adapters.sinks.sns import sns_sink
from ingest.adapters.sinks.sqs import sqs_sink
from ingest.errors import SinkUnavailableError
from ingest.ports.sink import Outcome, Sink, Verdict
from tests.support.aws import KEYS, REGION, Fault, ScriptedAws
from tests.support.http import Answer, Receiver, event
from tests.support.sinks import KINDS, UNORDERED, MemoryWorld, WebhookWorld, World, made_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DELIVERED = Outcome(Verdict.DELIVERED)


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with made_world(request.param, tmp_path, request) as it:
        yield it


def test_each_event_is_delivered_byte_for_byte_with_one_outcome_each(world: World) -> None:
    events = [event(f"e{n}", mailbox="abc"[n % 3]) for n in range(30)]
    assert world.sink.deliver(events) == [DELIVERED] * 30
    assert sorted(world.received()) == sorted(event.body for event in events)


@pytest.fixture(params=[kind for kind in KINDS if kind not in UNORDERED])
def ordered_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with made_world(request.param, tmp_path, request) as it:
        yield it


def test_events_of_one_mailbox_stay_in_order(ordered_world: World) -> None:
    world = ordered_world
    events = [event(f"{n:03d}", mailbox="ab"[n % 2]) for n in range(60)]
    world.sink.deliver(events[:40])
    world.sink.deliver(events[40:])
    received = world.received()
    for mailbox in "ab":
        arrived = [body for body in received if json.loads(body)["source"] == mailbox]
        assert arrived == [event.body for event in events if event.mailbox == mailbox]


def test_no_events_give_no_outcomes(world: World) -> None:
    assert world.sink.deliver([]) == []
    assert world.received() == []


def test_repeated_event_has_the_same_id_and_body(world: World) -> None:
    for _ in range(2):
        assert world.sink.deliver([event("e")]) == [DELIVERED]
    assert world.received() == [event("e").body] * (1 if world.deduplicates else 2)


def test_check_delivers_nothing(world: World) -> None:
    world.sink.check()
    assert world.received() == []


def test_unavailable_sink_accepts_everything_later(world: World) -> None:
    world.sink.deliver([event("first")])
    world.take_away()
    with pytest.raises(SinkUnavailableError) as raised:
        world.sink.check()
    assert len(str(raised.value)) > 20
    assert "\n" not in str(raised.value)
    assert not delivered(world.sink, "second")
    world.bring_back()
    world.sink.check()
    assert world.received() == [event("first").body]
    assert delivered(world.sink, "second")
    assert world.received() == [event("first").body, event("second").body]


def delivered(sink: Sink, name: str) -> bool:
    """Whether it takes two events of this and another mailbox; it says of neither that it is the event's fault."""
    try:
        (outcome,) = sink.deliver([event(name)])
    except SinkUnavailableError:
        return False
    assert outcome.verdict is not Verdict.REJECTED
    assert (outcome.verdict is Verdict.DELIVERED) == (outcome.reason == "")
    return outcome.verdict is Verdict.DELIVERED


def test_sink_can_be_closed_twice(world: World) -> None:
    assert delivered(world.sink, "e")
    world.sink.close()
    world.sink.close()
    assert world.received() == [event("e").body]


class Picky:
    """A sink that rejects `refuse-*` and is unavailable for `away-*`; `tried` are the ids that came further."""

    def __init__(self, sink: Sink, tried: Callable[[], set[str]]) -> None:
        self.sink, self.tried = sink, tried


@pytest.fixture(params=["memory", "webhook", "sqs-fifo", "sns-fifo"])
def picky(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Picky]:
    with made_picky(request.param, tmp_path, request) as it, closing(it.sink):
        yield it


@contextmanager
def made_picky(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Picky]:
    if kind in {"memory", "webhook"}:
        with made_world(kind, folder, request) as world:
            if isinstance(world, MemoryWorld):
                world.sink.verdict = lambda event: {
                    "refuse": Outcome(Verdict.REJECTED, "http_422"),
                    "away": Outcome(Verdict.UNAVAILABLE, "http_503"),
                }.get(event.id.split("-")[0], DELIVERED)
            elif isinstance(world, WebhookWorld):
                world.receiver.answer = lambda request: Answer(
                    {"refuse": 422, "away": 503}.get(request.headers["webhook-id"].split("-")[0], 200)
                )
            yield Picky(world.sink, lambda: {json.loads(body)["id"] for body in world.received()})
        return
    with Receiver() as receiver:
        aws = ScriptedAws(receiver)
        faults = {"refuse": Fault("InvalidMessageContents", senders=True), "away": Fault("InternalError")}
        aws.says = lambda name: faults.get(name.split("-")[0])
        yield Picky(scripted_fifo(kind, aws.endpoint), lambda: {name for batch in aws.batches for name in batch})


def scripted_fifo(kind: str, endpoint: str) -> Sink:
    if kind == "sqs-fifo":
        return sqs_sink("queue", f"{endpoint}/1/mail.fifo", region=REGION, keys=lambda: KEYS, attempts=1)
    access = Access(endpoint=endpoint, keys=lambda: KEYS, attempts=1)
    return sns_sink("topic", f"arn:aws:sns:{REGION}:1:mail.fifo", access)


def test_rejected_event_does_not_hold_up_those_behind_it(picky: Picky) -> None:
    outcomes = picky.sink.deliver([event("e-1"), event("refuse-2"), event("e-3")])
    assert [outcome.verdict for outcome in outcomes] == [Verdict.DELIVERED, Verdict.REJECTED, Verdict.DELIVERED]
    assert outcomes[1].reason


def test_nothing_is_sent_in_a_mailbox_after_an_unavailable_outcome(picky: Picky) -> None:
    events = [event("e-1"), event("away-2"), event("e-3"), event("e-4", "b"), event("e-5")]
    outcomes = picky.sink.deliver(events)
    away = outcomes[1]
    assert away.verdict is Verdict.UNAVAILABLE
    assert away.reason
    assert outcomes == [DELIVERED, away, away, DELIVERED, away]
    assert not picky.tried() & {"e-3", "e-5"}
