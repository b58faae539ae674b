"""The scheduler: Celery beat, which only runs one tick a second."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery.beat import Scheduler, Service
from structlog import get_logger

from ingest.errors import ConfigError, LedgerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from celery import Celery

    from ingest.wiring.runtime import Runtime
    from workers.pages import Heartbeat

log = get_logger()

INTERVAL = 1.0
# Seconds between two looks whether statements are due.
STATEMENTS_EVERY = 600.0


class TickScheduler(Scheduler):
    """A beat scheduler whose schedule is in the ledger. Any number may run: claims are atomic."""

    runtime: Runtime
    heartbeat: Heartbeat

    def setup_schedule(self) -> None:
        """Do nothing: beat's own entries are not used."""

    def tick(self, *_args: Any, **_kwargs: Any) -> float:
        """Run one tick; returns the seconds until the next."""
        started = time.monotonic()
        try:
            self.runtime.ticker.tick(self.runtime.schedule())
        except LedgerUnavailableError as error:
            log.warning("ledger.unavailable", task="tick", error=error.code)
        except ConfigError as error:
            log.warning("config.invalid", problems=len(error.problems))
        self.heartbeat.beat()
        return max(0.0, INTERVAL - (time.monotonic() - started))


def run(app: Celery, runtime: Runtime, heartbeat: Heartbeat) -> None:
    """Tick until SIGTERM or SIGINT."""
    scheduler = type("BoundTickScheduler", (TickScheduler,), {"runtime": runtime, "heartbeat": heartbeat})
    service = Service(app, max_interval=int(INTERVAL), scheduler_cls=scheduler)
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()
        service.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with writing_statements(runtime, stopped):
        service.start()


@contextmanager
def writing_statements(runtime: Runtime, stopped: threading.Event) -> Iterator[None]:
    """Write statements in a thread, if the configuration asks for it, until `stopped` is set and the block ends.

    Statements take a while, and the tick has to go on meanwhile.
    """

    def work() -> None:
        while not stopped.is_set():
            try:
                runtime.statements.write_due(runtime.mailboxes().values(), stopped.is_set)
            except LedgerUnavailableError as error:
                log.warning("ledger.unavailable", task="statements", error=error.code)
            except ConfigError as error:
                log.warning("config.invalid", problems=len(error.problems))
            stopped.wait(STATEMENTS_EVERY)

    # A daemon, as the listing of a store that does not answer cannot be interrupted; nothing is lost.
    thread = threading.Thread(target=work, name="statements", daemon=True)
    if runtime.writes_statements:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
