"""Wake-ups over Celery: small messages that expire, without results, ETA or priorities."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from kombu.exceptions import ChannelError, OperationalError
from structlog import get_logger
from typing_extensions import override

from ingest.errors import BrokerUnavailableError
from ingest.ports.wakeups import Queue, Wakeups
from workers.app import queue_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

log = get_logger()

# Seconds after which a wake-up expires; later ticks have sent others by then.
EXPIRES = 15.0
# Seconds between two wake-ups of one process for the same queue. A relay listens for longer after it was woken.
QUIET, QUIET_RELAY = 0.05, 2.0
SENT_AT = "mailhaul_sent_at"
_NO_SUCH_QUEUE = "404"


def task_name(queue: Queue) -> str:
    """Return the Celery name of the task that handles a queue's wake-ups."""
    return f"mailhaul.{queue}"


class CeleryWakeups(Wakeups):
    """Sends wake-ups through a Celery app. If the broker is unavailable, the next tick sends what was lost."""

    def __init__(self, app: Celery, clock: Callable[[], float] = time.time) -> None:
        self._app = app
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[Queue, float] = {}

    @override
    def send(self, queue: Queue, count: int = 1) -> None:
        """Send wake-ups; a second call for the same queue within 50 ms (relay: 2 s) is ignored."""
        with self._lock:
            now = self._clock()
            if now - self._last.get(queue, 0.0) < (QUIET_RELAY if queue is Queue.RELAY else QUIET):
                return
            self._last[queue] = now
        try:
            with self._app.producer_pool.acquire(block=True, timeout=1) as producer:
                for _ in range(count):
                    self._app.send_task(
                        task_name(queue),
                        queue=queue_name(self._app, queue),
                        expires=EXPIRES,
                        ignore_result=True,
                        retry=False,
                        headers={SENT_AT: now},
                        producer=producer,
                    )
        except (ChannelError, OperationalError, OSError) as error:
            log.warning("wakeup.not_sent", queue=str(queue), error=type(error).__name__)

    def try_broker(self) -> None:
        """Check that the broker answers.

        Raises:
            BrokerUnavailableError: it does not, or rejects commands.
        """
        queue = queue_name(self._app, Queue.POLL)
        try:
            self._asked(lambda channel: channel.queue_declare(queue, passive=True))
        except ChannelError as error:
            if str(error.reply_code) != _NO_SUCH_QUEUE:  # an answer too
                raise BrokerUnavailableError(str(error)) from error
        except (OperationalError, OSError) as error:
            raise BrokerUnavailableError(str(error)) from error

    @override
    def waiting(self, queue: Queue) -> int:
        """Return how many wake-ups wait in a queue; 0 if the broker does not answer or has no such queue yet."""
        return int(
            self._ask(
                lambda channel: channel.queue_declare(queue_name(self._app, queue), passive=True).message_count, 0
            )
        )

    @override
    def oldest_age(self, queue: Queue) -> float:
        """Return the age of the oldest wake-up in seconds; 0 if there is none, or the broker cannot tell."""
        return float(self._ask(lambda channel: self._age(channel, queue), 0.0))

    def _age(self, channel: Any, queue: Queue) -> float:
        if channel.connection.client.transport.driver_type != "redis":
            return 0.0
        raw = channel.client.lindex(queue_name(self._app, queue), -1)
        sent_at = json.loads(raw)["headers"].get(SENT_AT) if raw else None
        return max(0.0, self._clock() - sent_at) if sent_at else 0.0

    def _ask(self, question: Callable[[Any], Any], default: float) -> Any:
        """Ask a kombu channel, whose class depends on the broker; returns `default` if the broker does not answer."""
        try:
            return self._asked(question)
        except (ChannelError, OperationalError, OSError) as error:
            log.debug("broker.no_answer", error=type(error).__name__)
            return default

    def _asked(self, question: Callable[[Any], Any]) -> Any:
        """Ask a kombu channel.

        Raises:
            ChannelError: the broker has no such queue.
            OperationalError: it does not answer, or rejects commands.
            OSError: the same, from the operating system.
        """
        connections: Any = self._app.pool  # celery-types declares it as a pool of producers
        with connections.acquire(block=True, timeout=1) as connection:
            try:
                return question(connection.default_channel)
            except ChannelError:
                raise
            except (*connection.connection_errors, *connection.channel_errors) as error:
                # kombu translates errors of the broker's library when it connects, but not those of a command.
                raise OperationalError(type(error).__name__) from error
