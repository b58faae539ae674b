"""The deliver stage: every sink receives every event, in order, at its own pace."""

from __future__ import annotations

import pytest

from ingest.admin.sinks import SinkAdmin, disabled
from ingest.domain.retry import REDELIVERY_ATTEMPTS
from ingest.errors import ConfigError
from ingest.ports.sink import Outcome, Verdict
from ingest.testing.sink import MemorySink
from tests.support.bench import Bench, bench, mail, never


def filled(b: Bench, count: int) -> None:
    """Put the events of processed messages into the stream, and deliver none."""
    b.maildrops["a"].messages = {f"u{n}".encode(): mail(str(n)) for n in range(count)}
    b.poll_all()
    b.process_stage.run(never)


def test_unavailable_sink_delays_no_other_and_receives_everything_later() -> None:
    with bench() as b:
        b.sinks["other"] = MemorySink("other")
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.UNAVAILABLE, "http_503")
        filled(b, 5)
        b.relay_stage.run(never)
        assert len(b.sinks["other"].delivered) == 5
        assert b.sinks["main"].delivered == []
        assert b.events.lag("main").entries == 5
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED)
        b.relay_stage.run(never)
        assert b.sinks["main"].delivered == [], "it is backing off"
        b.clock.time += 10
        b.relay_stage.run(never)
        assert [event.id for event in b.sinks["main"].delivered] == [event.id for event in b.sinks["other"].delivered]
        assert b.events.lag("main").entries == 0


def test_pauses_for_an_unavailable_sink_grow() -> None:
    with bench() as b:
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.UNAVAILABLE, "connect")
        filled(b, 1)
        tried = 0
        for _ in range(600):
            tried += len(b.relay_stage.run(never))
            b.clock.time += 1
        assert 5 < tried < 20


def test_sink_is_not_tried_before_the_time_that_it_named() -> None:
    with bench() as b:
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.UNAVAILABLE, "http_429", retry_after=600.0)
        filled(b, 1)
        b.relay_stage.run(never)
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED)
        b.clock.time += 599
        b.relay_stage.run(never)
        assert b.sinks["main"].delivered == []
        b.clock.time += 2
        b.relay_stage.run(never)
        assert len(b.sinks["main"].delivered) == 1


def test_sink_that_is_unavailable_for_a_week_is_tried_every_few_minutes_and_loses_nothing() -> None:
    week = 7 * 86_400
    with bench() as b:
        b.sinks["main"].unavailable = True
        filled(b, 3)
        began, tried, longest, last = b.clock.time, 0, 0.0, b.clock.time
        while b.clock.time < began + week:
            if b.relay_stage.run(never):
                tried, longest, last = tried + 1, max(longest, b.clock.time - last), b.clock.time
            b.clock.time += 60
        assert week / 400 < tried < week / 200
        assert longest < 400
        assert b.ledger.counts()["dead_letters"] == 0
        b.sinks["main"].unavailable = False
        b.clock.time += 400
        b.relay_stage.run(never)
        assert len(b.sinks["main"].delivered) == 3
        assert b.events.lag("main").entries == 0


def test_sink_that_answered_410_gets_nothing_until_it_is_resumed() -> None:
    with bench() as b:
        b.sinks["other"] = MemorySink("other")
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.GONE, "http_410")
        filled(b, 3)
        b.relay_stage.run(never)
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED)
        assert disabled(b.ledger.sinks, b.sinks) == ["main"]
        for _ in range(100):
            b.clock.time += 86_400
            b.relay_stage.run(never)
        assert b.sinks["main"].delivered == []
        assert b.events.lag("main").entries == len(b.sinks["other"].delivered) == 3
        assert SinkAdmin(b.ledger.sinks, b.events, b.sinks).resume(["main"]) == ["main"]
        assert disabled(b.ledger.sinks, b.sinks) == []
        b.relay_stage.run(never)
        assert len(b.sinks["main"].delivered) == 3


