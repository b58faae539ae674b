"""The consumer of a worker, as Celery's but for its pause between connections."""

from __future__ import annotations

import time

from celery.worker.consumer import Consumer as CeleryConsumer
from typing_extensions import override

# Seconds.
PAUSE = 1.0


class Consumer(CeleryConsumer):
    """Waits before it connects again to a broker that can be reached, but rejects commands.

    A Redis primary that was demoted does so until the address points elsewhere. Celery would try without a pause.
    """

    @override
    def on_connection_error_before_connected(self, exc: Exception) -> None:
        super().on_connection_error_before_connected(exc)
        time.sleep(PAUSE)
