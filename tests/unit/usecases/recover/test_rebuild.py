"""No event is missed when the ledger is lost: events that may not be delivered are republished, with the same ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.domain.keys import MANIFEST, RAW
from ingest.domain.mailbox import Deletion, Limits
from ingest.errors import StoreUnavailableError
from ingest.usecases.recover.watermark import SKEW
from tests.support.bench import Bench, bench, mail, mailbox, message_key, never
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.ports.store import Stored


def fill(b: Bench, *numbers: int) -> None:
    b.maildrops["a"].messages |= {b"u%d" % number: mail(str(number)) for number in numbers}


def delivered(b: Bench) -> list[str]:
    """Return the sorted subjects of all events that the sink got, including repeats."""
    return sorted(event["data"]["headers"]["subject"] for event in b.published())


def ids(b: Bench) -> set[str]:
    return {event["id"] for event in b.published()}


def test_event_undelivered_when_the_ledger_was_lost_is_republished() -> None:
    with bench() as b:
        b.sinks["main"].unavailable = True
        fill(b, 1, 2)
        b.everything()
        b.poll_all()
        b.ledger.lose()
        b.sinks["main"].unavailable = False
        b.everything()
        assert delivered(b) == ["1", "2"]


def test_event_is_republished_although_the_server_is_empty() -> None:
    with bench(mailbox("a", deletion=Deletion(0.0))) as b:
        b.sinks["main"].unavailable = True
        fill(b, 1)
        b.everything()
        b.clock.time += 10
        b.poll_all()
        assert b.maildrops["a"].messages == {}
        b.ledger.lose()
        b.sinks["main"].unavailable = False
        b.everything()
        assert delivered(b) == ["1"]


def test_replay_to_one_sink_after_a_loss_takes_no_event_from_the_others() -> None:
    with bench() as b:
        b.sinks["main"].unavailable = True
        fill(b, 1)
        b.everything()
        b.poll_all()
        event = b.events.entries()[0].event
        b.ledger.lose()
        b.events.republish([event], only="other")
        b.sinks["main"].unavailable = False
        b.everything()
        assert delivered(b) == ["1"]


def test_only_possibly_undelivered_events_are_republished_with_the_same_id() -> None:
    with bench() as b:
        fill(b, 1, 2)
        b.everything()
        b.settle()
        b.clock.time += 1
        fill(b, 3)
        b.everything()
        b.ledger.lose()
        b.everything()
        assert delivered(b) == ["1", "2", "3", "3"]
        assert len(ids(b)) == 3


@pytest.mark.parametrize("how", ["damaged", "in the future"])
def test_watermark_that_cannot_be_true_holds_no_event_back(how: str) -> None:
    with bench() as b:
        fill(b, 1)
        b.everything()
        b.settle()
        assert b.watermark.read() > 0
        if how == "damaged":
            b.store.alter(b.layout.watermark(), b"{}")
        else:
            b.clock.time -= 10 * SKEW
        assert b.watermark.read() == 0
        b.ledger.lose()
        b.everything()
        assert delivered(b) == ["1", "1"]


def test_raw_mail_without_a_manifest_is_processed_although_the_server_is_empty() -> None:
    with bench() as b:
        fill(b, 1)
        b.poll_all()
        b.ledger.lose()
        b.maildrops["a"].messages.clear()
        b.everything()
        assert delivered(b) == ["1"]
        (event,) = b.published()
        assert event["data"]["received_at"] == "2026-11-23T08:00:00Z"
        assert event["data"]["raw"]["key"] == b.keys("raw.eml")[0]


def test_open_oversize_message_is_published_after_a_loss() -> None:
    with bench(mailbox("a", limits=Limits(message_bytes=300))) as b:
        b.maildrops["a"].messages[b"u1"] = mail("big", "x" * 1000)
        b.poll_all()
        b.ledger.lose()
        b.maildrops["a"].messages.clear()
        b.everything()
        assert [event["type"] for event in b.published()] == ["dev.mailhaul.message.oversize.v1"]


def test_event_is_republished_although_the_clock_was_set_back_behind_the_watermark() -> None:
    with bench() as b:
        b.everything()
        b.settle()
        b.clock.time -= 4_000
        b.sinks["main"].unavailable = True
        fill(b, 1)
        b.everything()
        b.ledger.lose()
        b.sinks["main"].unavailable = False
        b.everything()
        assert delivered(b) == ["1"]


@pytest.mark.parametrize("content", [b"", b"Subject: another\r\n\r\n"])
def test_raw_mail_that_is_not_the_message_is_not_opened(content: bytes) -> None:
    """Else its event would be published, or, if it is put right later, it could never be processed."""
    with bench() as b:
        fill(b, 1)
        b.poll_all()
        (at,) = b.keys("raw.eml")
        b.store.alter(at, content)
        b.ledger.lose()
        b.everything()
        assert delivered(b) == []
        assert b.ledger.counts()["open"] == 0
        del b.store.objects[at]
        b.everything()
        assert delivered(b) == ["1"]


def lose_the_second_message(b: Bench) -> None:
    """Have the ledger forget that it was registered, and its event."""
    del b.ledger._seen["a"][b.digest("a", b"u2", len(mail("2")))]
    b.events._entries.pop()
    group = b.events._groups["main"]
    group.read, group.pending = group.read - 1, set()


@pytest.mark.parametrize(("seconds", "sent"), [(60, ["1", "2"]), (700, ["1"])])
def test_what_a_former_primary_took_after_the_rebuild_is_republished(seconds: float, sent: list[str]) -> None:
    """After a failover a mailbox is rebuilt, while workers that have not noticed it go on with the former primary.

    A message that they register and process is fetched again, and its event is nowhere. Once that cannot be any more,
    a message that is fetched twice has had its event.
    """
    with bench() as b:
        fill(b, 1)
        b.everything()
        b.ledger.restart()
        b.clock.time += 60
        b.everything()
        fill(b, 2)
        b.clock.time += seconds
        b.sinks["main"].unavailable = True
        b.everything()
        lose_the_second_message(b)
        b.sinks["main"].unavailable = False
        b.clock.time += 60
        b.everything()
        assert delivered(b) == sent


def test_registration_lost_with_the_last_second_republishes_its_event() -> None:
    """Redis loses up to a second, and nobody is allowed to ask whether it was restarted.

    The message is fetched again, and the event lost with it is republished.
    """
    with bench() as b:
        b.ledger.notices_losses = False
        fill(b, 1)
        b.everything()
        b.settle()
        b.clock.time += 1
        b.sinks["main"].unavailable = True
        fill(b, 2)
        b.everything()
        lose_the_second_message(b)
        b.sinks["main"].unavailable = False
        b.clock.time += 60
        b.everything()
        assert delivered(b) == ["1", "2"]


def test_watermark_stays_behind_an_event_that_a_sink_has_not_confirmed() -> None:
    with bench() as b:
        b.sinks["main"].unavailable = True
        fill(b, 1)
        b.everything()
        before = b.clock.time
        b.settle()
        assert b.watermark.read() <= before - SKEW
        b.sinks["main"].unavailable = False
        b.clock.time += 1000
        b.relay_stage.run(lambda: False)
        b.settle()
        assert b.watermark.read() == b.clock.time - SKEW


def test_watermark_waits_for_a_sink_that_only_a_newer_configuration_knows() -> None:
    """A process that still runs with the older one writes the watermark too."""
    with bench() as b:
        fill(b, 1)
        b.everything()
        assert b.ledger.schedule_sinks(b.ticker.precedence.epoch, drop=[], add=["added"])
        b.events.ensure_group("added")
        before = b.clock.time
        b.settle()
        assert b.watermark.read() <= before - SKEW
        b.events.acknowledge("added", [entry.position for entry in b.events.read("added", 10)])
        b.settle()
        assert b.watermark.read() == b.clock.time - SKEW


def test_watermark_stays_behind_an_event_that_a_sink_has_rejected() -> None:
    with bench() as b:
        b.refuse_everything()
        fill(b, 1)
        b.everything()
        before = b.clock.time
        b.settle()
        assert b.watermark.read() <= before - SKEW


def test_watermark_stays_behind_a_message_that_is_open() -> None:
    """Its manifest may be written, and its event not yet in the stream."""
    with bench() as b:
        fill(b, 1)
        b.poll_all()
        before = b.clock.time
        b.settle()
        assert b.watermark.read() <= before - SKEW


def test_watermark_is_not_written_before_the_ledger_is_rebuilt() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        b.everything()
        b.settle()
        before = b.watermark.read()
        b.ledger.lose()
        b.clock.time += 1000
        assert not b.watermark.write(["a", "b"], ["main"], b.clock.time)
        assert b.watermark.read() == before
        b.runtime.ticker.tick(b.schedule())
        claim = b.ledger.mailboxes.claim_one("a", 60.0)
        assert claim is not None
        b.poller.poll(claim, b.mailboxes["a"], never)
        b.ledger.mailboxes.release(claim, 0.0)
        assert not b.watermark.write(["a"], ["main"], b.clock.time), "an older configuration does not know the other"
        b.everything()
        assert b.watermark.write(["a", "b"], ["main"], b.clock.time)


def test_watermark_is_written_once_a_minute_by_any_process() -> None:
    with bench() as b:
        b.everything()
        puts = []
        b.store.fault = lambda operation, key: puts.append(key) if operation == "put" else None
        for _ in range(5):
            b.watermark.write_if_due(["a"], ["main"], b.clock.time)
        assert puts == ["mail/_state/watermark.json"]
        b.clock.time += 61
        b.watermark.write_if_due(["a"], ["main"], b.clock.time)
        assert len(puts) == 2


def test_unavailable_store_only_delays_the_watermark() -> None:
    with bench() as b:
        b.everything()

        def fault(operation: str, key: str) -> None:
            raise StoreUnavailableError("unavailable")

        b.store.fault = fault
        b.watermark.write_if_due(["a"], ["main"], b.clock.time)
        assert "mail/_state/watermark.json" not in b.store.objects
        b.store.fault = lambda *_: None
        b.clock.time += 61
        b.watermark.write_if_due(["a"], ["main"], b.clock.time)
        assert "mail/_state/watermark.json" in b.store.objects


def test_interrupted_rebuild_starts_over() -> None:
    with bench() as b:
        fill(b, 1, 2)
        b.poll_all()
        b.ledger.lose()
        b.maildrops["a"].messages.clear()
        calls = iter(range(1000))

        def fault(operation: str, key: str) -> None:
            if operation == "stat" and next(calls) == 1:
                raise StoreUnavailableError("unavailable")

        b.store.fault = fault
        b.poll_all()
        assert b.ledger.statuses()["a"].result == "store_error"
        b.clock.time += 60
        b.everything()
        assert delivered(b) == ["1", "2"]


def test_watermark_stays_behind_the_manifest_of_a_republished_event() -> None:
    with bench() as b:
        b.sinks["main"].unavailable = True
        fill(b, 1)
        b.everything()
        written = b.clock.time
        b.ledger.lose()
        b.clock.time += 2 * SKEW
        b.everything()
        assert len(list(b.events.entries())) == 1
        assert b.watermark.write(["a"], ["main"], b.clock.time)
        assert b.watermark.read() <= written - SKEW
        b.ledger.lose()
        b.sinks["main"].unavailable = False
        b.everything()
        assert delivered(b) == ["1"]


def test_watermark_stays_behind_the_manifest_of_an_event_that_a_poll_republished() -> None:
    with bench() as b:
        b.ledger.notices_losses = False
        b.sinks["main"].unavailable = True
        fill(b, 1)
        b.everything()
        written = b.clock.time
        del b.ledger._seen["a"][b.digest("a", b"u1", len(mail("1")))]
        b.events.clear()
        b.clock.time += 2 * SKEW
        b.everything()
        assert len(b.events.entries()) == 1
        assert b.watermark.write(["a"], ["main"], b.clock.time)
        assert b.watermark.read() <= written - SKEW
        b.ledger.lose()
        b.sinks["main"].unavailable = False
        b.everything()
        assert delivered(b) == ["1"]


@pytest.mark.parametrize("processed", [True, False])
def test_mailbox_is_not_rebuilt_while_the_store_returns_only_a_part_of_an_object(*, processed: bool) -> None:
    with bench() as b:
        b.sinks["main"].unavailable = True
        fill(b, 1)
        b.poll_all()
        if processed:
            b.everything()
        b.ledger.lose()
        b.maildrops["a"].messages.clear()
        b.sinks["main"].unavailable = False
        b.store.cuts = True
        b.everything()
        assert b.ledger.unknown(["a"]) == 1
        b.store.cuts = False
        b.clock.time += 400
        b.everything()
        assert delivered(b) == ["1"]


def test_watermark_counts_by_the_clock_of_the_store() -> None:
    """The clocks of the ledger and the workers are a day ahead, that of the store is right."""
    with bench() as b:
        b.store._clock = Clock(b.clock.time)
        b.clock.time += 86_400
        fill(b, 1)
        b.everything()
        b.settle()
        b.store._clock.time += SKEW
        b.sinks["main"].unavailable = True
        fill(b, 2)
        b.everything()
        b.clock.time += 2 * SKEW
        b.store._clock.time += 2 * SKEW
        assert b.watermark.write(["a"], ["main"], b.clock.time)
        b.ledger.lose()
        b.sinks["main"].unavailable = False
        b.everything()
        assert set(delivered(b)) == {"1", "2"}


def test_mailbox_is_not_rebuilt_while_a_proxy_answers_for_the_store() -> None:
    with bench() as b:
        b.sinks["main"].unavailable = True
        fill(b, 1)
        b.everything()
        b.ledger.lose()
        b.sinks["main"].unavailable = False
        b.store.page = b"<html>"
        b.everything()
        b.store.page = None
        b.clock.time += 400
        b.everything()
        assert delivered(b) == ["1"]


def test_objects_that_are_listed_and_not_there_hold_up_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a store that has lost a disk, and not its index: a mailbox that is never rebuilt is never polled."""
    with bench() as b:
        b.sinks["main"].unavailable = True
        fill(b, 1, 2)
        b.everything()
        fill(b, 3)
        b.clock.time += 60
        b.poll_stage.run(never)
        stored, raw, manifest = (
            b.store.stored,
            *[f"{message_key('a', mail(subject))}/{name}" for subject, name in (("3", RAW), ("1", MANIFEST))],
        )
        lost = [one for one in stored("") if one.key.endswith((raw, manifest))]
        assert len(lost) == 2
        for one in lost:
            del b.store.objects[one.key]

        def listed(prefix: str) -> Iterator[Stored]:
            yield from stored(prefix)
            there = set(b.store.objects)
            yield from (one for one in lost if one.key.startswith(prefix) and one.key not in there)

        monkeypatch.setattr(b.store, "stored", listed)
        b.ledger.lose()
        b.maildrops["a"].messages.pop(b"u1")
        b.sinks["main"].unavailable = False
        for _ in range(3):
            b.everything()
            b.clock.time += 60
        assert b.ledger.unknown(["a"]) == 0
        assert delivered(b) == ["1", "2", "3"], "one was processed again, one was fetched again"


def test_new_mailbox_costs_one_listing_of_an_empty_folder() -> None:
    with bench() as b:
        asked = []
        b.store.fault = lambda operation, key: asked.append((operation, key))
        b.poll_all()
        b.poll_all()
        assert asked == [
            ("get", "mail/_state/watermark.json"),
            ("list", "mail/a/"),
            ("get", "mail/a/_state/seen"),
        ]