def test_rejected_event_survives_a_disabled_sink() -> None:
    """A sink that answers 410 does not judge the event, so these attempts do not count."""
    with bench() as b:
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.REJECTED, "http_422")
        filled(b, 1)
        b.relay_stage.run(never)
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.GONE, "http_410")
        for _ in range(REDELIVERY_ATTEMPTS + 5):
            b.clock.time += 7200
            SinkAdmin(b.ledger.sinks, b.events, b.sinks).resume(["main"])
            b.relay_stage.run(never)
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED)
        b.clock.time += 7200
        SinkAdmin(b.ledger.sinks, b.events, b.sinks).resume(["main"])
        b.relay_stage.run(never)
        assert len(b.sinks["main"].delivered) == 1


def test_only_configured_sinks_can_be_resumed() -> None:
    with bench() as b:
        with pytest.raises(ConfigError, match="there is no sink nowhere"):
            SinkAdmin(b.ledger.sinks, b.events, b.sinks).resume(["main", "nowhere"])
        assert disabled(b.ledger.sinks, ["nowhere"]) == []


def test_rejected_event_is_retried_and_the_others_pass() -> None:
    with bench() as b:
        filled(b, 3)
        poison = b.events.read("main", 10)[1].event.id
        b.sinks["main"].verdict = lambda event: (
            Outcome(Verdict.REJECTED, "http_400") if event.id == poison else Outcome(Verdict.DELIVERED)
        )
        b.relay_stage.run(never)
        assert len(b.sinks["main"].delivered) == 2
        assert b.ledger.counts()["dead_letters"] == 1
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED)
        b.clock.time += 60
        b.relay_stage.run(never)
        assert poison in {event.id for event in b.sinks["main"].delivered}
        assert b.ledger.counts()["dead_letters"] == 0


def test_rejected_event_is_retried_then_dead_lettered() -> None:
    with bench() as b:
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.REJECTED, "http_422")
        filled(b, 1)
        for _ in range(REDELIVERY_ATTEMPTS + 5):
            b.relay_stage.run(never)
            b.clock.time += 2 * 3600
        (rejected,) = b.events.rejected("main", 10)
        assert not rejected.retrying
        assert b.ledger.counts()["dead_letters"] == 1


def test_sink_that_only_newer_processes_know_is_left_to_them() -> None:
    """During a rolling restart an old relay must not remove a new sink from the schedule."""
    with bench() as b:
        b.ledger.sinks.add(["new"])
        filled(b, 1)
        b.ledger.sinks.add(["new"])
        b.relay_stage.run(never)
        assert "new" in b.ledger.sinks.members()
        assert len(b.sinks["main"].delivered) == 1


def test_relay_that_died_after_delivery_repeats_the_event_with_the_same_id() -> None:
    with bench() as b:
        filled(b, 1)
        (entry,) = b.events.read("main", 10)
        b.sinks["main"].deliver([entry.event])  # and died before the acknowledgement
        b.relay_stage.run(never)
        assert len({event.id for event in b.sinks["main"].delivered}) == 1
        assert len(b.sinks["main"].delivered) == 2


def batches(count: int, seconds: float) -> list[int]:
    """The batch sizes for a sink that takes this many seconds per event."""
    with bench() as b:
        sizes = [0]

        def accept(_: object) -> Outcome:
            b.clock.time += seconds
            sizes[-1] += 1
            return Outcome(Verdict.DELIVERED)

        def between() -> bool:
            sizes.append(0)
            return False

        b.sinks["main"].verdict = accept
        filled(b, count)
        b.relay_stage.run(between)
        return [size for size in sizes if size]


def test_slow_sink_gets_small_batches_so_that_a_relay_can_stop_soon() -> None:
    assert batches(60, 8.0) == [10, 5, 2] + [1] * 43


def test_fast_sink_gets_large_batches() -> None:
    assert batches(300, 0.0) == [10, 20, 40, 80, 100, 50]
