"""The Celery edge on a real broker: wakeups that expire and stay few, and an exporter that outlives its ledger."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ingest.adapters.ledger import connect
from ingest.adapters.ledger.address import broker
from ingest.config import ConfigSource
from ingest.metrics import Metrics
from ingest.ports.status import SinkStatus
from ingest.ports.wakeups import NoWakeups, Queue
from ingest.wiring.build import build
from tests.support.clock import Clock
from tests.support.servers import free_port
from tests.support.service import write_config
from tests.support.waiting import PATIENCE, eventually
from workers.app import make_app
from workers.exporter import SystemCollector
from workers.stopping import StopFlag
from workers.wakeups import EXPIRES, QUIET, QUIET_RELAY, CeleryWakeups
from workers.watchdog import EXIT_CODE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from celery import Celery

    from tests.support.valkey import Valkey


@pytest.fixture
def app(valkey: Valkey) -> Iterator[Celery]:
    valkey.flush()
    made = make_app(broker(valkey.url))
    yield made
    made.close()


def test_wakeups_wait_in_their_queue_and_know_their_age(app: Celery) -> None:
    clock = Clock()
    wakeups = CeleryWakeups(app, clock)
    assert (wakeups.waiting(Queue.POLL), wakeups.oldest_age(Queue.POLL)) == (0, 0.0)
    wakeups.send(Queue.POLL, 3)
    clock.time += 5
    assert (wakeups.waiting(Queue.POLL), wakeups.oldest_age(Queue.POLL)) == (3, 5.0)
    assert wakeups.waiting(Queue.PROCESS) == 0


def test_frequent_commits_send_few_wakeups(app: Celery) -> None:
    clock = Clock()
    wakeups = CeleryWakeups(app, clock)
    for _ in range(10):
        wakeups.send(Queue.PROCESS)
    clock.time += 2 * QUIET
    wakeups.send(Queue.PROCESS)
    assert wakeups.waiting(Queue.PROCESS) == 2


def test_relay_is_woken_seldom_because_it_listens(app: Celery) -> None:
    clock = Clock()
    wakeups = CeleryWakeups(app, clock)
    wakeups.send(Queue.RELAY)
    clock.time += QUIET_RELAY * 0.9
    wakeups.send(Queue.RELAY)
    assert wakeups.waiting(Queue.RELAY) == 1
    clock.time += QUIET_RELAY * 0.2
    wakeups.send(Queue.RELAY)
    assert wakeups.waiting(Queue.RELAY) == 2


def test_a_wakeup_expires(app: Celery, valkey: Valkey) -> None:
    """Otherwise wake-ups would pile up while no worker runs, all of them useless when one is back."""
    CeleryWakeups(app).send(Queue.POLL)
    (message,) = valkey.client().lrange("mailhaul.poll", 0, -1)
    assert b'"expires": "' in message
    assert EXPIRES < 60


def test_unavailable_broker_loses_only_wakeups() -> None:
    app = make_app(broker(f"redis://127.0.0.1:{free_port()}/0"))
    wakeups = CeleryWakeups(app)
    wakeups.send(Queue.POLL)
    assert wakeups.waiting(Queue.POLL) == 0
    app.close()


def exported(tmp_path: Path, ledger: str, more: str = "") -> str:
    config = tmp_path / "mailhaul.yaml"
    config.write_text(
        f"store: file://{tmp_path}/store\nledger: {ledger}\n"
        "mailboxes:\n  - {id: a, host: pop.example.org, enabled: false,\n"
        f"     auth: {{type: password, username: a, password: env:A}}}}\n{more}"
    )
    source = ConfigSource(config, {})
    runtime = build(source, ledger, Metrics(), NoWakeups())
    registry = CollectorRegistry()
    registry.register(SystemCollector(runtime, source))
    page = generate_latest(registry).decode()
    runtime.close()
    return page


def test_exporter_shows_the_system(tmp_path: Path, valkey: Valkey) -> None:
    valkey.flush()
    page = exported(tmp_path, valkey.url)
    for line in (
        "mailhaul_ledger_up 1.0",
        'mailhaul_mailbox_enabled{mailbox="a"} 0.0',
        'mailhaul_pending_messages{stage="process"} 0.0',
        'mailhaul_queue_wakeups{queue="relay"} 0.0',
    ):
        assert line in page.splitlines()


def test_exporter_names_the_reason_of_an_unavailable_sink(tmp_path: Path, valkey: Valkey) -> None:
    valkey.flush()
    ledger, events = connect(valkey.url)
    with closing(ledger):
        events.put_sink_status("jsonl", SinkStatus(failing_since=1.0, answer="disk_full"))
        sink = f"sinks: [{{type: jsonl, path: {tmp_path}/events.jsonl}}]\n"
        line = 'mailhaul_sink_unavailable{reason="disk_full",sink="jsonl"} 1.0'
        assert line in exported(tmp_path, valkey.url, sink).splitlines()
        events.put_sink_status("jsonl", SinkStatus(delivered_at=2.0))
        assert "mailhaul_sink_unavailable{" not in exported(tmp_path, valkey.url, sink)


def test_exporter_reports_an_unavailable_ledger(tmp_path: Path) -> None:
    page = exported(tmp_path, f"redis://127.0.0.1:{free_port()}/0")
    assert "mailhaul_ledger_up 0.0" in page.splitlines()
    assert "mailhaul_build_info" in page
    assert "mailhaul_pending_messages{" not in page


def test_stop_flag_is_seen_at_once_and_has_a_time_limit() -> None:
    flag = StopFlag()
    endless, over = flag.within(3600), flag.within(0)
    assert (endless(), over()) == (False, True)
    flag.set()
    eventually(endless)


def test_a_sink_added_to_the_file_reaches_the_schedule_with_the_next_start(tmp_path: Path, valkey: Valkey) -> None:
    """A scheduler that was started before may have noted the file's digest already, without the sink."""
    config = tmp_path / "mailhaul.yaml"
    config.write_text(f"store: file://{tmp_path}/store\nledger: {valkey.url}\n")
    source = ConfigSource(config, {})
    old = build(source, valkey.url, Metrics(), NoWakeups())
    config.write_text(config.read_text() + f"sinks: [{{type: jsonl, path: {tmp_path}/events.jsonl}}]\n")
    new = build(ConfigSource(config, {}), valkey.url, Metrics(), NoWakeups())
    eventually(lambda: source.current().sinks, "the file is not read again")
    assert list(new.schedule().sinks) == ["jsonl"]
    assert old.schedule().digest != new.schedule().digest
    old.close()
    new.close()


