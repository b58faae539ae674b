"""The helper for a real Prometheus: targets are scraped, and values come back with their labels."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from tests.support.servers import free_port
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.prometheus import Prometheus

pytestmark = pytest.mark.prometheus


def test_scraped_values_keep_their_labels(
    prometheus_for: Callable[[Sequence[str]], Prometheus],
) -> None:
    registry = CollectorRegistry()
    gauge = Gauge("depth", "How deep", ["well"], registry=registry)
    gauge.labels("old").set(12.5)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        target = f"127.0.0.1:{server.server_port}"
        prometheus = prometheus_for([target])
        prometheus.wait_until_up()
        (sample,) = prometheus.query("depth")
        assert sample.value == 12.5
        assert sample.labels == {"__name__": "depth", "well": "old", "instance": target, "job": "test"}
        gauge.labels("old").set(13)
        eventually(lambda: prometheus.query("depth == 13"), lambda: prometheus.query("depth"))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_unavailable_target_is_down(prometheus_for: Callable[[Sequence[str]], Prometheus]) -> None:
    prometheus = prometheus_for([f"127.0.0.1:{free_port()}"])
    eventually(lambda: prometheus.query("up == 0"))
    with pytest.raises(AssertionError, match="not within"):
        prometheus.wait_until_up(timeout=0.1)


def test_stop_ends_the_process(prometheus_for: Callable[[Sequence[str]], Prometheus]) -> None:
    prometheus = prometheus_for([])
    prometheus.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", prometheus.port), timeout=PATIENCE)
