"""A relay is killed between the request and the acknowledgement: no event is missed, repeats have the same id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.ledger import connect
from ingest.domain.events import Event
from ingest.usecases.deliver.delivery import BATCH
from tests.support.http import SECRET, Answer, Receiver
from tests.support.service import write_config
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.http import Request
    from tests.support.valkey import Valkey

EVENTS, MAILBOXES = 120, 3


def event(number: int) -> Event:
    return Event(f"e{number:03d}", "t", f"box-{number % MAILBOXES}", b'{"id":"e%03d"}' % number)


def start(config: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ingest.cli", "worker", "relay", "--config", str(config)]
    return subprocess.Popen(command, env={**os.environ, "HOOK": SECRET})


@pytest.mark.parametrize("at", [1, 25, EVENTS])
def test_killed_relay_misses_no_event_and_keeps_order_and_ids(tmp_path: Path, valkey: Valkey, at: int) -> None:
    valkey.flush()
    ledger, events = connect(valkey.url)
    with Receiver() as receiver, closing(ledger):
        sink = {"type": "webhook", "name": "erp", "url": receiver.url, "secret": "env:HOOK", "allow_private": True}
        config = write_config(tmp_path, [], ledger=valkey.url, sinks=[sink])
        events.republish([event(number) for number in range(EVENTS)])
        ledger.sinks.add(["erp"])
        relay = start(config)

        def kill(request: Request) -> Answer:
            if len(receiver.requests) >= at:
                relay.send_signal(signal.SIGKILL)  # the request has arrived, its answer never will
                relay.wait()
            return Answer(204)

        receiver.answer = kill
        eventually(lambda: relay.poll() is not None)
        eventually(lambda: not receiver.open, "a request of the killed relay is still handled")
        before = [request.headers["webhook-id"] for request in receiver.requests]
        assert events.lag("erp").entries > 0, "what was not confirmed was not acknowledged"

        receiver.answer = lambda _: Answer(204)
        ledger.sinks.drop(["erp"])  # as if the claim of the killed relay had expired
        ledger.sinks.add(["erp"])
        relay = start(config)
        eventually(lambda: events.lag("erp").entries == 0)
        relay.terminate()
        relay.wait()
        check(receiver.requests, before)


def check(requests: list[Request], before: list[str]) -> None:
    posted = [request.headers["webhook-id"] for request in requests]
    assert set(posted) == {event(number).id for number in range(EVENTS)}
    assert all(json.loads(request.body)["id"] == request.headers["webhook-id"] for request in requests)
    assert len(posted) - EVENTS <= BATCH, "only the batch in flight is repeated"
    for part in (before, posted[len(before) :]):
        for mailbox in range(MAILBOXES):
            of_mailbox = [name for name in part if int(name[1:]) % MAILBOXES == mailbox]
            assert of_mailbox == sorted(of_mailbox)
