"""End a stalled worker, one that receives no wake-ups although some are waiting, so that it is restarted.

After its broker was unavailable, a Celery worker over Redis sometimes stays alive but stalled: it is connected, and
takes nothing from its queue. A waiting wake-up expires within seconds, and an idle worker discards it. So an old
wake-up in the queue of an idle worker means that the worker is stalled. Its claims expire, and the work is due again.

The same thread is the worker's heartbeat. It beats while the broker is unavailable too: restarting would not help.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from celery import signals
from celery.worker import state
from structlog import get_logger

from workers.wakeups import EXPIRES

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ingest.ports.wakeups import Queue, Wakeups
    from workers.pages import Heartbeat

log = get_logger()

LOOK_EVERY = 5.0
# Seconds a wake-up waits at most: until it expires, and until a working worker has discarded it.
STALLED_AFTER = EXPIRES + 10.0
# Any code but 0, which makes supervisors restart the worker.
EXIT_CODE = 70


@dataclass(slots=True)
class Consumer:
    """Decides whether a worker is stalled. Times are of a monotonic clock, in seconds.

    Attributes:
        last: when the worker last received a wake-up, was busy, or started.
    """

    last: float
    lock: threading.Lock = field(default_factory=threading.Lock)

    def active(self, now: float) -> None:
        """Record that a wake-up was received, or is being handled."""
        with self.lock:
            self.last = now

    def stalled(self, now: float, oldest: float) -> bool:
        """Whether the worker has been idle for too long although the oldest wake-up has waited `oldest` seconds."""
        with self.lock:
            return oldest >= STALLED_AFTER and now - self.last >= STALLED_AFTER


def watch(queue: Queue, wakeups: Wakeups, heartbeat: Heartbeat, end: Callable[[int], object] = os._exit) -> None:
    """Watch this worker until it ends, in a separate thread."""
    consumer = Consumer(time.monotonic())

    def received(**_: Any) -> None:
        consumer.active(time.monotonic())

    def run() -> None:
        while True:
            heartbeat.beat()
            time.sleep(LOOK_EVERY)
            if state.active_requests:
                consumer.active(time.monotonic())
            elif consumer.stalled(time.monotonic(), wakeups.oldest_age(queue)):
                log.critical("worker.stalled", queue=str(queue))
                end(EXIT_CODE)

    signals.task_received.connect(received, weak=False)
    threading.Thread(target=run, name="watchdog", daemon=True).start()
