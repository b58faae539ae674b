"""Replay: the same events with the same ids, in the order of their first publication, to one sink or to all."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import pytest

from ingest.admin import replay
from ingest.admin.replay import Replay, Replayed
from ingest.errors import StoreUnavailableError
from ingest.ports.sink import Outcome, Verdict
from ingest.testing.sink import MemorySink
from ingest.usecases.recover.watermark import SKEW
from ingest.wiring import admin
from tests.support.bench import Bench, bench, mail, mailbox, never
from tests.support.clock import START, Waits

if TYPE_CHECKING:
    from collections.abc import Iterator

ALWAYS = (0.0, float("inf"))


@pytest.fixture
def b() -> Iterator[Bench]:
    """Three messages in `a`, two in `b`, ten seconds apart, all published; and a sink that was added later."""
    with bench(mailbox("a"), mailbox("b")) as b:
        for number, id_ in enumerate("abaab"):
            b.maildrops[id_].messages[b"u%d" % number] = mail(str(number))
            b.everything()
        b.sinks["late"] = MemorySink("late")
        yield b


def replay_of(b: Bench) -> Replay:
    return admin.replay(b.runtime)


def run(b: Bench, sink: str | None = "late", stop: Waits | None = None) -> Replayed:
    work = replay_of(b)
    return work.run(work.find([], *ALWAYS), sink, stop or Waits())


def delivered(b: Bench, sink: str) -> list[str]:
    return [event.id for event in b.sinks[sink].delivered]


def test_sink_added_later_gets_the_same_events_in_the_same_order(b: Bench) -> None:
    assert run(b) == Replayed(published=5)
    first, again = (b.sinks[sink].delivered for sink in ("main", "late"))
    assert [(one.id, one.type, one.mailbox) for one in again] == [(one.id, one.type, one.mailbox) for one in first]
    assert [one.body for one in again] == [one.body for one in first]
    assert len(delivered(b, "main")) == 5, "no other sink gets them"


def test_replay_without_a_sink_publishes_to_the_stream(b: Bench) -> None:
    assert run(b, None) == Replayed(published=5)
    b.relay_stage.run(never)
    assert delivered(b, "main") == 2 * delivered(b, "main")[:5]


def test_replayed_event_that_no_sink_has_confirmed_survives_two_losses_of_the_ledger() -> None:
    """The rebuild does not publish what the replay has appended, so the watermark has to wait for that."""
    with bench() as b:
        b.sinks["main"].unavailable = True
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.everything()
        b.ledger.lose()
        b.clock.time += 2 * SKEW
        assert run(b, None) == Replayed(published=1)
        b.everything()
        assert len(b.events.entries()) == 1
        assert b.watermark.write(["a"], ["main"], b.clock.time)
        b.ledger.lose()
        b.sinks["main"].unavailable = False
        b.everything()
        assert len(delivered(b, "main")) == 1


def test_replay_of_confirmed_events_does_not_lower_the_watermark(b: Bench) -> None:
    del b.sinks["late"]  # which has confirmed nothing
    b.settle()
    before = b.watermark.read()
    b.sinks["main"].unavailable = True
    assert run(b, None) == Replayed(published=5)
    assert b.ledger.clock_step() is None
    assert b.watermark.write(["a", "b"], ["main"], b.clock.time)
    assert b.watermark.read() >= before


@pytest.mark.parametrize(
    ("mailboxes", "since", "until", "numbers"),
    [
        (["b"], 0, 1e12, [1, 4]),
        (["a", "b", "a"], 0, 1e12, [0, 1, 2, 3, 4]),
        ([], START + 20, 1e12, [1, 2, 3, 4]),
        ([], 0, START + 20, [0]),
        (["a"], START + 30, START + 50, [2, 3]),
        (["nobody"], 0, 1e12, []),
    ],
)
def test_replay_can_be_limited_to_mailboxes_and_times(
    b: Bench, mailboxes: list[str], since: float, until: float, numbers: list[int]
) -> None:
    work = replay_of(b)
    assert work.run(work.find(mailboxes, since, until), "late", Waits()).published == len(numbers)
    assert delivered(b, "late") == [delivered(b, "main")[number] for number in numbers]


def test_mailbox_no_longer_configured_can_be_replayed(b: Bench) -> None:
    del b.mailboxes["b"]
    assert len(replay_of(b).find(["b"], *ALWAYS)) == 2


def test_message_without_a_readable_manifest_is_skipped(b: Bench) -> None:
    work = replay_of(b)
    manifests = work.find([], *ALWAYS)
    del b.store.objects[manifests[0].key]
    digest = hashlib.sha256(b"{}").hexdigest()
    b.store.put(manifests[1].key, io.BytesIO(b"{}"), size=2, sha256=digest, content_type="application/json")
    assert work.run(manifests, "late", Waits()) == Replayed(published=3, skipped=2)


def test_briefly_unavailable_sink_is_waited_for(b: Bench) -> None:
    sink, unavailable = b.sinks["late"], Outcome(Verdict.UNAVAILABLE, "http_503")
    sink.verdict = lambda event: Outcome(Verdict.DELIVERED) if event.mailbox == "a" else unavailable

    def come_back() -> None:
        sink.verdict = lambda _: Outcome(Verdict.DELIVERED)

    patience = Waits(meanwhile=come_back)
    assert run(b, stop=patience) == Replayed(published=5)
    assert sorted(delivered(b, "late")) == sorted(delivered(b, "main"))
    assert len(patience.seconds) == 1


def test_sink_that_stays_unavailable_ends_the_replay_with_a_time_to_resume(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "BATCH", 2)
    sink = b.sinks["late"]
    sink.verdict = lambda _: Outcome(Verdict.DELIVERED if len(sink.delivered) < 2 else Verdict.UNAVAILABLE, "timeout")
    patience = Waits()
    done = run(b, stop=patience)
    assert (done.published, "late" in str(done.error), "timeout" in str(done.error)) == (2, True, True)
    assert patience.seconds == sorted(patience.seconds) != []
    sink.verdict = lambda _: Outcome(Verdict.DELIVERED)
    assert done.resume_at is not None
    work = replay_of(b)
    assert work.run(work.find([], done.resume_at, 1e12), "late", Waits()) == Replayed(published=3)
    assert delivered(b, "late") == delivered(b, "main")


def test_sink_that_cannot_be_reached_ends_the_replay(b: Bench) -> None:
    b.sinks["late"].unavailable = True
    patience = Waits()
    assert "unavailable" in str(run(b, stop=patience).error)
    assert patience.seconds == list(replay.PAUSES)


def test_sink_that_answers_410_is_not_tried_again(b: Bench) -> None:
    b.sinks["late"].verdict = lambda _: Outcome(Verdict.GONE, "http_410")
    patience = Waits()
    assert "http_410" in str(run(b, stop=patience).error)
    assert patience.seconds == []


def test_rejected_events_are_reported_and_the_others_pass(b: Bench) -> None:
    odd = delivered(b, "main")[2]
    b.sinks["late"].verdict = lambda event: Outcome(Verdict.REJECTED if event.id == odd else Verdict.DELIVERED)
    assert run(b) == Replayed(published=4, rejected=[odd])


def test_replay_stops_between_batches(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "BATCH", 2)
    work, patience = replay_of(b), Waits()
    manifests = work.find([], *ALWAYS)

    def listen(done: int) -> None:
        patience.asked = done == 2

    assert work.run(manifests, "late", patience, listen) == Replayed(published=2, resume_at=manifests[2].modified)


def test_unavailable_store_ends_the_replay_with_a_time_to_resume(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "BATCH", 2)
    work = replay_of(b)
    manifests = work.find([], *ALWAYS)

    def fault(_operation: str, key: str) -> None:
        if key == manifests[3].key:
            raise StoreUnavailableError("The store is unavailable.")

    b.store.fault = fault
    done = work.run(manifests, "late", Waits())
    assert (done.published, done.resume_at, str(done.error)) == (
        2,
        manifests[2].modified,
        "The store is unavailable.",
    )


def test_replay_waits_while_the_stream_is_full(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "BATCH", 1)
    monkeypatch.setattr(replay, "MOST_IN_STREAM", 6)
    kept: list[int] = []
    oldest = iter(delivered(b, "main"))

    def taken() -> None:
        kept.append(b.ledger.counts()["events"])
        b.events.erase([next(oldest)])  # as trimming does; a republished event has the same id

    assert run(b, None, Waits(meanwhile=taken)).published == 5
    assert max(kept) == 7


def test_replay_waits_as_long_as_the_stream_shrinks(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MOST_IN_STREAM", 1)
    oldest = iter(delivered(b, "main"))

    def taken() -> None:
        b.clock.time += 0.75 * replay.PATIENCE
        b.events.erase([next(oldest)])

    assert run(b, None, Waits(meanwhile=taken)).published == 5


def test_stream_that_does_not_shrink_ends_the_replay(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MOST_IN_STREAM", 4)

    def pass_time() -> None:
        b.clock.time += 60

    done = run(b, None, Waits(meanwhile=pass_time))
    assert (done.published, "mailhaul status" in str(done.error)) == (0, True)
    assert done.resume_at is not None
