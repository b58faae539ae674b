"""The object graph of one process: the use cases, built over ports.

The product passes in adapters (`ingest.wiring.build`), the tests pass in-memory twins; both get the same graph.
"""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ingest.ports.content import ContentLimits
from ingest.ports.tracing import NO_TRACING
from ingest.usecases.backpressure import POLL_SHARE, MemoryPressure, process_share
from ingest.usecases.claims import LeaseKeeper
from ingest.usecases.handover import HandOver
from ingest.usecases.recover.checkpoint import Checkpoints
from ingest.usecases.recover.watermark import DeliveryWatermark
from ingest.usecases.schedule import Ticker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ingest.admin.audit.write import StatementWriter
    from ingest.admin.drain import Drain
    from ingest.admin.pipeline import Pipeline
    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Credentials, Mailbox
    from ingest.domain.retention import RetentionRule
    from ingest.metrics import Metrics
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger
    from ingest.ports.maildrop import MaildropFactory
    from ingest.ports.scanner import Scanner
    from ingest.ports.signing import PublicKey, Signer
    from ingest.ports.sink import Sink
    from ingest.ports.store import Store
    from ingest.ports.tracing import Tracer
    from ingest.ports.wakeups import Wakeups
    from ingest.usecases.deliver.stage import RelayStage
    from ingest.usecases.poll.fetch import Fetcher
    from ingest.usecases.poll.poller import Poller
    from ingest.usecases.poll.stage import PollStage
    from ingest.usecases.process.duplicates import Duplicates
    from ingest.usecases.process.processor import Processor
    from ingest.usecases.process.rules import Rule
    from ingest.usecases.process.stage import ProcessStage
    from ingest.usecases.recover.rebuild import Rebuilder
    from ingest.usecases.schedule import Schedule
    from ingest.usecases.store_identity import StoreIdentity

# Threads that write to the store: enough to hide its latency from fifty pollers, few enough for its rate limits.
UPLOAD_THREADS = 32


def utc_now() -> datetime:
    """Return the wall clock, in UTC."""
    return datetime.now(UTC)


def plain_processor(runtime: Runtime) -> Processor:
    """Return a processor with defaults."""
    from ingest.usecases.process.processor import Processor

    return Processor(
        runtime.store, runtime.metrics, runtime.uploads, duplicates=runtime.duplicates, handover=runtime.handover
    )


