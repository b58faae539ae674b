"""A workbench for use cases: every port's in-memory twin, one clock, and mails by the byte."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from ingest.adapters.stores.memory import MemoryStore
from ingest.admin.drain import Drain
from ingest.domain import keys
from ingest.domain.keys import Layout
from ingest.domain.mailbox import Credentials, Mailbox, Server, Tls
from ingest.metrics import Metrics
from ingest.pop3 import Pop3Connector
from ingest.ports.sink import Outcome, Verdict
from ingest.ports.wakeups import Queue, Wakeups
from ingest.testing.eventlog import MemoryEventLog
from ingest.testing.ledger import MemoryLedger
from ingest.testing.maildrop import MemoryConnector, MemoryMaildrop
from ingest.testing.sink import MemorySink
from ingest.usecases.claims import LeaseKeeper
from ingest.usecases.deliver.stage import RelayStage
from ingest.usecases.deliver.watermark import SKEW, DeliveryWatermark
from ingest.usecases.poll.archive import Archive
from ingest.usecases.poll.fetch import Fetcher
from ingest.usecases.poll.poller import Poller
from ingest.usecases.poll.stage import PollStage
from ingest.usecases.process.processor import Processor
from ingest.usecases.process.stage import ProcessStage
from ingest.usecases.recover.checkpoint import Checkpoints
from ingest.usecases.recover.rebuild import Rebuilder
from ingest.usecases.schedule import Schedule, Ticker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.usecases.process.scanning import Scanning

START = 1_764_000_000.0
_NOWHERE = Server("pop.example.org", 110, Tls.NONE)


def mail(subject: str, text: str = "Hello.", attachment: bytes | None = None) -> bytes:
    """A small mail with CRLF ends, with one attached file when bytes for it are given."""
    head = (
        "Received: from mx.example.org by pop.example.org; Mon, 23 Nov 2026 08:00:00 +0000\r\n"
        f"From: billing@example.org\r\nTo: in@example.com\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
    ).encode()
    if attachment is None:
        return head + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode() + b"\r\n"
    return (
        head
        + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n'
        + text.encode()
        + b'\r\n--b\r\nContent-Type: application/pdf; name="i.pdf"\r\nContent-Transfer-Encoding: binary\r\n'
        + b'Content-Disposition: attachment; filename="i.pdf"\r\n\r\n'
        + attachment
        + b"\r\n--b--\r\n"
    )


def message_key(mailbox_id: str, raw: bytes) -> str:
    """The identity of a message of one mailbox."""
    hasher = keys.message_hasher(mailbox_id)
    hasher.update(raw)
    return keys.message_key(hasher)


class Clock:
    """Seconds since 1970 that pass only when told to."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> float:
        return self.time

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)


@dataclass
class RecordedWakeups(Wakeups):
    """Remembers the wakeups that were sent."""

    sent: dict[Queue, int] = field(default_factory=lambda: dict.fromkeys(Queue, 0))
    queued: dict[Queue, int] = field(default_factory=lambda: dict.fromkeys(Queue, 0))

    @override
    def send(self, queue: Queue, count: int = 1) -> None:
        self.sent[queue] += count

    @override
    def waiting(self, queue: Queue) -> int:
        return self.queued[queue]

    @override
    def oldest_age(self, queue: Queue) -> float:
        return 0.0


def never() -> bool:
    """For `stop`: go on."""
    return False


