"""No event is missed when the clock is set back, or forward again, and the ledger is lost after that."""

from __future__ import annotations

import pytest

from ingest.errors import StoreUnavailableError
from ingest.ports.schedule import ClockStep
from ingest.usecases.recover.watermark import SKEW
from tests.support.bench import Bench, bench, mail, never

HOUR = 3_600.0


def test_clock_that_was_forward_while_no_scheduler_ran_delays_no_poll_and_no_message() -> None:
    with bench() as b:
        deliver(b, "first")
        b.ticker.tick(b.schedule())
        b.clock.time += 24 * HOUR
        b.everything_without_tick()
        b.clock.time -= 24 * HOUR
        deliver(b, "second")
        b.ticker.tick(b.schedule())
        b.clock.time += 61
        b.everything_without_tick()
        assert [event["data"]["headers"]["subject"] for event in b.published()] == ["first", "second"]


def deliver(b: Bench, *subjects: str) -> None:
    b.maildrops["a"].messages |= {subject.encode(): mail(subject) for subject in subjects}


def work(b: Bench) -> None:
    """Poll and process; nothing is delivered."""
    b.poll_all()
    b.process_stage.run(never)


def write_watermark(b: Bench) -> None:
    assert b.watermark.write(["a"], ["main"], b.clock.time)


def step(b: Bench, seconds: float) -> None:
    b.ticker.tick(b.schedule())
    b.clock.time += seconds
    b.ticker.tick(b.schedule())


def lose_and_deliver(b: Bench) -> set[str]:
    b.ledger.lose()
    b.everything()
    b.everything()
    return {event["data"]["headers"]["subject"] for event in b.published()}


def test_event_written_after_the_clock_was_set_back_survives_when_no_relay_works() -> None:
    with bench() as b:
        b.everything()
        write_watermark(b)
        step(b, -HOUR)
        deliver(b, "new")
        work(b)
        step(b, HOUR)
        assert lose_and_deliver(b) == {"new"}


def test_event_survives_whose_position_is_later_than_its_manifest() -> None:
    """The stream's positions only grow, so they stand while the clock has not caught up."""
    with bench() as b:
        deliver(b, "old")
        work(b)
        step(b, -HOUR)
        b.everything()
        deliver(b, "new")
        work(b)
        step(b, HOUR + 2 * SKEW)
        write_watermark(b)
        assert lose_and_deliver(b) >= {"new"}


def test_event_survives_whose_message_was_seen_before_the_clock_was_set_back() -> None:
    with bench() as b:
        deliver(b, "new")
        b.poll_all()
        step(b, -HOUR)
        (claim,) = b.ledger.messages.claim(1, 60.0)
        message = b.ledger.begin(claim)
        assert message is not None
        b.process_stage.processor.process(message)  # and is killed before it completes it
        step(b, HOUR + 2 * SKEW)
        write_watermark(b)
        assert lose_and_deliver(b) == {"new"}


def test_watermark_is_exact_once_the_clock_has_caught_up() -> None:
    with bench() as b:
        step(b, -HOUR)
        b.clock.time += HOUR + SKEW + 1
        b.everything()
        deliver(b, "new")
        work(b)
        appended = b.clock.time
        b.clock.time += HOUR
        write_watermark(b)
        assert b.watermark.read() == pytest.approx(appended - SKEW, abs=1)


def test_watermark_is_written_although_the_clock_was_set_back() -> None:
    with bench() as b:
        b.everything()
        b.watermark.write_if_due(["a"], ["main"], b.clock.time)
        b.clock.time -= HOUR
        b.watermark.write_if_due(["a"], ["main"], b.clock.time)
        assert b.watermark.read() == b.clock.time - SKEW


def test_watermark_is_lowered_as_soon_as_the_store_is_available() -> None:
    with bench() as b:
        b.everything()
        write_watermark(b)

        def fault(operation: str, key: str) -> None:
            raise StoreUnavailableError("busy")

        b.store.fault = fault
        step(b, -HOUR)
        back_to, b.store.fault = b.clock.time, None
        b.ticker.tick(b.schedule())
        b.clock.time += 2 * HOUR
        assert b.watermark.read() == back_to - SKEW


def test_watermark_that_was_being_written_while_the_clock_was_set_back_is_lowered() -> None:
    with bench() as b:
        b.everything()
        b.ticker.tick(b.schedule())

        def fault(operation: str, key: str) -> None:
            if operation == "put":
                b.store.fault = None
                b.clock.time -= HOUR
                b.ledger.record_tick()

        b.store.fault = fault
        write_watermark(b)
        back_to = b.clock.time
        b.clock.time += 2 * HOUR
        assert b.watermark.read() == back_to - SKEW


def test_two_steps_are_one_period() -> None:
    with bench() as b:
        began = b.clock.time
        step(b, -HOUR)
        step(b, HOUR / 2)
        step(b, -HOUR)
        assert b.ledger.clock_step() == ClockStep(began - 1.5 * HOUR, began)
