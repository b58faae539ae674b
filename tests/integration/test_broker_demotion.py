"""Celery at a Redis primary that was demoted and keeps its connections: all leave it for the new one."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ReadOnlyError

from ingest.adapters.ledger.address import broker
from ingest.ports.wakeups import Queue
from tests.support.proxy import DelayProxy
from tests.support.service import write_config
from tests.support.valkey import Valkey
from tests.support.waiting import PATIENCE, eventually
from workers.app import make_app
from workers.wakeups import QUIET, CeleryWakeups

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Valkey]:
    (folder := tmp_path / "other").mkdir()
    with Valkey(folder) as server:
        yield server


@contextmanager
def wakeups_over(port: int) -> Iterator[CeleryWakeups]:
    clock = iter(range(1, 10**6))
    with closing(make_app(broker(f"redis://127.0.0.1:{port}/0"))) as app:
        yield CeleryWakeups(app, lambda: next(clock) * 2 * QUIET)


def demote(server: Valkey, primary: Valkey) -> None:
    """Make `server` a replica of `primary`; returns when it rejects writes."""
    with closing(server.client()) as client:
        client.replicaof("127.0.0.1", str(primary.port))
        with pytest.raises(ReadOnlyError):
            client.set("a", "b")


def test_wakeups_go_to_the_new_primary(tmp_path: Path, other: Valkey) -> None:
    with Valkey(tmp_path) as first, DelayProxy(first.port, 0) as line, wakeups_over(line.port) as wakeups:
        wakeups.send(Queue.POLL)
        demote(first, other)
        line.lead_to(other.port)
        for _ in range(2):  # the first finds it out
            wakeups.send(Queue.POLL)
        with closing(other.client()) as client:
            assert client.llen("mailhaul.poll") == 1


@pytest.mark.parametrize("role", Queue)
def test_worker_goes_to_the_new_primary(role: Queue, tmp_path: Path, other: Valkey, valkey: Valkey) -> None:
    valkey.flush()
    log = tmp_path / "worker.log"
    with Valkey(tmp_path) as first, DelayProxy(first.port, 0) as line, wakeups_over(other.port) as wakeups:
        at = f"redis://127.0.0.1:{line.port}/0"
        config = write_config(tmp_path, [], ledger=valkey.url, broker=at, sinks=[], workers={"processes": 1})
        with log.open("wb") as output:
            arguments = [sys.executable, "-m", "ingest.cli", "worker", role, "--config", str(config)]
            worker = subprocess.Popen(arguments, stdout=output, stderr=output)
        try:
            with closing(first.client()) as client, wakeups_over(first.port) as before:
                before.send(role)
                eventually(lambda: worker.poll() is not None or client.llen(f"mailhaul.{role}") == 0, log.read_text)
            assert worker.poll() is None, log.read_text()
            demote(first, other)
            # It finds no primary for a while: the address still points to the old one.
            eventually(lambda: worker.poll() is not None or "Cannot connect" in log.read_text(), log.read_text)
            line.lead_to(other.port)
            with closing(other.client()) as client:
                wakeups.send(role)
                eventually(lambda: worker.poll() is not None or client.llen(f"mailhaul.{role}") == 0, log.read_text)
            assert worker.poll() is None, log.read_text()
        finally:
            worker.terminate()
            worker.wait(PATIENCE)


def test_broker_that_disappears_between_two_questions_has_no_wakeups(tmp_path: Path) -> None:
    with Valkey(tmp_path) as server, wakeups_over(server.port) as wakeups:
        wakeups.send(Queue.POLL)
        assert wakeups.waiting(Queue.POLL) == 1
        server.stop()
        assert (wakeups.oldest_age(Queue.POLL), wakeups.waiting(Queue.POLL)) == (0.0, 0)
