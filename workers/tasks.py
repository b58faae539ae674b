"""The Celery tasks: each calls a stage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.errors import LedgerUnavailableError
from ingest.ports.wakeups import Queue
from workers.wakeups import task_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

    from ingest.wiring.runtime import Runtime
    from workers.stopping import StopFlag

log = get_logger()

# Seconds that one wake-up keeps a thread or process working while there is more to claim. Short enough that a prefork
# child is replaced in time and notices a stop, long enough that wake-ups stay few.
TIME_PER_WAKEUP = {Queue.POLL: 50.0, Queue.PROCESS: 20.0, Queue.RELAY: 20.0}
# Seconds between two deliveries without a wake-up.
UNASKED_EVERY = 15.0


def register(app: Celery, role: Queue, runtime: Callable[[], Runtime], stop: StopFlag) -> None:
    """Register the task of one role.

    Args:
        app: the worker's app.
        role: the queue that the worker consumes.
        runtime: returns this process's runtime, built at first use (in a prefork child, after the fork).
        stop: asked between items.
    """

    @app.task(name=task_name(role), ignore_result=True)
    def work_off_wakeup() -> None:
        started, result = time.monotonic(), "ok"
        try:
            _run(role, runtime(), stop)
        except LedgerUnavailableError as error:
            # Nothing is lost: claims expire, and the scheduler sends wake-ups when the ledger is back.
            result = "error"
            log.warning("ledger.unavailable", task=str(role), error=error.code)
        except BaseException:
            result = "error"
            raise
        finally:
            metrics = runtime().metrics
            metrics.count("wakeups_total", str(role), result)
            metrics.observe("wakeup_duration_seconds", time.monotonic() - started, str(role), result)


def deliver_unasked(runtime: Callable[[], Runtime], stop: StopFlag) -> None:
    """Deliver at the start, and now and then without a wake-up, until the worker stops.

    A broker whose memory is full takes no wake-ups. If it is the ledger too, only delivery makes room in it. And a
    sink whose configuration was corrected is not to wait until its pause is over.
    """
    while not stop.asked():
        try:
            runtime().relay_stage.run(stop.within(TIME_PER_WAKEUP[Queue.RELAY]))
        except LedgerUnavailableError as error:
            log.debug("ledger.unavailable", task=str(Queue.RELAY), error=error.code)
        stop.wait(UNASKED_EVERY)


def _run(role: Queue, runtime: Runtime, flag: StopFlag) -> None:
    stop = flag.within(TIME_PER_WAKEUP[role])
    match role:
        case Queue.POLL:
            # A large mailbox may take longer than a wake-up's time: only the end of the worker interrupts it.
            runtime.poll_stage.run(stop, leave=flag.asked)
        case Queue.PROCESS:
            runtime.process_stage.run(stop)
        case Queue.RELAY:
            runtime.relay_stage.follow(stop)
            runtime.write_watermark()
