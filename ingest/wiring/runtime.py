"""The composition root: everything a process works with, built once from its configuration."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ingest.adapters.dkim import published_keys
from ingest.adapters.embedded import EmbeddedLedger
from ingest.adapters.ledger import connect
from ingest.adapters.ledger.address import Broker, broker
from ingest.adapters.scanners.clamd import ClamdScanner
from ingest.adapters.stores import open_store
from ingest.adapters.stores.metered import MeteredStore
from ingest.admin.check import Check
from ingest.admin.drain import Drain
from ingest.config import Secrets
from ingest.domain.keys import Layout
from ingest.domain.mailbox import Credentials
from ingest.mime import MimeLimits
from ingest.pop3 import Pop3Connector
from ingest.ports.tracing import NO_TRACING
from ingest.usecases.claims import LeaseKeeper
from ingest.usecases.deliver.stage import RelayStage
from ingest.usecases.deliver.watermark import DeliveryWatermark
from ingest.usecases.poll.archive import Archive
from ingest.usecases.poll.fetch import Fetcher
from ingest.usecases.poll.poller import Poller
from ingest.usecases.poll.stage import PollStage
from ingest.usecases.process.authentication import Authenticator
from ingest.usecases.process.processor import Processor
from ingest.usecases.process.scanning import Scanning
from ingest.usecases.process.stage import ProcessStage
from ingest.usecases.recover.checkpoint import Checkpoints
from ingest.usecases.recover.rebuild import Rebuilder
from ingest.usecases.schedule import Schedule, Ticker
from ingest.wiring.sinks import open_sink

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from ingest.adapters.ledger.redis import RedisLedger
    from ingest.adapters.tokens import TokenCache
    from ingest.config import Config, ConfigSource
    from ingest.domain.grant import TokenLogin
    from ingest.domain.mailbox import Mailbox
    from ingest.metrics import Metrics
    from ingest.ports.dkim import DkimKeys
    from ingest.ports.eventlog import EventLog
    from ingest.ports.scanner import Scanner
    from ingest.ports.sink import Sink
    from ingest.ports.store import Store
    from ingest.ports.tracing import Tracer
    from ingest.ports.wakeups import Wakeups

# Threads that write to the store: enough to hide its latency from fifty pollers, few enough for its rate limits.
UPLOAD_THREADS = 32


@dataclass
class Runtime:
    """What one process works with. Mailboxes and secrets follow their files; the rest lives as long as it does."""

    source: ConfigSource
    metrics: Metrics
    wakeups: Wakeups
    ledger: RedisLedger
    events: EventLog
    store: Store
    layout: Layout
    sinks: Mapping[str, Sink]
    secrets: Secrets
    from_now: Collection[str] = ()
    scanner: Scanner | None = None
    dkim_keys: DkimKeys | None = None
    keeper: LeaseKeeper = field(default_factory=LeaseKeeper)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _tracer: Tracer | None = None

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return datetime.now(UTC)

    def mailboxes(self) -> Mapping[str, Mailbox]:
        """The configured mailboxes, as the files say now."""
        return self.source.current().mailboxes_by_id()

    def credentials(self, mailbox: str) -> Credentials:
        """Who logs in there, read from where the configuration points now; with a token where one is wanted.

        Raises:
            ConfigError: a secret is missing.
            MaildropAuthError, TokenUnavailableError: no token could be had.
        """
        login = self.source.current().login(mailbox, self.secrets)
        return login if isinstance(login, Credentials) else self._with_token(login)

    def _with_token(self, login: TokenLogin, refused: str | None = None) -> Credentials:
        token = self.tokens.token(login.grant, refused)
        # Once: a server that refuses a new token too has another reason.
        renew = None if refused is not None else lambda: self._with_token(login, token)
        return Credentials(login.username, token, login.mechanism, renew, login.proxy)

    @cached_property
    def tokens(self) -> TokenCache:
        """OAuth2 access tokens, shared by the whole process."""
        # Imported here: authlib and cryptography take 0.2 s, and only mailboxes that log in with tokens need them.
        from ingest.adapters.tokens import TokenCache  # noqa: PLC0415

        return TokenCache(time.monotonic)

    def fingerprint(self, mailbox: str) -> bytes:
        """Changes when anything does that the mailbox's login depends on.

        Raises:
            ConfigError: a secret is missing.
        """
        return self.source.current().fingerprint(mailbox, self.secrets)

    def schedule(self) -> Schedule:
        """What the configuration wants scheduled now."""
        config = self.source.current()
        boxes = config.mailboxes_by_id().values()
        enabled, resting = ([box.id for box in boxes if box.enabled is wanted] for wanted in (True, False))
        # The sinks are those this process was started with, whatever the files say by now.
        digest = f"{config.schedule_digest()} {' '.join(sorted(self.sinks))}"
        return Schedule(enabled, list(self.sinks), digest, self.from_now, resting)

    @cached_property
    def uploads(self) -> ThreadPoolExecutor:
        """Shared by all that write to the store."""
        return ThreadPoolExecutor(UPLOAD_THREADS, thread_name_prefix="upload")

    @property
    def tracer(self) -> Tracer:
        """Begins spans, as the section `tracing` said when this was first used."""
        # One for all threads, even those that come first at once: a second one's last spans would be lost.
        with self._lock:
            if self._tracer is None:
                self._tracer = _open_tracer(self.source.current())
            return self._tracer

    @cached_property
    def connector(self) -> Pop3Connector:
        """Opens POP3 sessions; its TLS contexts are shared by the whole process."""
        return Pop3Connector()

    @cached_property
    def published(self) -> DeliveryWatermark:
        """How far the event stream is confirmed."""
        return DeliveryWatermark(self.store, self.layout, self.ledger, self.events)

    def publish(self) -> None:
        """Write down how far everything is published, when it is time."""
        schedule = self.schedule()
        known = [*schedule.mailboxes, *schedule.resting]
        self.published.write_in_turn(known, schedule.sinks, self.now().timestamp())

    @cached_property
    def poll_stage(self) -> PollStage:
        """The poller's work."""
        checkpoints = Checkpoints(self.store, self.layout, self.ledger)
        poller = Poller(
            connect=self.connector,
            credentials=self.credentials,
            ledger=self.ledger,
            fetcher=Fetcher(
                archive=Archive(self.store, self.layout, self.published.recently(time.monotonic)),
                ledger=self.ledger,
                wakeups=self.wakeups,
                metrics=self.metrics,
                uploads=self.uploads,
                now=self.now,
            ),
            checkpoints=checkpoints,
            rebuilder=Rebuilder(self.store, self.layout, self.ledger, checkpoints, self.published),
            metrics=self.metrics,
            keeper=self.keeper,
            tracer=self.tracer,
        )
        return PollStage(poller, self.mailboxes, self.fingerprint, random.random)

    @cached_property
    def processor(self) -> Processor:
        """Reads messages as the sections `parse` and `scan` said when the process started."""
        config = self.source.current()
        scan, parse = config.scan, config.parse
        return Processor(
            self.store,
            self.metrics,
            self.uploads,
            verdicts=Authenticator(self._authserv_id, self.dkim_keys, parse.dkim_bytes),
            scanning=Scanning(self.scanner, quarantine=scan is not None and scan.policy == "quarantine"),
            limits=MimeLimits(parts=parse.parts, depth=parse.depth),
        )

    def _authserv_id(self, mailbox: str) -> str | None:
        box = self.mailboxes().get(mailbox)
        return None if box is None else box.authserv_id

    @cached_property
    def process_stage(self) -> ProcessStage:
        """The processor's work."""
        return ProcessStage(
            processor=self.processor,
            ledger=self.ledger,
            wakeups=self.wakeups,
            metrics=self.metrics,
            keeper=self.keeper,
            now=self.now,
            random=random.random,
            tracer=self.tracer,
        )

    @cached_property
    def relay_stage(self) -> RelayStage:
        """The relay's work."""
        return RelayStage(
            ledger=self.ledger,
            events=self.events,
            sinks=self.sinks,
            metrics=self.metrics,
            keeper=self.keeper,
            now=self.now,
            random=random.random,
            tracer=self.tracer,
        )

    @cached_property
    def ticker(self) -> Ticker:
        """The scheduler's work."""
        return Ticker(self.ledger, self.events, self.wakeups)

    @cached_property
    def drain(self) -> Drain:
        """All three stages, once."""
        return Drain(
            ledger=self.ledger,
            events=self.events,
            ticker=self.ticker,
            poll=self.poll_stage,
            process=self.process_stage,
            relay=self.relay_stage,
            published=self.published,
        )

    @cached_property
    def check(self) -> Check:
        """Trying each part."""
        return Check(
            ledger=self.ledger,
            store=self.store,
            layout=self.layout,
            sinks=list(self.sinks.values()),
            scanner=self.scanner,
            connect=self.connector,
            credentials=self.credentials,
        )

    def close(self) -> None:
        """Let go of threads, connections and files; claims that are still held expire."""
        self.keeper.close()
        if "uploads" in self.__dict__:
            self.uploads.shutdown()
        for sink in self.sinks.values():
            sink.close()
        self.ledger.close()
        self.end_tracing()

    def end_tracing(self) -> None:
        """Hand over the last spans, if there are any; a few seconds at most."""
        if self._tracer is not None:
            self._tracer.close()


