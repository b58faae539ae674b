"""The HTTP pages of each process: its metrics, `/livez` and `/readyz`.

`/livez` tells whether the process still works, `/readyz` whether it has reached all that it needs since it started.
"""

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
    from workers.readiness import Readiness

ALIVE, READY = "/livez", "/readyz"
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
def serving(
    config: Config,
    registry: CollectorRegistry,
    heartbeat: Heartbeat | None = None,
    readiness: Readiness | None = None,
) -> Iterator[None]:
    """Serve the pages until the `with` block ends.

    Args:
        config: has address and port.
        registry: the metrics.
        heartbeat: of the process; without one, the process is alive while it answers.
        readiness: of the process; without one, the process is ready while it is alive.

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
    server.set_app(_with_probes(metrics, heartbeat, readiness))
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _with_probes(
    metrics: WSGIApplication, heartbeat: Heartbeat | None, readiness: Readiness | None
) -> WSGIApplication:
    def application(environ: WSGIEnvironment, respond: StartResponse) -> Iterable[bytes]:
        page = environ["PATH_INFO"]
        if page not in (ALIVE, READY):
            return metrics(environ, respond)
        good, text = heartbeat is None or heartbeat.alive(), "alive"
        if not good:
            text = "silent for too long"
        elif page == READY:
            good, text = (True, "ready") if readiness is None else (readiness.ready, readiness.report())
        respond("200 OK" if good else "503 Service Unavailable", [("Content-Type", "text/plain; charset=utf-8")])
        return [text.encode() + b"\n"]

    return application
