"""A relay that was woken listens for further events, so that few wake-ups and few batches carry many events."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from typing_extensions import override

from ingest.domain.events import Event
from ingest.ports.sink import Outcome, Verdict
from ingest.testing import MemoryEventLog
from ingest.testing.sink import MemorySink
from ingest.usecases.deliver.delivery import FRESHNESS
from ingest.usecases.deliver.stage import GATHER, LISTEN
from tests.support.bench import Bench, bench, never
from workers.wakeups import QUIET_RELAY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.ports.eventlog import Answer, Entry
    from ingest.usecases.deliver.stage import RelayStage


def event(number: int) -> Event:
    return Event(f"e{number}", "dev.mailhaul.message.received.v1", "a", b"{}")


class ListeningLog(MemoryEventLog):
    """Events that come while somebody listens: one step for each wait. Counts what is asked of the ledger."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.coming: list[Callable[[], object]] = []
        self.asked: list[str] = []

    @override
    def wait(self, behind: str, seconds: float) -> bool:
        self.asked.append("wait")
        before = self.ids()[1]
        if self.coming:
            self.coming.pop(0)()
        return super().wait(behind or before or "0-0", seconds)

    @override
    def read(self, sink: str, limit: int) -> list[Entry]:
        self.asked.append("read")
        return super().read(sink, limit)

    @override
    def acknowledge(self, sink: str, positions: Sequence[str], answers: Sequence[Answer] = ()) -> None:
        self.asked.append("acknowledge")
        super().acknowledge(sink, positions, answers)


def listening(b: Bench, *coming: Callable[[], object]) -> tuple[RelayStage, ListeningLog]:
    """A relay, and its stream, in which these steps happen while it listens."""
    log = ListeningLog(b.clock)
    log.coming = list(coming)
    b.ledger.sinks.add(b.sinks)

    def sleep(seconds: float) -> None:
        b.clock.time += seconds

    return replace(b.relay_stage, events=log, sleep=sleep), log


def ids(b: Bench) -> list[str]:
    return [one.id for one in b.sinks["main"].delivered]


def test_events_that_come_while_a_relay_listens_need_no_further_wakeup() -> None:
    with bench() as b:
        relay, log = listening(b, lambda: log.append(event(2)), lambda: log.append(event(3)))
        log.append(event(1))
        relay.follow(never)
        assert ids(b) == ["e1", "e2", "e3"]
        assert log.lag("main").entries == 0


def test_relay_that_was_woken_for_nothing_listens_too() -> None:
    """The event of its wake-up may have been delivered, and the next wake-up left out because of it."""
    with bench() as b:
        relay, log = listening(b, lambda: log.append(event(1)))
        relay.follow(never)
        assert ids(b) == ["e1"]


def test_events_that_come_soon_after_another_are_delivered_together() -> None:
    with bench() as b:
        relay, log = listening(b)

        def sleep(seconds: float) -> None:
            if len(log.ids()[0]) == 1:
                for number in range(2, 7):
                    log.append(event(number))

        log.append(event(1))
        replace(relay, sleep=sleep).follow(never)
        assert ids(b) == [f"e{number}" for number in range(1, 7)]
        assert log.asked == ["read", "acknowledge", "wait", "read", "acknowledge", "wait"]


def test_a_batch_costs_one_read_and_one_acknowledgement() -> None:
    with bench() as b:
        relay, log = listening(b)
        for number in range(300):
            log.append(event(number))
        relay.run(never)
        assert len(ids(b)) == 300
        assert log.asked == ["read", "acknowledge"] * 6


def test_only_one_thread_of_a_process_listens() -> None:
    with bench() as b:
        relay, log = listening(b)
        other = threading.Thread(target=lambda: relay.follow(never))

        def listen_too() -> None:
            other.start()
            other.join()

        log.coming = [listen_too]
        log.append(event(1))
        relay.follow(never)
        assert log.asked.count("wait") == 1


def test_events_for_a_sink_that_is_paused_do_not_keep_a_relay_busy() -> None:
    with bench() as b:
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.UNAVAILABLE, "http_503")
        relay, log = listening(b, lambda: log.append(event(2)))
        log.append(event(1))
        relay.follow(never)
        assert log.asked.count("wait") == 1


def test_paused_sink_does_not_keep_a_relay_from_listening_for_another() -> None:
    with bench() as b:
        b.sinks["other"] = MemorySink("other")
        b.sinks["other"].unavailable = True
        relay, log = listening(b, lambda: log.append(event(2)))
        log.append(event(1))
        relay.follow(never)
        assert ids(b) == ["e1", "e2"]


def test_a_relay_that_is_to_stop_does_not_listen() -> None:
    with bench() as b:
        relay, log = listening(b)
        log.append(event(1))
        relay.follow(lambda: bool(ids(b)))
        assert ids(b) == ["e1"]
        assert "wait" not in log.asked


def test_a_relay_listens_for_longer_than_the_pause_between_two_wakeups() -> None:
    """Otherwise an event whose wake-up was left out would wait for the scheduler."""
    assert LISTEN > QUIET_RELAY + GATHER


def test_time_of_the_last_delivery_is_not_written_with_every_batch() -> None:
    with bench() as b:
        relay, log = listening(b)
        log.append(event(1))
        relay.run(never)
        first = log.sink_status("main").delivered_at
        for number in range(2, 5):
            b.clock.time += FRESHNESS / 4
            log.append(event(number))
            relay.run(never)
        assert log.sink_status("main").delivered_at == first
        b.clock.time += FRESHNESS
        log.append(event(9))
        relay.run(never)
        assert log.sink_status("main").delivered_at == pytest.approx(b.clock.time)
