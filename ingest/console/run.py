"""The process of the console: serve, and keep the catalog up to date in threads of its own."""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import uvicorn
from structlog import get_logger

from ingest.admin.usable import require_usable
from ingest.catalog.catalog import Catalog
from ingest.catalog.feed import BATCH, Feeder
from ingest.catalog.rebuild import Rebuild
from ingest.config.console import ConsoleSection
from ingest.config.secrets import Secrets
from ingest.console.app import make_app
from ingest.errors import LedgerUnavailableError, MailhaulError, StartError
from ingest.metrics import Metrics
from ingest.ports.wakeups import NoWakeups
from ingest.wiring.build import build, ledger_url
from ingest.wiring.catalog import catalog_url, require_console
from ingest.wiring.login import identity_provider

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from ingest.config import ConfigSource
    from ingest.ports.status import TaskRecords

log = get_logger()

# Seconds to wait for an event, and after an error.
_WAIT, _PAUSE = 1.0, 5.0
# Seconds between two records that the catalog has read all events.
_RECORD_EVERY = 10.0
# Seconds that answers in progress have when the process is to stop.
_STOP_SECONDS = 1


def run_console(source: ConfigSource, metrics: Metrics) -> None:
    """Serve until SIGTERM.

    Args:
        source: the configuration.
        metrics: of `CONSOLE_SPECS`, which the caller serves.

    Raises:
        ConfigError: the configuration cannot be used.
        StartError: packages are missing, the port is in use, or the embedded ledger does not start.
        CatalogError: the catalog's database is unavailable.
    """
    require_console()
    config = source.current()
    section = config.console or ConsoleSection()
    with ExitStack() as stack:
        listening = stack.enter_context(listen(section))
        runtime = build(source, stack.enter_context(ledger_url(config)), Metrics(), NoWakeups())
        stack.callback(runtime.close)
        require_usable(runtime.ledger)
        secrets = Secrets(source.folder, source.environ)
        url = catalog_url(config, secrets)
        catalog = stack.enter_context(closing(Catalog.open(url)))
        stopped = threading.Event()

        def now() -> float:
            return runtime.now().timestamp()

        feeder = stack.enter_context(
            closing(Feeder(catalog, runtime.store, runtime.events, list(runtime.sinks), now))
        )
        rebuild = Rebuild(catalog, runtime.store, runtime.layout, now)
        feed = Feed(feeder, runtime.ledger, runtime.monotonic)
        works = {"catalog-feed": feed.step, "catalog-rebuild": partial(_rebuild, rebuild, stopped)}
        threads = [threading.Thread(target=_repeat, args=(work, stopped), name=name) for name, work in works.items()]
        stack.callback(_join, threads, stopped)
        for thread in threads:
            thread.start()
        app = make_app(runtime, catalog, section, identity_provider(config, secrets), metrics)
        stack.callback(app.state.desk.jobs.runner.close)
        _serve(app, listening)


def _serve(app: FastAPI, listening: socket.socket) -> None:
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    )
    # uvicorn stops at these signals, and raises them again at the end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run([listening])


def listen(section: ConsoleSection) -> socket.socket:
    """Return the socket on which the console listens.

    Raises:
        StartError: the address or the port cannot be used.
    """
    try:
        family = socket.AF_INET6 if ":" in section.address else socket.AF_INET
        return socket.create_server((section.address, section.port), family=family)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise StartError(
            f"the console cannot listen on {section.address}, port {section.port}: {reason}; set console.port"
        ) from error


@dataclass
class Feed:
    """Feeds the catalog, and records when it has read all events.

    Attributes:
        ledger: to record it in.
        monotonic: a clock, in seconds.
    """

    feeder: Feeder
    ledger: TaskRecords
    monotonic: Callable[[], float]
    _recorded: float | None = None

    def step(self) -> None:
        """Read a batch; wait for the next event if there is none."""
        if self._recorded is None:
            self._record(self.ledger.record_task_start)
        count = self.feeder.step()
        if count < BATCH and (self._recorded is None or self.monotonic() - self._recorded >= _RECORD_EVERY):
            self._record(self.ledger.record_task_success)
            self._recorded = self.monotonic()
        if not count:
            self.feeder.wait(_WAIT)

    def _record(self, record: Callable[[str], None]) -> None:
        """Record it, unless the ledger takes nothing, as when its memory is full: reading goes on without it."""
        with suppress(LedgerUnavailableError):
            record("catalog")


def _rebuild(rebuild: Rebuild, stopped: threading.Event) -> None:
    if not rebuild.wanted:
        stopped.wait(_WAIT)
        return
    done = rebuild.run(stopped.is_set)
    log.info("catalog.rebuilt", listed=done.messages, deleted=done.removed)


def _repeat(work: Callable[[], None], stopped: threading.Event) -> None:
    """Call a function again and again; an error is logged, and followed by a pause."""
    while not stopped.is_set():
        try:
            work()
        except MailhaulError as error:
            log.warning("catalog.behind", error=error.code)
            stopped.wait(_PAUSE)
        except Exception:  # boundary: search must not end because of one message
            log.exception("catalog.failed")
            stopped.wait(_PAUSE)


def _join(threads: list[threading.Thread], stopped: threading.Event) -> None:
    stopped.set()
    for thread in threads:
        thread.join()