class Bench:
    """Mailboxes `a`, `b`, ... on in-memory twins, and the three stages over them."""

    def __init__(self, *mailboxes: Mailbox) -> None:
        self.clock = Clock()
        self.store = MemoryStore(clock=self.clock)
        self.events = MemoryEventLog(self.clock)
        self.ledger = MemoryLedger(self.clock, self.events)
        self.wakeups = RecordedWakeups()
        self.metrics = Metrics()
        self.keeper = LeaseKeeper()
        self.uploads = ThreadPoolExecutor(4)
        self.mailboxes = {box.id: box for box in mailboxes or (mailbox("a"),)}
        self.maildrops = {id_: MemoryMaildrop() for id_ in self.mailboxes}
        self.sinks = {"main": MemorySink("main")}
        layout = Layout("mail")
        self.published_time = DeliveryWatermark(self.store, layout, self.ledger, self.events)
        checkpoints = Checkpoints(self.store, layout, self.ledger)
        self.poller = Poller(
            connect=MemoryConnector(self.maildrops),
            credentials=lambda _: Credentials("user", "secret"),
            ledger=self.ledger,
            fetcher=Fetcher(
                archive=Archive(self.store, layout, self.published_time.read),
                ledger=self.ledger,
                wakeups=self.wakeups,
                metrics=self.metrics,
                uploads=self.uploads,
                now=self.clock.now,
            ),
            checkpoints=checkpoints,
            rebuilder=Rebuilder(self.store, layout, self.ledger, checkpoints, self.published_time),
            metrics=self.metrics,
            keeper=self.keeper,
        )
        self.secret = b"secret"
        self.poll_stage = PollStage(self.poller, lambda: self.mailboxes, lambda _: self.secret, lambda: 0.5)
        self.process_stage = ProcessStage(
            processor=Processor(self.store, self.metrics, self.uploads),
            ledger=self.ledger,
            wakeups=self.wakeups,
            metrics=self.metrics,
            keeper=self.keeper,
            now=self.clock.now,
            random=lambda: 0.5,
        )
        self.relay_stage = RelayStage(
            ledger=self.ledger,
            events=self.events,
            sinks=self.sinks,
            metrics=self.metrics,
            keeper=self.keeper,
            now=self.clock.now,
            random=lambda: 0.5,
        )
        self.ticker = Ticker(self.ledger, self.events, self.wakeups)
        self.drain = Drain(
            self.ledger,
            self.events,
            self.ticker,
            self.poll_stage,
            self.process_stage,
            self.relay_stage,
            self.published_time,
        )

    def poll_over_sockets(self, credentials: Credentials) -> None:
        """From now on mailboxes are where their servers say, not in memory."""
        self.poller = replace(self.poller, connect=Pop3Connector(), credentials=lambda _: credentials)
        self.poll_stage = replace(self.poll_stage, poller=self.poller)

    def schedule(self) -> Schedule:
        boxes = self.mailboxes.values()
        enabled, resting = ([box.id for box in boxes if box.enabled is wanted] for wanted in (True, False))
        return Schedule(enabled, list(self.sinks), f"{enabled} {resting} {list(self.sinks)}", resting=resting)

    def poll_all(self) -> None:
        """Every mailbox once, due or not, some seconds after the poll before."""
        self.clock.time += 10
        self.ticker.tick(self.schedule())
        for id_ in self.mailboxes:
            self.ledger.mailboxes.run_now(id_)
        self.poll_stage.run(never)

    def scan_with(self, scanning: Scanning) -> None:
        """From now on attachments are shown to a virus scanner."""
        processor = replace(self.process_stage.processor, scanning=scanning)
        self.process_stage = replace(self.process_stage, processor=processor)

    def everything(self) -> None:
        """Poll, process and deliver all there is."""
        self.poll_all()
        self.process_stage.run(never)
        self.relay_stage.run(never)

    def refuse_everything(self) -> None:
        """Let the sink refuse each event by itself."""
        self.sinks["main"].verdict = lambda _: Outcome(Verdict.REJECTED, "http_400")

    def settle(self) -> None:
        """Let so much time pass that all that was delivered is known to be published."""
        self.clock.time += SKEW + 1
        assert self.published_time.write(list(self.mailboxes), list(self.sinks), self.clock.time)

    def keys(self, name: str) -> list[str]:
        return [key for key in self.store.objects if key.endswith("/" + name)]

    def resets(self, mailbox_id: str) -> float:
        """How many times the mailbox's unique-ids were found to be reset."""
        value = self.metrics.registry.get_sample_value("mailhaul_unique_id_resets_total", {"mailbox": mailbox_id})
        return value or 0.0

    def published(self) -> list[dict[str, Any]]:
        return [json.loads(event.body) for event in self.sinks["main"].delivered]

    def close(self) -> None:
        self.keeper.close()
        self.uploads.shutdown()


@contextmanager
def bench(*mailboxes: Mailbox) -> Iterator[Bench]:
    """A workbench that lets go of its threads."""
    made = Bench(*mailboxes)
    try:
        yield made
    finally:
        made.close()


def mailbox(id_: str, server: Server = _NOWHERE, **changes: Any) -> Mailbox:
    """A mailbox with an interval of a minute, unless told otherwise."""
    return Mailbox(id=id_, server=server, **changes)
