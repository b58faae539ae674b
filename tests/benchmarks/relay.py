"""CPU of the relay per event, beside one PUT of 50 KB through boto3: `python -m tests.benchmarks.relay`.

The relay is a process of its own (`mailhaul worker relay`), and so are all servers; SQS is a stub, as moto slows down
with every message. "backlog": the stream is full when the relay is woken. "arriving": 25 events a second come one by
one, each with a wake-up, as from two processors. CPU is that of the relay alone, less what it uses while nothing
happens. Absolute figures depend on the machine; what counts is the quotient.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ingest.adapters.ledger import connect
from ingest.adapters.ledger.address import Broker
from ingest.demo.mails import sample
from ingest.domain.cloudevents import event_of
from ingest.ports.wakeups import Queue
from tests.benchmarks.processes import cpu_of
from tests.support.aws import KEYS, REGION
from tests.support.http import SECRET
from tests.support.kafka import Kafka, KafkaTopic
from tests.support.processing import process
from tests.support.s3 import S3Server
from tests.support.service import write_config
from tests.support.valkey import Valkey
from tests.support.waiting import eventually
from workers.app import make_app
from workers.wakeups import CeleryWakeups

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from celery import Celery

    from ingest.domain.events import Event
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger

KINDS = ("JSON Lines", "webhook", "SQS", "Kafka")
SINK = "main"
PUT_BYTES, PUTS = 50_000, 100
MAILBOXES = 20
# Events a second that arrive one by one, and processes that send wake-ups.
RATE, SENDERS = 25.0, 2
PUBLISHED_AT_ONCE = 500
IDLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Bench:
    """A relay process that delivers to one sink, and the stream that it reads."""

    ledger: Ledger
    events: EventLog
    apps: Sequence[Celery]
    pid: int

    def backlog(self, events: Sequence[Event]) -> float:
        """CPU seconds for one event of a stream that is full when the relay is woken."""
        claim = eventually(lambda: self.ledger.sinks.claim_one(SINK, 60.0))
        assert claim is not None
        for start in range(0, len(events), PUBLISHED_AT_ONCE):
            self.events.republish(events[start : start + PUBLISHED_AT_ONCE])
        before = cpu_of(self.pid)
        self.ledger.sinks.release(claim, 0.0)
        CeleryWakeups(self.apps[0]).send(Queue.RELAY)
        return self._used(before, len(events))

    def arriving(self, events: Sequence[Event]) -> float:
        """CPU seconds for one event of those that come one by one."""
        idle, senders = self._idle(), [CeleryWakeups(app) for app in self.apps]
        before, started = cpu_of(self.pid), time.monotonic()
        for number, event in enumerate(events):
            time.sleep(max(0.0, started + number / RATE - time.monotonic()))
            self.events.republish([event])
            senders[number % len(senders)].send(Queue.RELAY)
        return self._used(before, len(events)) - idle * (time.monotonic() - started) / len(events)

    def _idle(self) -> float:
        """CPU seconds in a second without events."""
        before = cpu_of(self.pid)
        time.sleep(IDLE_SECONDS)
        return (cpu_of(self.pid) - before) / IDLE_SECONDS

    def _used(self, before: float, count: int) -> float:
        eventually(lambda: self.events.lag(SINK).entries == 0 and self.ledger.sinks.backlog().claimed == 0)
        return (cpu_of(self.pid) - before) / count


def real_events(count: int) -> list[Event]:
    """Events of the demonstration's mails, spread over the mailboxes."""
    made = [event_of(process(sample(number, "a").raw).manifest, datetime.now(UTC)) for number in range(20)]
    return [
        replace(made[number % len(made)], id=f"{number:032x}", mailbox=f"box-{number % MAILBOXES}")
        for number in range(count)
    ]


