"""The bench for use-case tests: the product's object graph over in-memory twins, with a clock that tests move."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ingest.domain import keys
from ingest.domain.keys import Layout
from ingest.domain.mailbox import Credentials, Mailbox, Server, Tls
from ingest.domain.retry import MESSAGE_TRIES
from ingest.metrics import Metrics
from ingest.pop3 import Pop3Connector
from ingest.ports.sink import Outcome, Verdict
from ingest.testing.eventlog import MemoryEventLog
from ingest.testing.ledger import MemoryLedger
from ingest.testing.maildrop import MemoryConnector, MemoryMaildrop
from ingest.testing.sink import MemorySink
from ingest.testing.store import FaultyStore
from ingest.testing.wakeups import MemoryWakeups
from ingest.usecases.claims import LeaseKeeper
from ingest.usecases.recover.watermark import SKEW
from ingest.usecases.schedule import Schedule
from ingest.wiring.runtime import Runtime
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.usecases.process.scanning import Scanning

_NOWHERE = Server("pop.example.org", 110, Tls.NONE)


def mail(subject: str, text: str = "Hello.", attachment: bytes | None = None) -> bytes:
    """Return a small mail with CRLF line ends, with an attached file if `attachment` is given."""
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
    """Return the message key of a mail in a mailbox."""
    hasher = keys.message_hasher(mailbox_id)
    hasher.update(raw)
    return keys.message_key(hasher)


def never() -> bool:
    """For `stop`: never stop."""
    return False


class Bench:
    """The product's object graph over in-memory twins, for mailboxes `a`, `b`, ...

    The clock stands still unless a test moves it. Stages may be replaced by changed copies.
    """

    def __init__(self, *mailboxes: Mailbox) -> None:
        self.clock = Clock()
        self.store = FaultyStore(clock=self.clock)
        self.events = MemoryEventLog(self.clock)
        self.ledger = MemoryLedger(self.clock, self.events)
        self.wakeups = MemoryWakeups()
        self.metrics = Metrics()
        self.mailboxes = {box.id: box for box in mailboxes or (mailbox("a"),)}
        self.maildrops = {id_: MemoryMaildrop() for id_ in self.mailboxes}
        self.sinks = {"main": MemorySink("main")}
        self.secret = b"secret"
        self.runtime = Runtime(
            ledger=self.ledger,
            events=self.events,
            store=self.store,
            layout=Layout("mail"),
            sinks=self.sinks,
            wakeups=self.wakeups,
            metrics=self.metrics,
            connect=MemoryConnector(self.maildrops),
            mailboxes=lambda: self.mailboxes,
            credentials=lambda _: Credentials("user", "secret"),
            fingerprint=lambda _: self.secret,
            schedule=self.schedule,
            now=self.clock.now,
            monotonic=self.clock,
            keeper=LeaseKeeper(monotonic=self.clock),
            random=lambda: 0.5,
            upload_threads=4,
        )
        self.layout, self.keeper, self.uploads = self.runtime.layout, self.runtime.keeper, self.runtime.uploads
        self.poller, self.rebuilder = self.runtime.poller, self.runtime.rebuilder
        self.poll_stage = self.runtime.poll_stage
        self.process_stage = self.runtime.process_stage
        self.relay_stage = self.runtime.relay_stage
        self.ticker, self.drain, self.watermark = self.runtime.ticker, self.runtime.drain, self.runtime.watermark

    def digest(self, mailbox_id: str, unique_id: bytes, size: int) -> bytes:
        """What identifies a message of this size, listed under this unique-id, in the seen set."""
        server, store_id = self.mailboxes[mailbox_id].server, self.runtime.poller.store_identity.read()
        return keys.listing_digest(
            keys.maildrop_identity(store_id, server.host, server.port, "user"), unique_id, size
        )

    def poll_over_sockets(self, credentials: Credentials) -> None:
        """From now on, connect to the servers of mailboxes instead of the maildrops in memory."""
        self.poller = replace(self.poller, connect=Pop3Connector(), credentials=lambda _: credentials)
        self.poll_stage = replace(self.poll_stage, poller=self.poller)
        self.drain = replace(self.drain, poll=self.poll_stage)

    def schedule(self) -> Schedule:
        boxes = self.mailboxes.values()
        enabled, disabled = ([box.id for box in boxes if box.enabled is wanted] for wanted in (True, False))
        return Schedule(enabled, list(self.sinks), f"{enabled} {disabled} {list(self.sinks)}", disabled=disabled)

    def poll_all(self) -> None:
        """Poll every mailbox once, due or not, ten seconds after the last poll."""
        self.clock.time += 10
        self.ticker.tick(self.schedule())
        for id_ in self.mailboxes:
            self.ledger.mailboxes.run_now(id_)
        self.poll_stage.run(never)

    def scan_with(self, scanning: Scanning) -> None:
        """From now on, scan attachments."""
        processor = replace(self.process_stage.processor, scanning=scanning)
        self.process_stage = replace(self.process_stage, processor=processor)

    def everything(self) -> None:
        """Poll, process and deliver everything."""
        self.poll_all()
        self.process_stage.run(never)
        self.relay_stage.run(never)

    def everything_without_tick(self) -> None:
        """Poll, process and deliver what is due."""
        self.poll_stage.run(never)
        self.process_stage.run(never)
        self.relay_stage.run(never)

    def refuse_everything(self) -> None:
        """Make the sink reject each event."""
        self.sinks["main"].verdict = lambda _: Outcome(Verdict.REJECTED, "http_400")

    def fail(self, mailbox_id: str, raw: bytes, *, lost: bool = False) -> None:
        """Have a mail fetched and fail, because the store returns other bytes, or has lost it.

        Afterwards the store returns what it took, unless it lost that.
        """
        self.maildrops[mailbox_id].messages[b"failing"] = raw
        self.poll_all()
        (at,) = (key for key in self.keys(keys.RAW) if f"/{message_key(mailbox_id, raw)}/" in key)
        kept = self.store.objects[at]
        if lost:
            del self.store.objects[at]
        else:
            self.store.alter(at, b"other bytes")
        self.process_until_failed()
        if not lost:
            self.store.objects[at] = kept

    def process_until_failed(self) -> None:
        """Try each open message as often as a message is tried."""
        for _ in range(MESSAGE_TRIES):
            self.clock.time += 2_000
            self.process_stage.run(never)

    def settle(self) -> None:
        """Move the clock so far that the watermark covers everything delivered, and write it."""
        self.clock.time += SKEW + 1
        assert self.watermark.write(list(self.mailboxes), list(self.sinks), self.clock.time)

    def keys(self, name: str) -> list[str]:
        return [key for key in self.store.objects if key.endswith("/" + name)]

    def resets(self, mailbox_id: str) -> float:
        """Return how many times a reset of the mailbox's unique-ids was detected."""
        value = self.metrics.registry.get_sample_value("mailhaul_unique_id_resets_total", {"mailbox": mailbox_id})
        return value or 0.0

    def published(self) -> list[dict[str, Any]]:
        return [json.loads(event.body) for event in self.sinks["main"].delivered]

    def close(self) -> None:
        self.runtime.close()


@contextmanager
def bench(*mailboxes: Mailbox) -> Iterator[Bench]:
    """Yield a bench, and close it afterwards."""
    made = Bench(*mailboxes)
    try:
        yield made
    finally:
        made.close()


def mailbox(id_: str, server: Server = _NOWHERE, **changes: Any) -> Mailbox:
    """Return a mailbox, by default with an interval of a minute."""
    return Mailbox(id=id_, server=server, **changes)
