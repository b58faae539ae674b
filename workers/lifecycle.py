"""What all processes begin and end with, and the scheduler and the exporter; `workers.worker` has the others."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from ingest import logs
from ingest.adapters.ledger import connect
from ingest.adapters.ledger.brokers import broker_check
from ingest.admin.usable import require_usable, require_usable_broker
from ingest.config import ConfigSource, Secrets
from ingest.domain.keys import Layout
from ingest.metrics import Metrics
from ingest.wiring.build import broker_of, build, configured_store, ledger_url
from workers.app import make_app
from workers.pages import Heartbeat, serving
from workers.readiness import Readiness, StoreTrial, try_ledger
from workers.usage import UsageCollector
from workers.wakeups import CeleryWakeups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from celery import Celery

    from ingest.wiring.runtime import Runtime


def run_scheduler(config_path: Path | None) -> None:
    """Tick every second until SIGTERM.

    Args:
        config_path: a file or folder, or None for the environment alone.

    Raises:
        ConfigError: the configuration cannot be used.
        StartError: the metrics port is taken, or the embedded ledger does not start.
    """
    from workers import schedule

    heartbeat = Heartbeat()
    with Process.started(config_path) as process:
        registry = process.metrics.registry
        registry.register(UsageCollector("scheduler"))
        with (
            trying_parts(process) as readiness,
            serving(process.config, registry, heartbeat, readiness),
            readiness.watching(),
        ):
            schedule.run(process.app, process.runtime(), heartbeat)


def run_exporter(config_path: Path | None) -> None:
    """Serve gauges about the whole system until SIGTERM. Errors as for `run_scheduler`."""
    from workers.exporter import SystemCollector

    with Process.started(config_path) as process:
        registry = CollectorRegistry()
        registry.register(SystemCollector(process.runtime(), process.source))
        registry.register(UsageCollector("exporter"))
        with (
            trying_parts(process) as readiness,
            serving(process.config, registry, readiness=readiness),
            readiness.watching(),
        ):
            stopped = threading.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stopped.set())
            stopped.wait()


class Process:
    """What each process has: configuration, Celery app, metrics, and a runtime."""

    def __init__(self, source: ConfigSource, ledger_at: str, app: Celery) -> None:
        self.source, self.ledger_at, self.app = source, ledger_at, app
        self.config = source.current()
        self.metrics = Metrics(mailbox_label=self.config.metrics.mailbox_label)
        self._lock = threading.Lock()
        self._made: tuple[int, Runtime] | None = None

    @classmethod
    @contextmanager
    def started(cls, config_path: Path | None) -> Iterator[Process]:
        """Read the configuration, set up logs, and open the ledger, until the `with` block ends."""
        source = ConfigSource(config_path, os.environ)
        config = source.current()
        logs.configure(config.log.format, config.log.level, sys.stderr)
        source.warn()
        with ledger_url(config) as url:
            with closing(connect(url, config.deployment)[0]) as ledger:
                require_usable(ledger)
            if (check_broker := broker_check(config.broker, url)) is not None:
                require_usable_broker(check_broker)
            process = cls(source, url, make_app(broker_of(config, url), config.deployment))
            try:
                yield process
            finally:
                process.close()

    def runtime(self) -> Runtime:
        """Return the runtime, built at first use and again after a fork: processes must not share connections."""
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                self._made = (os.getpid(), build(self.source, self.ledger_at, self.metrics, CeleryWakeups(self.app)))
            return self._made[1]

    def end_child(self) -> None:
        """Export the last spans before a child of a prefork pool ends; its connections end with it."""
        if self._made is not None and self._made[0] == os.getpid():
            self._made[1].close_tracer()

    def close(self) -> None:
        """Close the runtime and the broker connection."""
        if self._made is not None and self._made[0] == os.getpid():
            self._made[1].close()
        self.app.close()


@contextmanager
def trying_parts(process: Process, *, store: bool = False) -> Iterator[Readiness]:
    """Yield the readiness of a process; its connections are open until the `with` block ends.

    They are its own: those of the runtime belong to the children where the process forks.
    """
    wakeups = CeleryWakeups(process.app)
    with closing(connect(process.ledger_at, process.config.deployment)[0]) as ledger:
        parts: dict[str, Callable[[], None]] = {"ledger": partial(try_ledger, ledger), "broker": wakeups.try_broker}
        if store:
            opened, prefix = configured_store(process.config, Secrets(process.source.folder, process.source.environ))
            parts["store"] = StoreTrial(opened, Layout(prefix))
        yield Readiness(parts)
