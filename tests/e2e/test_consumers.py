"""The example consumers, as processes of their own: each event once, also when one dies between work and word."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import urllib3

from ingest.adapters.ledger import connect
from ingest.adapters.sinks.signature import signature_headers, signing_key
from ingest.adapters.sinks.sqs import sqs_sink
from ingest.adapters.sinks.webhook import WebhookSink
from ingest.demo.mails import sample
from ingest.domain.cloudevents import event_of
from ingest.ports.sink import Verdict
from tests.support.aws import KEYS, REGION
from tests.support.http import SECRET
from tests.support.processing import process
from tests.support.servers import free_port
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingest.domain.events import Event
    from tests.support.aws import MotoServer
    from tests.support.valkey import Valkey

pytestmark = pytest.mark.e2e
FOLDER = Path(__file__).parents[2] / "examples" / "consumers"
# Instead of confirming, the process kills itself: the work is done, and nobody knows.
DEATHS = {
    "stream": "import redis; redis.Redis.xack = die",
    "sqs": "from botocore.client import BaseClient; call = BaseClient._make_api_call\n"
    "BaseClient._make_api_call = lambda one, name, how: die() if name == 'DeleteMessage' else call(one, name, how)",
    "webhook": "import http.server; http.server.BaseHTTPRequestHandler.send_response = die",
}
_DYING = """
import os, runpy, signal, sys
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
{death}
sys.path.insert(0, {folder!r})
runpy.run_path({program!r}, run_name="__main__")
"""


def events(count: int) -> list[Event]:
    """As the processor makes them."""
    now = datetime.now(UTC)
    return [event_of(process(sample(number, "invoices").raw).manifest, now) for number in range(count)]


class Consumer:
    """One of the examples, with a database of its own."""

    def __init__(self, name: str, folder: Path, place: str, **env: str) -> None:
        self.name = name
        self.inbox = folder / "inbox.db"
        self._log = folder / "consumer.log"
        self._arguments = [place, str(self.inbox)]
        self._env = {**os.environ, "PYTHONUNBUFFERED": "1", **env}

    @contextmanager
    def running(self, *, dying: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        program = str(FOLDER / f"{self.name}.py")
        code = _DYING.format(death=DEATHS[self.name], folder=str(FOLDER), program=program)
        command = [sys.executable, *(["-c", code] if dying else [program]), *self._arguments]
        with (
            self._log.open("ab") as log,
            subprocess.Popen(command, env=self._env, stdout=log, stderr=log) as consumer,
        ):
            try:
                yield consumer
            finally:
                consumer.kill()

    def handled(self) -> list[str]:
        """Ids of events that are handled."""
        return [str(row[0]) for row in self._rows("SELECT event FROM handled")]

    def attachments(self) -> list[tuple[str, str]]:
        """Message and key of each attachment that the work was done for."""
        return [(str(message), str(key)) for message, key in self._rows("SELECT message, key FROM attachments")]

    def wait_for(self, sent: Sequence[Event]) -> None:
        """Every event handled, its work done once."""
        wanted = {event.id for event in sent}
        eventually(lambda: wanted <= set(self.handled()), lambda: f"{self.handled()} {self._log.read_text()}")
        assert sorted(self.handled()) == sorted(wanted)
        assert len(self.attachments()) == len(set(self.attachments())) > 0

    def _rows(self, query: str) -> list[tuple[object, ...]]:
        try:
            with closing(sqlite3.connect(self.inbox)) as database:
                return database.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []  # not made yet


def test_stream_consumer_handles_each_event_once(tmp_path: Path, valkey: Valkey) -> None:
    valkey.flush()
    sent = events(4)
    consumer = Consumer("stream", tmp_path, valkey.url)
    ledger, log = connect(valkey.url)
    with closing(ledger):
        log.republish(sent[:2])
        with consumer.running(dying=True) as dead:
            assert dead.wait(PATIENCE) == -signal.SIGKILL
        assert len(consumer.handled()) == 1
        with consumer.running():
            consumer.wait_for(sent[:2])
            log.republish(sent)
            consumer.wait_for(sent)


def test_queue_consumer_handles_each_event_once(tmp_path: Path, moto_server: MotoServer) -> None:
    with closing(moto_server.sqs) as client:
        queue = client.create_queue(QueueName=f"consumed-{time.time_ns()}", Attributes={"VisibilityTimeout": "1"})[
            "QueueUrl"
        ]
    sent = events(3)
    keys = {"AWS_ACCESS_KEY_ID": KEYS.access_key, "AWS_SECRET_ACCESS_KEY": KEYS.secret_key}
    consumer = Consumer(
        "sqs", tmp_path, queue, AWS_ENDPOINT_URL=moto_server.endpoint, AWS_DEFAULT_REGION=REGION, **keys
    )
    with closing(sqs_sink("sqs", queue, keys=lambda: KEYS, region=REGION)) as sink:
        assert all(outcome.verdict is Verdict.DELIVERED for outcome in sink.deliver([*sent, *sent[:1]]))
    with consumer.running(dying=True) as dead:
        assert dead.wait(PATIENCE) == -signal.SIGKILL
    assert len(consumer.handled()) == 1
    with consumer.running():
        consumer.wait_for(sent)


@pytest.fixture
def receiver(tmp_path: Path) -> tuple[Consumer, str]:
    """And its address."""
    port = free_port()
    return Consumer("webhook", tmp_path, str(port), WEBHOOK_SECRET=SECRET), f"http://127.0.0.1:{port}/"


def deliver(url: str, sent: Sequence[Event]) -> list[Verdict]:
    sink = WebhookSink("erp", url, lambda: SECRET, timeout=PATIENCE, clock=time.time, allow_private=True)
    with closing(sink):
        return [outcome.verdict for outcome in sink.deliver(sent)]


def test_webhook_receiver_handles_each_event_once(receiver: tuple[Consumer, str]) -> None:
    consumer, url = receiver
    sent = events(3)
    with consumer.running(dying=True) as dead:
        eventually(lambda: deliver(url, sent[:1]) and dead.poll() is not None)
        assert dead.wait(PATIENCE) == -signal.SIGKILL
    assert consumer.handled() == [sent[0].id]
    with consumer.running():
        eventually(lambda: deliver(url, sent) == [Verdict.DELIVERED] * 3)
        assert deliver(url, sent[:2]) == [Verdict.DELIVERED] * 2
        consumer.wait_for(sent)


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status of the answer."""
    return urllib3.request("POST", url, body=body, headers=headers, timeout=PATIENCE, retries=False).status


