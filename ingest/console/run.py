"""The process of the console: serve, and keep the catalog up to date in threads of its own."""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

import uvicorn
from structlog import get_logger

from ingest.admin.check import require_usable
from ingest.catalog.catalog import Catalog
from ingest.catalog.feed import Feeder
from ingest.catalog.rebuild import Rebuild
from ingest.config.console import ConsoleSection
from ingest.config.secrets import Secrets
from ingest.console.app import make_app
from ingest.errors import MailhaulError, StartError
from ingest.metrics import Metrics
from ingest.ports.wakeups import NoWakeups
from ingest.wiring.build import build, ledger_url
from ingest.wiring.catalog import catalog_url, require_console

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.config import ConfigSource

log = get_logger()

# Seconds to wait for an event, and after an error.
_WAIT, _PAUSE = 1.0, 5.0
# Seconds that answers in progress have when the process is to stop.
_STOP_SECONDS = 1


def run_console(source: ConfigSource) -> None:
    """Serve until SIGTERM.

    Args:
        source: the configuration.

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
        url = catalog_url(config, Secrets(source.folder, source.environ))
        catalog = stack.enter_context(closing(Catalog.open(url)))
        stopped = threading.Event()

        def now() -> float:
            return runtime.now().timestamp()

        feeder = stack.enter_context(
            closing(Feeder(catalog, runtime.store, runtime.events, list(runtime.sinks), now))
        )
        rebuild = Rebuild(catalog, runtime.store, runtime.layout, now)
        threads = [
            threading.Thread(target=_repeat, args=(work, stopped), name=name)
            for name, work in (
                ("catalog-feed", partial(_feed, feeder)),
                ("catalog-rebuild", partial(_rebuild, rebuild, stopped)),
            )
        ]
        stack.callback(_join, threads, stopped)
        for thread in threads:
            thread.start()
        server = uvicorn.Server(
            uvicorn.Config(
                make_app(runtime, catalog, section),
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


def _feed(feeder: Feeder) -> None:
    if not feeder.step():
        feeder.wait(_WAIT)


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
