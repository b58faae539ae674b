"""The deliver stage: every sink receives every event, in order, at its own pace."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ingest.admin.sinks import SinkAdmin, disabled
from ingest.domain.retry import REDELIVERY_ATTEMPTS
from ingest.errors import ConfigError
from ingest.ports.sink import Outcome, Verdict
from ingest.ports.status import SinkStatus
from ingest.testing.sink import MemorySink
from ingest.usecases.deliver.delivery import (
    BATCH,
    FIRST_BATCH,
    PAUSED_REFUSALS,
    PAUSED_SECONDS,
    REFUSALS,
    RETRY_BATCH,
    ROUND_SECONDS,
)
from tests.support.bench import Bench, bench, mail, mailbox, never

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.domain.events import Event
    from ingest.ports.eventlog import Answer


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


def test_events_of_a_batch_are_counted_by_what_the_sink_made_of_each() -> None:
    verdicts = [Verdict.DELIVERED] * 3 + [Verdict.REJECTED, Verdict.SKIPPED]
    with bench() as b:
        filled(b, len(verdicts))
        b.sinks["main"].verdict = lambda _: Outcome(verdicts.pop())
        b.relay_stage.run(never)
        value = b.metrics.registry.get_sample_value
        counts = {
            verdict: value("mailhaul_events_published_total", {"sink": "main", "result": verdict})
            for verdict in ("delivered", "rejected", "skipped")
        }
        assert counts == {"delivered": 3, "rejected": 1, "skipped": 1}
        assert value("mailhaul_messages_total", {"result": "published"}) == 3
        assert value("mailhaul_end_to_end_latency_seconds_count") == 3


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
        filled(b, 1)
        b.ledger.sinks.add(["new"])
        (claim,) = (claim for claim in b.ledger.sinks.claim(2, 60) if claim.id == "new")
        assert b.relay_stage.handle(claim, never) is None
        assert "new" in b.ledger.sinks.members()
        assert (b.ledger.sinks.due_in("new") or 0) > 1


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


def refusing(*poison: str, seen: list[str] | None = None) -> Callable[[Event], Outcome]:
    """The verdict of a sink that answers 500 to certain events and takes all others."""

    def verdict(event: Event) -> Outcome:
        if seen is not None:
            seen.append(event.id)
        return Outcome(Verdict.UNAVAILABLE, "http_500") if event.id in poison else Outcome(Verdict.DELIVERED)

    return verdict


def run_for(b: Bench, seconds: int) -> None:
    """Run the relay once a second."""
    for _ in range(seconds):
        b.relay_stage.run(never)
        b.clock.time += 1


def test_event_that_the_sink_does_not_take_is_retried_apart_and_the_events_behind_it_pass() -> None:
    with bench() as b:
        filled(b, 30)
        events = [entry.event.id for entry in b.events.read("main", 100)]
        seen: list[str] = []
        b.sinks["main"].verdict = refusing(events[2], seen=seen)
        run_for(b, 9)
        assert [event.id for event in b.sinks["main"].delivered] == events[:2] + events[3:]
        assert seen.count(events[2]) == REFUSALS + 1
        (rejected,) = b.events.rejected("main", 10)
        assert rejected.retrying
        assert rejected.entry.event.id == events[2]


def test_event_at_which_the_code_of_a_sink_fails_is_retried_apart_and_the_others_pass() -> None:
    """As where no thread can be started, or a library raises what it does not document."""

    def fail_at_second(event: Event) -> Outcome:
        if b'"subject":"1"' in event.body:
            raise RuntimeError("can't start new thread")
        return Outcome(Verdict.DELIVERED)

    with bench() as b:
        b.sinks["main"].verdict = fail_at_second
        b.sinks["other"] = MemorySink("other")
        filled(b, 3)
        b.relay_stage.run(never)
        assert len(b.sinks["other"].delivered) == 3, "delayed by the sink before it"
        for _ in range(REFUSALS):
            b.clock.time += 400
            b.relay_stage.run(never)
        assert {event["data"]["headers"]["subject"] for event in b.published()} == {"0", "2"}
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED)
        b.clock.time += 100
        b.relay_stage.run(never)
        assert b.published()[-1]["data"]["headers"]["subject"] == "1"


def test_event_for_which_a_sink_always_asks_for_a_pause_is_retried_apart_too() -> None:
    with bench() as b:
        filled(b, 30)
        events = [entry.event.id for entry in b.events.read("main", 100)]
        seen: list[str] = []

        def verdict(event: Event) -> Outcome:
            seen.append(event.id)
            busy = Outcome(Verdict.UNAVAILABLE, "http_503", retry_after=30.0)
            return busy if event.id == events[2] else Outcome(Verdict.DELIVERED)

        b.sinks["main"].verdict = verdict
        run_for(b, int(PAUSED_SECONDS))
        assert PAUSED_REFUSALS <= seen.count(events[2]) <= PAUSED_SECONDS / 30 + 1, "the pauses are heeded"
        assert len(b.sinks["main"].delivered) == 2
        run_for(b, 600)
        assert sorted(event.id for event in b.sinks["main"].delivered) == sorted(events[:2] + events[3:])
        for number in range(REDELIVERY_ATTEMPTS + 5):
            b.events.append(replace(b.sinks["main"].delivered[0], id=f"new{number}"))
            b.clock.time += 2 * 3600
            run_for(b, 2)
        (rejected,) = b.events.rejected("main", 10)
        assert not rejected.retrying
        assert rejected.entry.event.id == events[2]


def test_sink_that_limits_the_rate_keeps_the_order_of_its_events() -> None:
    with bench() as b:
        filled(b, 30)
        events = [entry.event.id for entry in b.events.read("main", 100)]
        taken: list[float] = []

        def verdict(_: Event) -> Outcome:
            if sum(at > b.clock.time - 60 for at in taken) >= 3:
                return Outcome(Verdict.UNAVAILABLE, "http_429", retry_after=2.0)
            taken.append(b.clock.time)
            return Outcome(Verdict.DELIVERED)

        b.sinks["main"].verdict = verdict
        run_for(b, 7200)
        assert [event.id for event in b.sinks["main"].delivered] == events


def test_several_events_in_a_row_that_the_sink_does_not_take_are_retried_apart() -> None:
    with bench() as b:
        filled(b, 20)
        events = [entry.event.id for entry in b.events.read("main", 100)]
        b.sinks["main"].verdict = refusing(*events[:3])
        run_for(b, 300)
        assert {event.id for event in b.sinks["main"].delivered} == set(events[3:])
        assert {one.entry.event.id for one in b.events.rejected("main", 10)} == set(events[:3])


def test_event_that_the_sink_never_takes_is_dead_lettered_while_others_pass() -> None:
    with bench() as b:
        filled(b, 2)
        poison = b.events.read("main", 10)[0].event.id
        b.sinks["main"].verdict = refusing(poison)
        run_for(b, 9)
        for number in range(REDELIVERY_ATTEMPTS + 5):
            b.events.append(replace(b.sinks["main"].delivered[0], id=f"new{number}"))
            b.relay_stage.run(never)
            b.clock.time += 2 * 3600
        (rejected,) = b.events.rejected("main", 10)
        assert not rejected.retrying
        assert rejected.entry.event.id == poison


def test_sink_that_takes_nothing_for_a_week_keeps_the_order_of_its_events() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.UNAVAILABLE, "http_500")
        b.maildrops["b"].messages = {f"u{n}".encode(): mail(f"b{n}") for n in range(5)}
        filled(b, 5)
        for _ in range(7 * 24 * 12):
            b.relay_stage.run(never)
            b.clock.time += 300
        assert b.ledger.counts()["dead_letters"] == 0
        waiting = [entry.event.id for entry in b.events.read("main", 100)]
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED)
        b.clock.time += 400
        b.relay_stage.run(never)
        assert [event.id for event in b.sinks["main"].delivered] == waiting


def test_retries_do_not_count_while_the_sink_takes_nothing() -> None:
    with bench() as b:
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.REJECTED, "http_422")
        filled(b, 1)
        b.relay_stage.run(never)
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.UNAVAILABLE, "http_503")
        for _ in range(REDELIVERY_ATTEMPTS + 5):
            b.clock.time += 2 * 3600
            b.relay_stage.run(never)
        (rejected,) = b.events.rejected("main", 10)
        assert rejected.retrying


def test_events_of_other_mailboxes_are_tried_before_one_of_the_same_mailbox() -> None:
    """So the order of a mailbox is kept if its event is taken after all."""
    with bench(mailbox("a"), mailbox("b")) as b:
        filled(b, 3)
        b.maildrops["b"].messages = {b"u": mail("b")}
        b.poll_all()
        b.process_stage.run(never)
        events = [entry.event for entry in b.events.read("main", 100)]
        first = next(event for event in events if event.mailbox == "a")
        taken = len(events) - 1
        b.sinks["main"].verdict = lambda event: (
            Outcome(Verdict.UNAVAILABLE, "timeout")
            if event.id == first.id and len(b.sinks["main"].delivered) < 1
            else Outcome(Verdict.DELIVERED)
        )
        run_for(b, 9)
        of_a = [event.id for event in b.sinks["main"].delivered if event.mailbox == "a"]
        assert of_a == [event.id for event in events if event.mailbox == "a"]
        assert len(b.sinks["main"].delivered) == taken + 1


def test_event_of_another_mailbox_shows_whether_the_sink_works() -> None:
    """It stands behind all events of a mailbox whose first event the sink does not take."""
    with bench(mailbox("a"), mailbox("b")) as b:
        filled(b, 10)
        b.maildrops["b"].messages = {b"u": mail("b")}
        b.poll_all()
        b.process_stage.run(never)
        poison, *others = [entry.event for entry in b.events.read("main", 100)]
        seen: list[str] = []
        b.sinks["main"].verdict = refusing(poison.id, seen=seen)
        run_for(b, 9)
        assert seen[: REFUSALS + 1] == [poison.id] * REFUSALS + [others[-1].id]
        assert b.sinks["main"].delivered == [others[-1], *others[:-1]]


@pytest.mark.parametrize("recovers", [False, True])
def test_of_two_events_that_the_sink_did_not_take_only_the_one_at_fault_is_retried(*, recovers: bool) -> None:
    with bench() as b:
        filled(b, 2)
        first, second = [entry.event for entry in b.events.read("main", 100)]
        b.sinks["main"].verdict = refusing(first.id, second.id)
        run_for(b, 1_000)
        assert b.events.rejected("main", 10) == []
        b.sinks["main"].verdict = refusing() if recovers else refusing(first.id)
        run_for(b, 1_000)
        rejected = [one.entry.event for one in b.events.rejected("main", 10)]
        assert rejected == ([] if recovers else [first])
        assert {event.id for event in b.sinks["main"].delivered} == ({first.id, second.id} - {e.id for e in rejected})


def test_sink_that_asks_for_a_pause_is_sent_nothing_else_and_keeps_its_events() -> None:
    with bench() as b:
        filled(b, 3)
        seen: list[str] = []

        def busy(event: Event) -> Outcome:
            seen.append(event.id)
            return Outcome(Verdict.UNAVAILABLE, "http_429", retry_after=1.0)

        b.sinks["main"].verdict = busy
        run_for(b, 600)
        assert len(set(seen)) == 1
        assert b.ledger.counts()["dead_letters"] == 0


def test_new_event_waits_for_a_few_retries_at_most() -> None:
    with bench() as b:
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.REJECTED, "http_422")
        filled(b, 300)
        b.relay_stage.run(never)
        (example, *_) = b.events.rejected_entries("main", [b.events.rejected("main", 1)[0].entry.event.id])
        assert example is not None
        b.events.retry_rejected("main", [one.entry.event.id for one in b.events.rejected("main", 1000)])
        seen: list[str] = []

        def verdict(event: Event) -> Outcome:
            seen.append(event.id)
            if len(seen) == 20:
                b.events.append(replace(example.event, id="second"))
            return Outcome(Verdict.REJECTED, "http_422")

        b.sinks["main"].verdict = verdict
        b.events.append(replace(example.event, id="first"))
        b.relay_stage.run(never)
        assert seen[0] == "first"
        assert seen.index("second") < 20 + RETRY_BATCH
        assert len(seen) == 302, "every retry has its turn"


def test_status_of_a_sink_says_what_it_answers_and_since_when() -> None:
    with bench() as b:
        filled(b, 2)
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.UNAVAILABLE, "http_503")
        began = b.clock.time
        run_for(b, 100)
        status = b.events.sink_status("main")
        assert (status.failing_since, status.answer, status.delivered_at) == (began, "http_503", None)
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED)
        run_for(b, 300)
        status = b.events.sink_status("main")
        assert (status.failing_since, status.answer, status.refusals) == (None, "", {})
        assert status.delivered_at is not None


def test_sink_that_is_never_done_is_given_back_so_that_another_has_its_turn() -> None:
    with bench() as b:

        def accept(event: Event) -> Outcome:
            b.clock.time += 1
            for number in range(2):
                b.events.append(replace(event, id=f"{event.id[:20]}{b.clock.time}{number}"))
            return Outcome(Verdict.DELIVERED)

        b.sinks["main"].verdict = accept
        filled(b, FIRST_BATCH)
        b.relay_stage.run(never)
        assert ROUND_SECONDS <= len(b.sinks["main"].delivered) <= ROUND_SECONDS + BATCH


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("http_503", "answered 503"),
        ("odd", "failed with the error odd"),
        ("http_", "failed with the error http_"),
    ],
)
def test_answer_of_a_sink_is_put_into_words(answer: str, words: str) -> None:
    assert SinkStatus(failing_since=1.0, answer=answer).words == words
    assert SinkStatus(answer=answer).words == "", "it works"


def test_sink_that_is_done_within_a_millisecond_leaves_the_others_their_turn() -> None:
    """It is due again at once, as early as those that were due with it, and may stand before them by its name."""
    with bench() as b:
        b.sinks["behind"], b.sinks["also"] = MemorySink("behind"), MemorySink("also")
        b.maildrops["a"].messages = {b"1": mail("one")}
        b.poll_all()
        b.process_stage.run(never)
        assert b.relay_stage.run(never) == {"also": 1, "behind": 1, "main": 1}


def answers(b: Bench) -> list[Answer]:
    return [answer for one in b.events.answers("", 10_000) for answer in one.answers]


def test_answers_are_recorded_in_the_step_that_acknowledges(monkeypatch: pytest.MonkeyPatch) -> None:
    with bench() as b:
        b.relay_stage = replace(b.relay_stage, keeps_answers=True)
        steps: list[tuple[int, int]] = []
        acknowledge = b.events.acknowledge

        def counted(sink: str, positions: Sequence[str], answers: Sequence[Answer] = ()) -> None:
            steps.append((len(positions), len(answers)))
            acknowledge(sink, positions, answers)

        monkeypatch.setattr(b.events, "acknowledge", counted)
        verdicts = iter([Outcome(Verdict.REJECTED, "http_400"), *[Outcome(Verdict.DELIVERED, answer="http_204")] * 9])
        b.sinks["main"].verdict = lambda _: next(verdicts)
        filled(b, FIRST_BATCH)
        b.relay_stage.run(never)
        assert [step for step in steps if step[1]] == [(FIRST_BATCH - 1, FIRST_BATCH)]
        assert sorted({(one.verdict, one.reason, one.tries) for one in answers(b)}) == [
            ("delivered", "http_204", 1),
            ("rejected", "http_400", 1),
        ]


def test_answer_says_at_which_try_an_event_was_taken() -> None:
    with bench() as b:
        b.relay_stage = replace(b.relay_stage, keeps_answers=True)
        filled(b, 1)
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.UNAVAILABLE, "http_503")
        b.relay_stage.run(never)
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED)
        b.clock.time += 60
        b.relay_stage.run(never)
        assert [(one.verdict, one.tries) for one in answers(b)] == [("delivered", 2)]


def test_last_answer_of_a_dead_letter_is_recorded() -> None:
    with bench() as b:
        b.relay_stage = replace(b.relay_stage, keeps_answers=True)
        b.refuse_everything()
        filled(b, 1)
        for _ in range(REDELIVERY_ATTEMPTS + 1):
            b.relay_stage.run(never)
            b.clock.time += 100_000
        assert [(one.verdict, one.reason, one.tries) for one in answers(b)] == [
            *[("rejected", "http_400", tries) for tries in range(1, REDELIVERY_ATTEMPTS + 1)],
            ("dead_lettered", "http_400", REDELIVERY_ATTEMPTS + 1),
        ]


def test_answers_of_a_sink_that_takes_nothing_are_recorded_in_bounded_steps() -> None:
    """Nothing is acknowledged meanwhile, and the ledger keeps a number of steps, not of answers."""
    with bench() as b:
        b.relay_stage = replace(b.relay_stage, keeps_answers=True)
        b.refuse_everything()
        filled(b, 3 * BATCH)
        b.relay_stage.run(never)
        steps = [len(one.answers) for one in b.events.answers("", 10_000)]
        assert sum(steps) == 3 * BATCH
        assert max(steps) <= BATCH


def test_answers_are_kept_only_for_a_console() -> None:
    with bench() as b:
        filled(b, 1)
        b.relay_stage.run(never)
        assert answers(b) == []
