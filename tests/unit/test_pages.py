"""The HTTP pages of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import urllib3
from prometheus_client import CollectorRegistry, Counter

from ingest.cli.health import problem
from ingest.config import Config, ConfigSource
from ingest.errors import StoreUnavailableError
from tests.support.clock import Clock
from tests.support.servers import free_port
from workers.pages import SILENT_FOR, Heartbeat, serving
from workers.readiness import Readiness

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mailhaul.yaml"
    path.write_text(f"store: file:///s\nledger: embedded\nmetrics: {{address: 0.0.0.0, port: {free_port()}}}\n")
    return path


def read(path: Path) -> Config:
    return ConfigSource(path, {}).current()


def got(config: Config, page: str) -> tuple[int, bytes]:
    with urllib3.PoolManager(retries=False) as pool:
        answer = pool.request("GET", f"http://127.0.0.1:{config.metrics.port}{page}")
    return answer.status, answer.data


def test_metrics_and_livez_share_one_port(path: Path) -> None:
    registry = CollectorRegistry()
    Counter("hauled", "How much", registry=registry).inc(3)
    config = read(path)
    with serving(config, registry, Heartbeat()):
        assert got(config, "/livez") == (200, b"alive\n")
        status, page = got(config, "/metrics")
    assert status == 200
    assert b"hauled_total 3.0" in page


def test_livez_fails_while_the_heartbeat_is_missing(path: Path) -> None:
    clock = Clock()
    heartbeat = Heartbeat(clock)
    with serving(read(path), CollectorRegistry(), heartbeat):
        clock.time += SILENT_FOR - 1
        assert problem(path) is None
        clock.time += 1
        assert "no progress" in (problem(path) or "")
        assert got(read(path), "/livez")[0] == 503
        heartbeat.beat()
        assert problem(path) is None


def test_process_without_a_heartbeat_is_alive_while_it_answers(path: Path) -> None:
    with serving(read(path), CollectorRegistry()):
        assert problem(path) is None


def test_unusable_port_is_reported(path: Path) -> None:
    assert f":{read(path).metrics.port}/livez" in (problem(path) or "")


def test_readyz_fails_until_everything_was_reached(path: Path) -> None:
    failing = [True]

    def store() -> None:
        if failing[0]:
            raise StoreUnavailableError

    readiness, clock = Readiness({"store": store}), Clock()
    with serving(read(path), CollectorRegistry(), Heartbeat(clock), readiness):
        readiness.look("store")
        status, text = got(read(path), "/readyz")
        assert (status, got(read(path), "/livez")[0]) == (503, 200)
        assert b"store (store_unavailable)" in text
        assert "store (store_unavailable)" in (problem(path, ready=True) or "")
        failing[0] = False
        readiness.look("store")
        assert got(read(path), "/readyz") == (200, b"ready\n")
        assert problem(path, ready=True) is None
        clock.time += SILENT_FOR
        assert got(read(path), "/readyz")[0] == 503
