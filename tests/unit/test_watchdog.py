"""A worker is stalled if it is idle and receives nothing although old wake-ups wait in its queue."""

from __future__ import annotations

from ingest.ports.wakeups import NoWakeups, Queue
from tests.support.clock import Clock
from tests.support.waiting import eventually
from workers.pages import SILENT_FOR, Heartbeat
from workers.watchdog import STALLED_AFTER, Consumer, watch


def test_idle_worker_without_waiting_wakeups_is_not_stalled() -> None:
    assert not Consumer(0.0).stalled(10**6, oldest=0.0)


def test_worker_that_received_a_wakeup_lately_is_not_stalled() -> None:
    consumer = Consumer(0.0)
    consumer.active(1000.0)
    assert not consumer.stalled(1000.0 + STALLED_AFTER - 1, oldest=10**6)


def test_worker_that_has_just_started_is_not_stalled() -> None:
    """Wake-ups may have been waiting for it."""
    assert not Consumer(500.0).stalled(501.0, oldest=10**6)


def test_idle_worker_with_old_waiting_wakeups_is_stalled() -> None:
    assert Consumer(0.0).stalled(STALLED_AFTER, oldest=STALLED_AFTER)


def test_worker_with_an_unavailable_broker_has_a_heartbeat() -> None:
    """There is nothing to receive then, and restarting it would not help."""
    clock = Clock()
    heartbeat, ended = Heartbeat(clock), list[int]()
    clock.time += SILENT_FOR
    watch(Queue.POLL, NoWakeups(), heartbeat, ended.append)
    eventually(heartbeat.alive, "there is no heartbeat")
    assert ended == []