def build(source: ConfigSource, ledger_at: str, metrics: Metrics, wakeups: Wakeups) -> Runtime:
    """Build a runtime. No connection is made yet, so that a part that is away fails where it is used.

    Args:
        source: the configuration.
        ledger_at: URL of the ledger, from `ledger_url`.
        metrics: this process's.
        wakeups: how other processes are told of work.

    Raises:
        StartError: DKIM signatures are to be verified, and what that needs is not installed.
    """
    config = source.current()
    secrets = Secrets(source.folder, source.environ)
    store, prefix = _open_store(config, secrets)
    ledger, events = connect(ledger_at)
    sinks = [open_sink(section, secrets) for section in config.sinks]
    return Runtime(
        source=source,
        metrics=metrics,
        wakeups=wakeups,
        ledger=ledger,
        events=events,
        store=MeteredStore(store, metrics),
        layout=Layout(prefix),
        sinks={sink.name: sink for sink in sinks},
        secrets=secrets,
        from_now=frozenset(section.name for section in config.sinks if section.start == "now"),
        scanner=_open_scanner(config),
        dkim_keys=published_keys() if config.parse.dkim else None,
    )


@contextmanager
def ledger_url(config: Config) -> Iterator[str]:
    """The URL of the ledger for the length of a `with` block; an embedded one runs that long.

    Raises:
        StartError: the embedded ledger does not start.
    """
    if config.ledger_folder is None:
        yield config.ledger_url
        return
    with EmbeddedLedger(config.ledger_folder) as embedded:
        yield embedded.url


def broker_of(config: Config, ledger_at: str) -> Broker:
    """Where wakeups travel: the broker, else the ledger."""
    return broker(config.broker_url(ledger_at))


def _open_store(config: Config, secrets: Secrets) -> tuple[Store, str]:
    section = config.store
    return open_store(
        section.url,
        endpoint=section.endpoint,
        region=section.region,
        path_style=section.path_style,
        kms_key=section.kms_key,
        access_key=secrets.read(section.access_key) if section.access_key else None,
        secret_key=secrets.read(section.secret_key) if section.secret_key else None,
    )


def _open_scanner(config: Config) -> Scanner | None:
    scan = config.scan
    return None if scan is None else ClamdScanner(scan.url, timeout=scan.timeout, largest=scan.max_bytes)


def _open_tracer(config: Config) -> Tracer:
    section = config.tracing
    if section is None:
        return NO_TRACING
    # Imported here, for it needs packages that come with an extra (`ingest.config` has seen that they are there).
    from ingest.adapters.tracing.otlp import otlp_tracer  # noqa: PLC0415

    return otlp_tracer(section.endpoint, section.sample)
