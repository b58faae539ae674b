"""The HTTP pages of each process: its metrics, and `/livez`, which tells whether the process still works."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import start_http_server

from ingest.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client import CollectorRegistry

    from ingest.config import Config

ALIVE = "/livez"
# Seconds without a heartbeat after which a process is not alive. Heartbeats come every few seconds, later on a busy
# machine.
SILENT_FOR = 30.0


class Heartbeat:
    """When a process last showed that it works; creation counts. Safe to use from several threads.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    def beat(self) -> None:
        """Record that the process works."""
        self._last = self._clock()

    def alive(self) -> bool:
        """Whether the last beat was within 30 seconds."""
        return self._clock() - self._last < SILENT_FOR


@contextmanager
def serving(config: Config, registry: CollectorRegistry, heartbeat: Heartbeat | None = None) -> Iterator[None]:
    """Serve the pages until the `with` block ends.

    Args:
        config: has address and port.
        registry: the metrics.
        heartbeat: of the process; without one, the process is alive while it answers.

    Raises:
        StartError: the port is taken.
    """
    address, port = config.metrics.address, config.metrics.port
    try:
        server, thread = start_http_server(port, address, registry)
    except OSError as error:
        raise StartError(
            f"metrics cannot be served on {address}:{port} ({error.strerror}); set metrics.port, or the variable "
            "MAILHAUL_METRICS__PORT, to a free port"
        ) from error
    metrics = server.get_app()
    assert metrics is not None
    server.set_app(_with_livez(metrics, heartbeat))
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _with_livez(metrics: WSGIApplication, heartbeat: Heartbeat | None) -> WSGIApplication:
    def application(environ: WSGIEnvironment, respond: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != ALIVE:
            return metrics(environ, respond)
        alive = heartbeat is None or heartbeat.alive()
        respond("200 OK" if alive else "503 Service Unavailable", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"alive\n" if alive else b"silent for too long\n"]

    return application