@dataclass(kw_only=True)
class Runtime:
    """What one process works with. Each use case is imported and built when it is first asked for.

    Attributes:
        connect: opens POP3 sessions.
        mailboxes: returns the configured mailboxes by id.
        credentials: returns how to log in to a mailbox, by its id.
        fingerprint: returns a digest of what a mailbox's login depends on, by its id.
        schedule: returns what the configuration wants scheduled.
        sink_fingerprint: returns a digest of a sink's configuration and its secrets, by its name.
        open_processor: called once, when the first message is about to be processed.
        scanner: scans attachments; None if there is none.
        rules: label or quarantine messages.
        retention: how long messages are kept.
        now: the wall clock, in UTC.
        monotonic: seconds that only grow.
        random: returns a number in [0, 1).
        poll_threads: how many mailboxes this process polls at once, to be shared by their servers; None: not limited.
        poll_share: share of the ledger's memory at which polling stops.
        open_tracer: called once, when the first span is about to begin.
        listed: called with each mailbox and how many messages a session will try to fetch from it.
        check_broker: asks a broker that is not the ledger, for `check`; None if there is none.
        passwords: each reads a password of encrypted attachments, for `check`.
        open_signer: returns the key that statements are signed with; None if they are not.
        check_login: asks the console's identity provider, for `check`; None without one.
        open_audit_keys: returns the public keys that statements may be signed with, by their ids.
        statement_grace: seconds after the end of a day before its statements are written.
        writes_statements: whether the scheduler writes statements.
        keeps_answers: whether what sinks answer to each event is recorded, for a console to show.
        handover: hands raw mail from the poller to the processor, where `drain` runs both.
    """

    ledger: Ledger
    events: EventLog
    store: Store
    layout: Layout
    sinks: Mapping[str, Sink]
    wakeups: Wakeups
    metrics: Metrics
    connect: MaildropFactory
    mailboxes: Callable[[], Mapping[str, Mailbox]]
    credentials: Callable[[str], Credentials]
    fingerprint: Callable[[str], bytes]
    schedule: Callable[[], Schedule]
    sink_fingerprint: Callable[[str], bytes] = lambda _: b""
    open_processor: Callable[[Runtime], Processor] = plain_processor
    scanner: Scanner | None = None
    rules: Sequence[Rule] = ()
    retention: Sequence[RetentionRule] = ()
    content_limits: ContentLimits | None = field(default_factory=ContentLimits)
    keeper: LeaseKeeper = field(default_factory=LeaseKeeper)
    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    open_tracer: Callable[[], Tracer] = lambda: NO_TRACING
    check_broker: Callable[[], str] | None = None
    passwords: Sequence[Callable[[], object]] = ()
    open_signer: Callable[[], Signer | None] | None = None
    check_login: Callable[[], str] | None = None
    open_audit_keys: Callable[[], Mapping[str, PublicKey]] = dict
    statement_grace: float = 3_600.0
    writes_statements: bool = False
    upload_threads: int = UPLOAD_THREADS
    poll_threads: int | None = None
    poll_share: float = POLL_SHARE
    keeps_answers: bool = False
    handover: HandOver = field(default_factory=HandOver)
    listed: Callable[[str, int], None] = lambda _mailbox, _messages: None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _tracer: Tracer | None = None

    @cached_property
    def uploads(self) -> ThreadPoolExecutor:
        """The threads that write to the store."""
        return ThreadPoolExecutor(self.upload_threads, thread_name_prefix="upload")

    @property
    def tracer(self) -> Tracer:
        """The tracer of this process, opened when it is first asked for."""
        # Opened only once, even if two threads ask at the same time: the last spans of a second one would be lost.
        with self._lock:
            if self._tracer is None:
                self._tracer = self.open_tracer()
            return self._tracer

    @cached_property
    def watermark(self) -> DeliveryWatermark:
        """How far the event stream is confirmed."""
        return DeliveryWatermark(self.store, self.layout, self.ledger, self.events, lambda: self.now().timestamp())

    def write_watermark(self) -> None:
        """Write the delivery watermark, if no process has done so within the last minute.

        Raises:
            LedgerUnavailableError: the ledger is unavailable.
        """
        if self.watermark.due():  # asked first: the schedule lists every mailbox
            schedule = self.schedule()
            self.watermark.try_to_write(schedule.configured, schedule.sinks, self.now().timestamp())

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """Writes and restores what each mailbox has done."""
        return Checkpoints(self.store, self.layout, self.ledger)

    @cached_property
    def rebuilder(self) -> Rebuilder:
        """Rebuilds what the ledger lost."""
        from ingest.usecases.recover.content import ContentRestorer
        from ingest.usecases.recover.rebuild import Rebuilder

        limits = self.content_limits
        content = None if limits is None else ContentRestorer(self.store, self.ledger, limits, self.uploads)
        about = self.store, self.layout, self.ledger, self.events, self.checkpoints, self.watermark
        return Rebuilder(*about, self.store_identity.read, content)

    @cached_property
    def store_identity(self) -> StoreIdentity:
        """The id that the store carries."""
        from ingest.usecases.store_identity import StoreIdentity

        return StoreIdentity(self.store, self.layout, self.monotonic)

    @cached_property
    def fetcher(self) -> Fetcher:
        """Fetches, archives and registers messages."""
        from ingest.usecases.poll.archive import Archive
        from ingest.usecases.poll.fetch import Fetcher

        return Fetcher(
            archive=Archive(
                self.store,
                self.layout,
                self.store_identity.last,
                self.watermark.cached(self.monotonic),
                self.handover,
            ),
            ledger=self.ledger,
            events=self.events,
            wakeups=self.wakeups,
            metrics=self.metrics,
            uploads=self.uploads,
            now=self.now,
            listed=self._announce,
        )

    def _announce(self, mailbox: str, messages: int) -> None:
        self.listed(mailbox, messages)

    @cached_property
    def poller(self) -> Poller:
        """Polls one mailbox."""
        from ingest.usecases.poll.deletions import Deletions
        from ingest.usecases.poll.poller import Poller
        from ingest.usecases.poll.proof import StoreProof

        return Poller(
            connect=self.connect,
            credentials=self.credentials,
            ledger=self.ledger,
            events=self.events,
            fetcher=self.fetcher,
            checkpoints=self.checkpoints,
            rebuilder=self.rebuilder,
            metrics=self.metrics,
            keeper=self.keeper,
            store_identity=self.store_identity,
            deletions=Deletions(
                self.ledger, StoreProof(self.store, self.layout, self.uploads), self.metrics, self.now
            ),
            now=self.now,
            tracer=self.tracer,
        )

    @cached_property
    def poll_pressure(self) -> MemoryPressure:
        """Whether the ledger has too little memory to poll."""
        return MemoryPressure(self.ledger, self.poll_share, "poll", self.monotonic)

    @cached_property
    def poll_stage(self) -> PollStage:
        """Polls the mailboxes that are due."""
        from ingest.usecases.poll.stage import PollStage
        from ingest.usecases.poll.threads import PollThreads

        return PollStage(
            poller=self.poller,
            ledger=self.ledger,
            keeper=self.keeper,
            metrics=self.metrics,
            mailboxes=self.mailboxes,
            schedule=self.schedule,
            fingerprint=self.fingerprint,
            now=self.now,
            random=self.random,
            pressure=self.poll_pressure,
            threads=PollThreads(self.poll_threads, self.monotonic),
        )

    @property
    def duplicates(self) -> Duplicates | None:
        """Finds what came before; None if that is switched off."""
        from ingest.usecases.process.duplicates import Duplicates

        return None if self.content_limits is None else Duplicates(self.ledger, self.content_limits)

    @cached_property
    def processor(self) -> Processor:
        """Processes one message."""
        return self.open_processor(self)

    @cached_property
    def process_stage(self) -> ProcessStage:
        """Processes the messages that are due."""
        from ingest.usecases.process.retraction import Retraction
        from ingest.usecases.process.stage import ProcessStage

        return ProcessStage(
            processor=self.processor,
            retraction=Retraction(self.store, self.duplicates),
            ledger=self.ledger,
            store_id=self.store_identity.read,
            wakeups=self.wakeups,
            metrics=self.metrics,
            keeper=self.keeper,
            now=self.now,
            random=self.random,
            pressure=MemoryPressure(self.ledger, process_share(self.poll_share), "process", self.monotonic),
            tracer=self.tracer,
        )

    @cached_property
    def relay_stage(self) -> RelayStage:
        """Delivers events to the sinks that are due."""
        from ingest.usecases.deliver.stage import RelayStage

        return RelayStage(
            ledger=self.ledger,
            events=self.events,
            sinks=self.sinks,
            metrics=self.metrics,
            keeper=self.keeper,
            now=self.now,
            random=self.random,
            tracer=self.tracer,
            fingerprint=self.sink_fingerprint,
            keeps_answers=self.keeps_answers,
        )

    @cached_property
    def ticker(self) -> Ticker:
        """Keeps the schedule and sends wake-ups."""
        return Ticker(self.ledger, self.events, self.wakeups, self.poll_pressure.high, self.watermark.lower)

    @cached_property
    def pipeline(self) -> Pipeline:
        """Runs the stages behind fetching once."""
        from ingest.admin.pipeline import Pipeline

        return Pipeline(self.ledger, self.process_stage, self.relay_stage)

    @cached_property
    def drain(self) -> Drain:
        """Runs all three stages once."""
        from ingest.admin.drain import Drain
        from ingest.usecases.poll.threads import PollThreads

        return Drain(
            ledger=self.ledger,
            events=self.events,
            ticker=self.ticker,
            # It ends when the slowest server has answered, so limiting that one would gain nothing.
            poll=replace(self.poll_stage, threads=PollThreads()),
            pipeline=self.pipeline,
            watermark=self.watermark,
            now=self.now,
            handover=self.handover,
        )

    @cached_property
    def statements(self) -> StatementWriter:
        """Writes statements about what was stored."""
        from ingest.admin.audit.write import StatementWriter
        from ingest.usecases.store_probe import store_time

        return StatementWriter(
            store=self.store,
            layout=self.layout,
            ledger=self.ledger,
            events=self.events,
            sinks=list(self.sinks),
            store_id=self.store_identity.read,
            watermark=self.watermark.read,
            signer=self.open_signer or (lambda: None),
            workers=self.uploads,
            now=self.now,
            grace=self.statement_grace,
            store_time=lambda: store_time(self.store, self.layout),
        )

    def close(self) -> None:
        """Close threads, connections and files; claims that are still held expire."""
        self.keeper.close()
        if "uploads" in self.__dict__:
            self.uploads.shutdown()
        for sink in self.sinks.values():
            sink.close()
        self.ledger.close()
        self.close_tracer()

    def close_tracer(self) -> None:
        """Export the last spans, if there are any; takes a few seconds at most."""
        if self._tracer is not None:
            self._tracer.close()