def put_seconds(s3: S3Server, bucket: str) -> float:
    """CPU seconds of one PUT through a boto3 client with its defaults."""
    with closing(s3.client()) as client:
        body = bytes(range(250)) * (PUT_BYTES // 250)
        client.put_object(Bucket=bucket, Key="first", Body=body)
        before = time.process_time()
        for number in range(PUTS):
            client.put_object(Bucket=bucket, Key=str(number), Body=body)
        return (time.process_time() - before) / PUTS


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body, answer = self.rfile.read(int(self.headers["content-length"])), b""
        if self.headers["x-amz-target"] == "AmazonSQS.SendMessageBatch":
            taken = [{"Id": entry["Id"], "MessageId": "m"} for entry in json.loads(body)["Entries"]]
            answer = json.dumps({"Successful": taken, "Failed": []}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def receive() -> None:
    """Print the port, then take whatever is posted, as a webhook or as SQS, until killed."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


def section_of(kind: str, folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Start what a kind of sink needs; return the section of its configuration."""
    if kind == "JSON Lines":
        return {"type": "jsonl", "path": str(folder / "events.jsonl")}
    if kind in {"webhook", "SQS"}:
        command = [sys.executable, "-m", "tests.benchmarks.relay", "--receiver"]
        receiver = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(receiver.kill)
        assert receiver.stdout is not None
        url = f"http://127.0.0.1:{int(receiver.stdout.readline())}/123456789012/mail"
        if kind == "webhook":
            return {"type": "webhook", "url": url, "secret": "env:HOOK", "allow_private": True}
        keys = {"access_key": "env:SQS_KEY", "secret_key": "env:SQS_SECRET"}
        return {"type": "sqs", "url": url, "region": REGION, **keys}
    kafka = stack.enter_context(Kafka(folder))
    return {"type": "kafka", "brokers": f"127.0.0.1:{kafka.port}", "tls": False, "topic": KafkaTopic(kafka).name}


@contextmanager
def relaying(section: dict[str, Any], folder: Path) -> Iterator[Bench]:
    """A ledger, and a relay with this sink."""
    with ExitStack() as stack:
        valkey = stack.enter_context(Valkey(folder))
        config = write_config(folder, [], ledger=valkey.url, sinks=[{"name": SINK, **section}])
        ledger, events = connect(valkey.url)
        stack.enter_context(closing(ledger))
        ledger.sinks.add([SINK])
        command = [sys.executable, "-m", "ingest.cli", "worker", "relay", "--config", str(config)]
        keys = {"HOOK": SECRET, "SQS_KEY": KEYS.access_key, "SQS_SECRET": KEYS.secret_key}
        with (folder / "relay.log").open("wb") as log:
            relay = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **keys}))
        stack.callback(relay.terminate)
        apps = [stack.enter_context(closing(make_app(Broker(valkey.url)))) for _ in range(SENDERS)]
        bench = Bench(ledger, events, apps, relay.pid)
        bench.backlog(real_events(20))  # connections, threads and scripts
        yield bench


def measured(kind: str, folder: Path, count: int, runs: int) -> tuple[float, float]:
    """Medians of the CPU seconds for an event of a backlog, and for one that arrives."""
    print(f"{kind} ...", file=sys.stderr)
    (folder / "server").mkdir(parents=True)
    with ExitStack() as stack:
        section = section_of(kind, folder / "server", stack)
        bench = stack.enter_context(relaying(section, folder))
        events = real_events(count)
        some = events[: count // 10]
        backlog = statistics.median(bench.backlog(events) for _ in range(runs))
        return backlog, statistics.median(bench.arriving(some) for _ in range(runs))


def main() -> None:
    """Run everything and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=2000, help="in the backlog; a tenth of them arrives")
    arguments.add_argument("--runs", type=int, default=5, help="of which the medians are shown")
    arguments.add_argument("--only", default="", help="sinks whose name contains this")
    arguments.add_argument("--receiver", action="store_true", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.receiver:
        receive()
        return
    table = Table(title=f"CPU of the relay per event, medians of {chosen.runs}")
    for head in ("", "backlog ms", "of one PUT", "arriving ms", "of one PUT"):
        table.add_column(head, justify="right")
    with tempfile.TemporaryDirectory(prefix="mailhaul-bench-") as name:
        with S3Server(Path(name) / "s3") as s3:
            bucket = s3.make_bucket("puts")
            put = statistics.median(put_seconds(s3, bucket) for _ in range(chosen.runs))
        table.add_row("boto3 PUT of 50 KB", f"{put * 1000:.2f}", "1.00", f"{put * 1000:.2f}", "1.00")
        for number, kind in enumerate(KINDS):
            if chosen.only in kind:
                found = measured(kind, Path(name) / str(number), chosen.events, chosen.runs)
                cells = [cell for cpu in found for cell in (f"{cpu * 1000:.2f}", f"{cpu / put:.2f}")]
                table.add_row(kind, *cells)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
