"""`mailhaul up` with a webhook that rejects one event: the events behind it arrive, each in one request."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from ingest.demo.mails import sample
from ingest.demo.server import DemoServer
from ingest.usecases.deliver.delivery import REFUSALS
from tests.support.http import SECRET, Answer, Receiver, Request
from tests.support.service import Service, mailhaul, write_config
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

MAILS = 30


def test_one_event_that_a_webhook_does_not_take_stops_no_other(tmp_path: Path) -> None:
    drop = tmp_path / "drops" / "box"
    drop.mkdir(parents=True)
    for index in range(MAILS):
        (drop / f"{index:02d}.eml").write_bytes(sample(index, "box").raw)
    refused: set[str] = set()
    lock = threading.Lock()  # requests arrive over several connections

    def answer(request: Request) -> Answer:
        event = json.loads(request.body)["id"]
        with lock:
            if not refused:
                refused.add(event)
        return Answer(500 if event in refused else 204)

    with DemoServer(tmp_path / "drops", {"box": "right"}) as server, Receiver() as receiver:
        receiver.answer = answer
        url, auth = receiver.url, {"type": "password", "username": "box", "password": "env:SECRET"}
        box = {"id": "box", "host": "127.0.0.1", "port": server.port, "tls": "none", "auth": auth}
        hook = {"type": "webhook", "name": "hook", "url": url, "secret": "env:HOOK", "allow_private": True}
        config = write_config(tmp_path, [box], sinks=[hook])
        env = {"SECRET": "right", "HOOK": SECRET}

        def posted() -> list[str]:
            return [json.loads(request.body)["id"] for request in list(receiver.requests)]

        with Service(config, env):
            eventually(lambda: len(set(posted())) == MAILS, lambda: len(set(posted())))
            (poison,) = refused
            others = [event for event in posted() if event != poison]
            assert len(others) == len(set(others)), "the others are posted once each"
            assert posted().count(poison) >= REFUSALS
            arguments = ("sinks", "dead-letters", "list", "hook", "--json", "--config", str(config))
            eventually(lambda: poison in mailhaul(*arguments, env=env).stdout, "the event is in no queue")
