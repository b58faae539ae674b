"""No event is missed, whatever the ledger forgets: what may not have been told is told again, with the same id."""

from __future__ import annotations

from ingest.domain.keys import unique_id_digest
from ingest.domain.mailbox import Deletion, Limits
from ingest.errors import StoreUnavailableError
from ingest.usecases.recover.watermark import SKEW
from tests.support.bench import Bench, bench, mail, mailbox


def fill(b: Bench, *numbers: int) -> None:
    b.maildrops["a"].messages |= {b"u%d" % number: mail(str(number)) for number in numbers}


def told(b: Bench) -> list[str]:
    """The subjects of all events the sink got, in order of subject, repeats too."""
    return sorted(event["data"]["headers"]["subject"] for event in b.published())


def ids(b: Bench) -> set[str]:
    return {event["id"] for event in b.published()}


def test_an_event_that_no_sink_had_when_the_ledger_was_lost_is_told() -> None:
    with bench() as b:
        b.sinks["main"].unavailable = True
        fill(b, 1, 2)
        b.everything()
        b.poll_all()
        b.ledger.lose()
        b.sinks["main"].unavailable = False
        b.everything()
        assert told(b) == ["1", "2"]


def test_an_event_is_told_even_when_the_server_has_nothing_any_more() -> None:
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
        assert told(b) == ["1"]


def test_only_what_may_not_have_been_told_is_told_again_with_the_same_id() -> None:
    with bench() as b:
        fill(b, 1, 2)
        b.everything()
        b.settle()
        b.clock.time += 1
        fill(b, 3)
        b.everything()
        b.ledger.lose()
        b.everything()
        assert told(b) == ["1", "2", "3", "3"]
        assert len(ids(b)) == 3


def test_raw_mail_without_a_manifest_is_processed_though_the_server_has_lost_it() -> None:
    with bench() as b:
        fill(b, 1)
        b.poll_all()
        b.ledger.lose()
        b.maildrops["a"].messages.clear()
        b.everything()
        assert told(b) == ["1"]
        (event,) = b.published()
        assert event["data"]["received_at"] == "2026-11-23T08:00:00Z"
        assert event["data"]["raw"]["key"] == b.keys("raw.eml")[0]


def test_a_message_too_large_to_fetch_that_was_open_is_told_after_a_loss() -> None:
    with bench(mailbox("a", limits=Limits(message_bytes=300))) as b:
        b.maildrops["a"].messages[b"u1"] = mail("big", "x" * 1000)
        b.poll_all()
        b.ledger.lose()
        b.maildrops["a"].messages.clear()
        b.everything()
        assert [event["type"] for event in b.published()] == ["dev.mailhaul.message.oversize.v1"]


def test_a_registration_lost_with_the_last_second_brings_its_event_again() -> None:
    """Redis forgets up to a second: the message is fetched again, and what the stream lost with it is told."""
    with bench() as b:
        fill(b, 1)
        b.everything()
        b.settle()
        b.clock.time += 1
        b.sinks["main"].unavailable = True
        fill(b, 2)
        b.everything()
        del b.ledger._seen["a"][unique_id_digest(b"u2")]
        b.events._entries.pop()
        group = b.events._groups["main"]
        group.read, group.pending = group.read - 1, set()
        b.sinks["main"].unavailable = False
        b.clock.time += 60
        b.everything()
        assert told(b) == ["1", "2"]


def test_nothing_counts_as_published_while_a_sink_has_not_confirmed_it() -> None:
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


def test_nothing_counts_as_published_while_a_sink_has_refused_it() -> None:
    with bench() as b:
        b.refuse_everything()
        fill(b, 1)
        b.everything()
        before = b.clock.time
        b.settle()
        assert b.watermark.read() <= before - SKEW


def test_nothing_counts_as_published_while_it_is_being_processed() -> None:
    """Its manifest may be written, and its event not yet in the stream."""
    with bench() as b:
        fill(b, 1)
        b.poll_all()
        before = b.clock.time
        b.settle()
        assert b.watermark.read() <= before - SKEW


def test_a_ledger_that_is_not_healed_does_not_forget_how_far_everything_was_published() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        b.everything()
        b.settle()
        before = b.watermark.read()
        b.ledger.lose()
        b.clock.time += 1000
        assert not b.watermark.write(["a", "b"], ["main"], b.clock.time)
        assert b.watermark.read() == before
        b.everything()
        assert b.watermark.write(["a", "b"], ["main"], b.clock.time)


def test_what_is_published_is_written_once_a_minute_by_whoever_comes_first() -> None:
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


def test_a_store_that_is_away_when_it_is_time_to_write_does_no_harm() -> None:
    with bench() as b:
        b.everything()

        def fault(operation: str, key: str) -> None:
            raise StoreUnavailableError("away")

        b.store.fault = fault
        b.watermark.write_if_due(["a"], ["main"], b.clock.time)


def test_healing_that_broke_off_begins_anew() -> None:
    with bench() as b:
        fill(b, 1, 2)
        b.poll_all()
        b.ledger.lose()
        b.maildrops["a"].messages.clear()
        calls = iter(range(1000))

        def fault(operation: str, key: str) -> None:
            if operation == "stat" and next(calls) == 1:
                raise StoreUnavailableError("away")

        b.store.fault = fault
        b.poll_all()
        assert b.ledger.statuses()["a"].result == "store_error"
        b.clock.time += 60
        b.everything()
        assert told(b) == ["1", "2"]


def test_a_new_mailbox_costs_one_look_into_an_empty_folder() -> None:
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