def test_unsigned_or_replayed_webhooks_are_rejected(receiver: tuple[Consumer, str]) -> None:
    consumer, url = receiver
    (event,) = events(1)
    key, now = signing_key(SECRET), int(time.time())
    good = signature_headers(key, event.id, now, event.body)
    bad = {
        "another secret": signature_headers(bytes(32), event.id, now, event.body),
        "another body": signature_headers(key, event.id, now, event.body + b" "),
        "another id": {**good, "webhook-id": "0" * 32},
        "long ago": signature_headers(key, event.id, now - 3600, event.body),
        "long from now": signature_headers(key, event.id, now + 3600, event.body),
        "no time": {**good, "webhook-timestamp": "now"},
        "no signature": {"webhook-id": event.id, "webhook-timestamp": str(now)},
        "nothing": {},
    }
    with consumer.running():
        eventually(lambda: listens(url))
        assert {what: post(url, event.body, headers) for what, headers in bad.items()} == dict.fromkeys(bad, 401)
        assert post(url, b"x" * 70_000, good) == 413
        assert consumer.handled() == []
        rotated = {**good, "webhook-signature": f"v1,AAAA {good['webhook-signature']}"}
        assert post(url, event.body, rotated) == 204
        assert consumer.handled() == [event.id]


def listens(url: str) -> bool:
    try:
        return post(url, b"", {}) == 401
    except urllib3.exceptions.HTTPError:
        return False