_STALLED = """
import sys
from celery import signals
from workers import watchdog, worker
from tests.support.clock import Clock

watchdog.LOOK_EVERY, watchdog.STALLED_AFTER = 0.1, 1.0
# As if the broker had been unavailable at the wrong moment: alive, connected, and taking nothing.
signals.worker_ready.connect(lambda sender, **_: sender.cancel_task_queue("mailhaul.relay"), weak=False)
worker.run_worker("relay", __import__("pathlib").Path(sys.argv[1]))
"""


@pytest.mark.parametrize(
    "script",
    [_STALLED, _STALLED.replace("sender.cancel_task_queue", "str").replace("0.1, 1.0", "0.1, 60.0")],
    ids=["stalled", "well"],
)
def test_stalled_worker_exits_and_a_healthy_one_does_not(
    script: str, tmp_path: Path, app: Celery, valkey: Valkey
) -> None:
    config = write_config(tmp_path, [], ledger=valkey.url, sinks=[])
    wakeups = CeleryWakeups(app)
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen([sys.executable, "-c", script, str(config)], stdout=log, stderr=log)
    try:
        if script is _STALLED:
            wakeups.send(Queue.RELAY)
            eventually(lambda: worker.poll() is not None, (tmp_path / "worker.log").read_text)
            assert worker.returncode == EXIT_CODE
            assert "worker.stalled" in (tmp_path / "worker.log").read_text()
        else:
            for _ in range(5):
                wakeups.send(Queue.RELAY)
                eventually(lambda: wakeups.waiting(Queue.RELAY) == 0, (tmp_path / "worker.log").read_text)
            assert worker.poll() is None
    finally:
        worker.terminate()
        worker.wait(PATIENCE)
