"""What each process serves over HTTP: its metrics, and `/livez`, which says whether it still does its work."""

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
# Hearts beat every few seconds; one that was starved by its neighbours may be late.
SILENT_FOR = 30.0


class Heartbeat:
    """When a process last showed that it goes on; a new one has just done so. For any number of threads.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    def beat(self) -> None:
        """It goes on."""
        self._last = self._clock()

    def alive(self) -> bool:
        """Whether that was within 30 seconds."""
        return self._clock() - self._last < SILENT_FOR


@contextmanager
def serving(config: Config, registry: CollectorRegistry, heartbeat: Heartbeat | None = None) -> Iterator[None]:
    """Serve for the length of a `with` block.

    Args:
        config: says where.
        registry: of the metrics.
        heartbeat: of the process; without one, that it answers is all there is to know.

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
