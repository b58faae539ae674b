"""A webhook that does not take certain events, on a real ledger and a real HTTP server; counts stand for time."""

from __future__ import annotations

import json
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.ledger import connect
from ingest.adapters.sinks.webhook import WebhookSink
from ingest.metrics import Metrics
from ingest.usecases.claims import LeaseKeeper
from ingest.usecases.deliver.delivery import REFUSALS, RETRY_BATCH
from ingest.usecases.deliver.stage import RelayStage
from tests.support.http import SECRET, Answer, Receiver, Request, event
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.ports.eventlog import EventLog
    from tests.support.valkey import Valkey


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


class Relay:
    """The relay of one webhook. `run` delivers in rounds, whatever pauses the ledger knows."""

    def __init__(self, stage: RelayStage, events: EventLog) -> None:
        self.stage, self.events = stage, events

    def run(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            self.stage.ledger.sinks.run_now("hook")
            self.stage.run(lambda: False)


@contextmanager
def relay_to(receiver: Receiver, valkey: Valkey, timeout: float = PATIENCE) -> Iterator[Relay]:
    valkey.flush()
    ledger, events = connect(valkey.url)
    keeper = LeaseKeeper()
    hook = WebhookSink("hook", receiver.url, lambda: SECRET, timeout=timeout, clock=time.time, allow_private=True)
    with closing(ledger), closing(keeper), closing(hook):
        ledger.sinks.add(["hook"])
        now, metrics = lambda: datetime.now(UTC), Metrics()
        yield Relay(RelayStage(ledger, events, {"hook": hook}, metrics, keeper, now, lambda: 0.5), events)


def name(request: Request) -> str:
    return str(json.loads(request.body)["id"])


REFUSED = {
    "500": Answer(500),
    "403": Answer(403),
    "503": Answer(503),
    "hangs up": Answer(raw=b""),
    "silent": Answer(silent=True),
    "drips": Answer(trickle=b"HTTP/1.1 204"),
}


@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED.keys())
def test_event_that_a_webhook_never_takes_does_not_stop_the_others(
    valkey: Valkey, receiver: Receiver, answer: Answer
) -> None:
    receiver.answer = lambda request: answer if name(request) == "e7" else Answer()
    times_out = bool(answer.silent or answer.trickle)
    with relay_to(receiver, valkey, 1.0 if times_out else PATIENCE) as relay:
        relay.events.republish([event(f"e{number}") for number in range(150)])
        # On a busy machine another event may time out, too; it is posted again in a further round.
        eventually(lambda: is_done_after_a_round(relay), "e7 is not retrying, or others are not delivered")
        posted = [name(request) for request in receiver.requests]
        others = [one for one in posted if one != "e7"]
        assert list(dict.fromkeys(others)) == [f"e{number}" for number in range(150) if number != 7]
        if not times_out:
            assert len(others) == 149
            assert posted.count("e7") == REFUSALS + 1
        assert posted.count("e7") > REFUSALS


def is_done_after_a_round(relay: Relay) -> bool:
    """Whether e7 alone is retrying then, and no other event waits."""
    relay.run()
    rejected = [(each.entry.event.id, each.retrying) for each in relay.events.rejected("hook", 10)]
    return rejected == [("e7", True)] and relay.events.lag("hook").entries == 0


def test_webhook_that_takes_nothing_is_unavailable_and_keeps_its_events(valkey: Valkey, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(500)
    with relay_to(receiver, valkey) as relay:
        relay.events.republish([event(f"e{number}", "ab"[number % 2]) for number in range(40)])
        relay.run(30)
        assert relay.events.rejected("hook", 10) == []
        status = relay.events.sink_status("hook")
        assert status.words == "answered 500"
        receiver.requests.clear()
        receiver.answer = lambda _: Answer()
        relay.run()
        for box in "ab":
            arrived = [name(one) for one in receiver.requests if json.loads(one.body)["source"] == box]
            assert arrived == [f"e{number}" for number in range(40) if "ab"[number % 2] == box]
        assert relay.events.sink_status("hook").words == ""


def test_new_event_goes_before_1500_dead_letters_that_are_due(valkey: Valkey, receiver: Receiver) -> None:
    receiver.answer = lambda request: Answer(204 if name(request).startswith("new") else 422)
    with relay_to(receiver, valkey) as relay:
        relay.events.republish([event(f"e{number}", f"m{number % 50}") for number in range(1_500)])
        relay.run()
        refused = [f"e{number}" for number in range(1_500)]
        assert relay.events.retry_rejected("hook", refused) == 1_500
        receiver.requests.clear()

        def answer(request: Request) -> Answer:
            if len(receiver.requests) == 100:
                relay.events.republish([event("new-2")])
            return Answer(204 if name(request).startswith("new") else 422)

        receiver.answer = answer
        relay.events.republish([replace(event("new-1"), mailbox="other")])
        relay.run()
        posted = [name(request) for request in receiver.requests]
        assert posted[0] == "new-1"
        assert posted.index("new-2") <= 100 + 2 * RETRY_BATCH
        assert sorted(set(posted) - {"new-1", "new-2"}) == sorted(refused), "every retry has its turn"
