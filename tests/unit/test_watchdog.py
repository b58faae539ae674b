"""A worker is deaf when it is idle, hears nothing, and hints that it should have taken are growing old."""

from __future__ import annotations

from ingest.ports.hints import NoHints, Queue
from tests.support.waiting import eventually
from workers.pages import SILENT_FOR, Pulse
from workers.watchdog import DEAF_AFTER, Hearing, watch


def test_an_idle_worker_with_nothing_to_hear_is_not_deaf() -> None:
    assert not Hearing(0.0).deaf(10**6, oldest=0.0)


def test_a_worker_that_has_heard_something_lately_is_not_deaf() -> None:
    hearing = Hearing(0.0)
    hearing.heard(1000.0)
    assert not hearing.deaf(1000.0 + DEAF_AFTER - 1, oldest=10**6)


def test_a_worker_that_has_just_begun_is_not_deaf() -> None:
    """Hints may have waited for it."""
    assert not Hearing(500.0).deaf(501.0, oldest=10**6)


def test_old_hints_beside_a_worker_that_hears_nothing_mean_that_it_is_deaf() -> None:
    assert Hearing(0.0).deaf(DEAF_AFTER, oldest=DEAF_AFTER)


def test_a_worker_whose_broker_is_away_has_a_pulse() -> None:
    """There is nothing to hear then, and to end it would help nobody."""
    clock = Clock()
    pulse, ended = Pulse(clock), list[int]()
    clock.time += SILENT_FOR
    watch(Queue.POLL, NoHints(), pulse, ended.append)
    eventually(pulse.alive, 10, "its heart beats")
    assert ended == []


class Clock:
    time = 1000.0

    def __call__(self) -> float:
        return self.time
