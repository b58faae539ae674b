"""The rules of the event stream, on the twin and on Valkey: nothing unread is lost, no sink waits for another."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ingest.domain.events import Event
from ingest.domain.manifest import ObjectRef
from ingest.domain.message import OpenMessage
from ingest.ports.eventlog import GroupLag
from ingest.ports.ledger import Registration

if TYPE_CHECKING:
    from ingest.ports.eventlog import Entry
    from ingest.ports.ledger import Claim
    from tests.support.valkey import Bench

BOX = "invoices-de"
FIRST_SEEN = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
LONG, SHORT = 600.0, 0.05


def append(bench: Bench, numbers: range) -> None:
    """Events `0`, `1`, ... in this order, by the only way there is: completing messages."""
    for number in numbers:
        source = ObjectRef(bucket="mail", key="k", size=1, sha256="0" * 64)
        message = OpenMessage(
            key=f"{number:032x}", mailbox=BOX, unique_id="u", folder="f", source=source, first_seen=FIRST_SEEN
        )
        bench.ledger.mailboxes.add([BOX])
        (box,) = bench.ledger.mailboxes.claim(1, LONG)
        bench.ledger.register(box, [Registration(b"%016d" % number, message)])
        bench.ledger.mailboxes.release(box, 0.0)
        (claim,) = bench.ledger.messages.claim(1, LONG)
        bench.ledger.complete(claim, message, event(number))


def event(number: int) -> Event:
    return Event(str(number), "dev.mailhaul.message.received.v1", BOX, b'{"n":%d,"odd":"\xc3\xa9\\n\xff"}' % number)


def ids(entries: list[Entry]) -> list[int]:
    return [int(entry.event.id) for entry in entries]


def read_and_acknowledge(bench: Bench, sink: str, limit: int) -> list[int]:
    entries = bench.events.read(sink, limit)
    bench.events.acknowledge(sink, [entry.position for entry in entries])
    return ids(entries)


def claim_retrying(bench: Bench, sink: str, lease: float = LONG) -> Claim:
    (claim,) = bench.events.retrying(sink).claim(1, lease)
    return claim


def test_an_empty_stream_reads_as_nothing(bench: Bench) -> None:
    assert bench.events.read("a", 10) == []
    assert bench.events.lag("a") == GroupLag(0, 0.0)
    assert bench.events.trim(["a"]) == 0


def test_events_arrive_whole_and_in_order(bench: Bench) -> None:
    append(bench, range(3))
    entries = bench.events.read("a", 10)
    assert [entry.event for entry in entries] == [event(number) for number in range(3)]
    assert [entry.first_seen for entry in entries] == [FIRST_SEEN.timestamp()] * 3
    assert all(abs(entry.appended - bench.now()) < 60 for entry in entries)
    assert len({entry.position for entry in entries}) == 3


def test_a_group_begins_at_the_beginning(bench: Bench) -> None:
    append(bench, range(2))
    bench.events.ensure_group("late")
    assert ids(bench.events.read("late", 10)) == [0, 1]


def test_a_sink_may_begin_behind_what_is_there_and_then_misses_nothing(bench: Bench) -> None:
    append(bench, range(3))
    bench.events.begin("late", now=True)
    append(bench, range(3, 5))
    bench.events.ensure_group("late")
    assert ids(bench.events.read("late", 10)) == [3, 4]


def test_a_group_that_is_made_again_begins_where_its_sink_began(bench: Bench) -> None:
    """A process with an older configuration, about to stop, may know nothing of the sink and remove its group."""
    append(bench, range(2))
    bench.events.begin("late", now=True)
    append(bench, range(2, 4))
    assert read_and_acknowledge(bench, "late", 1) == [2]
    bench.events.trim([])
    append(bench, range(4, 5))
    bench.events.begin("late", now=True)
    assert ids(bench.events.read("late", 10)) == [2, 3, 4]


def test_where_a_sink_begins_is_said_once(bench: Bench) -> None:
    append(bench, range(2))
    bench.events.begin("early", now=False)
    bench.events.begin("early", now=True)
    assert ids(bench.events.read("early", 10)) == [0, 1]


def test_making_a_group_again_does_not_move_it(bench: Bench) -> None:
    bench.events.ensure_group("a")
    append(bench, range(2))
    assert read_and_acknowledge(bench, "a", 10) == [0, 1]
    bench.events.ensure_group("a")
    assert bench.events.read("a", 10) == []


def test_what_was_not_acknowledged_is_read_again_before_what_is_new(bench: Bench) -> None:
    append(bench, range(4))
    first = bench.events.read("a", 2)
    bench.events.acknowledge("a", [first[0].position])
    assert ids(bench.events.read("a", 2)) == [1, 2]
    assert ids(bench.events.read("a", 10)) == [1, 2, 3]


def test_acknowledging_nothing_changes_nothing(bench: Bench) -> None:
    append(bench, range(2))
    (first, _) = bench.events.read("a", 2)
    bench.events.acknowledge("a", [])
    bench.events.acknowledge("unheard of", [first.position])
    assert bench.events.lag("a").entries == 2
    assert ids(bench.events.read("unheard of", 2)) == [0, 1]


def test_sinks_do_not_wait_for_each_other(bench: Bench) -> None:
    append(bench, range(3))
    assert read_and_acknowledge(bench, "fast", 10) == [0, 1, 2]
    assert ids(bench.events.read("slow", 1)) == [0]
    assert bench.events.lag("fast").entries == 0
    assert bench.events.lag("slow").entries == 3


def test_lag_counts_what_is_unread_and_what_is_not_acknowledged(bench: Bench) -> None:
    append(bench, range(5))
    assert bench.events.lag("a").entries == 5
    entries = bench.events.read("a", 3)
    assert bench.events.lag("a").entries == 5
    bench.events.acknowledge("a", [entry.position for entry in entries[1:]])
    assert bench.events.lag("a").entries == 3


def test_lag_knows_the_age_of_the_oldest(bench: Bench) -> None:
    append(bench, range(1))
    bench.pass_time(0.3)
    append(bench, range(1, 2))
    unread = bench.events.lag("a").oldest_age
    first, _ = bench.events.read("a", 2)
    assert bench.events.lag("a").oldest_age >= unread >= 0.3 - 0.002
    bench.events.acknowledge("a", [first.position])
    newer = bench.events.lag("a").oldest_age
    bench.pass_time(0.3)
    older = bench.events.lag("a").oldest_age
    assert older - newer >= 0.3 - 0.002
    assert read_and_acknowledge(bench, "a", 1) == [1]
    assert bench.events.lag("a") == GroupLag(0, 0.0)


def test_a_parked_event_leaves_the_stream_to_the_others(bench: Bench) -> None:
    append(bench, range(2))
    refused, _ = bench.events.read("a", 2)
    bench.events.retry_later("a", refused, LONG)
    assert ids(bench.events.read("a", 10)) == [1]
    assert bench.events.lag("a").entries == 1
    assert bench.events.dead_letter_entries("a", ["0", "1"]) == [refused, None]
    assert bench.ledger.counts()["dead_letters"] == 1
    assert ids(bench.events.read("b", 10)) == [0, 1]


def test_a_parked_event_is_due_after_its_delay(bench: Bench) -> None:
    append(bench, range(1))
    (refused,) = bench.events.read("a", 1)
    bench.events.retry_later("a", refused, 0.2)
    assert bench.events.retrying("a").claim(1, LONG) == []
    assert bench.events.retrying("a").backlog().waiting == 1
    bench.pass_time(0.2)
    assert claim_retrying(bench, "a").id == "0"
    assert bench.events.retrying("b").members() == set()


def test_parking_again_leaves_the_claim_on_a_parked_event(bench: Bench) -> None:
    """The same event may come along in the stream again, with the same id."""
    append(bench, range(1))
    (refused,) = bench.events.read("a", 1)
    bench.events.retry_later("a", refused, 0.0)
    claim = claim_retrying(bench, "a")
    bench.events.retry_later("a", refused, 0.0)
    assert bench.events.retrying("a").claim(1, LONG) == []
    assert bench.events.retrying("a").renew(claim, LONG)


def test_an_unparked_event_is_forgotten(bench: Bench) -> None:
    append(bench, range(1))
    (refused,) = bench.events.read("a", 1)
    bench.events.retry_later("a", refused, 0.0)
    bench.events.forget_dead_letter("a", claim_retrying(bench, "a"))
    assert bench.events.retrying("a").members() == set()
    assert bench.events.dead_letter_entries("a", ["0"]) == [None]
    assert bench.ledger.counts()["dead_letters"] == 0


def test_a_delivered_event_is_forgotten_even_when_the_claim_ran_out(bench: Bench) -> None:
    append(bench, range(1))
    (refused,) = bench.events.read("a", 1)
    bench.events.retry_later("a", refused, 0.0)
    old = claim_retrying(bench, "a", SHORT)
    bench.pass_time(SHORT)
    new = claim_retrying(bench, "a")
    bench.events.forget_dead_letter("a", old)
    assert not bench.events.retrying("a").release(new, 0.0)
    assert bench.events.dead_letter_entries("a", ["0"]) == [None]


def test_an_event_set_aside_is_kept(bench: Bench) -> None:
    """Dropped from the schedule, yet there for a person to decide."""
    append(bench, range(1))
    (refused,) = bench.events.read("a", 1)
    bench.events.retry_later("a", refused, 0.0)
    bench.events.dead_letter("a", claim_retrying(bench, "a"))
    assert bench.events.retrying("a").members() == set()
    assert bench.events.dead_letter_entries("a", ["0"]) == [refused]
    assert bench.ledger.counts()["dead_letters"] == 1


def test_asking_for_no_dead_letters_is_allowed(bench: Bench) -> None:
    assert bench.events.dead_letter_entries("a", []) == []


def test_dead_letters_are_counted_over_all_sinks(bench: Bench) -> None:
    append(bench, range(2))
    for sink in ("a", "b"):
        for entry in bench.events.read(sink, 2):
            bench.events.retry_later(sink, entry, LONG)
    assert bench.ledger.counts()["dead_letters"] == 4


def test_a_lost_stream_begins_anew(bench: Bench) -> None:
    append(bench, range(3))
    assert read_and_acknowledge(bench, "a", 10) == [0, 1, 2]
    bench.lose()
    assert bench.events.lag("a") == GroupLag(0, 0.0)
    append(bench, range(3, 5))
    assert bench.events.lag("a").entries == 2
    assert ids(bench.events.read("a", 10)) == [3, 4]


@pytest.fixture
def many(bench: Bench) -> int:
    """A stream of 1,250 events; 1,000 are kept in any case."""
    append(bench, range(1_250))
    return 1_250


def test_trimming_keeps_the_last_thousand(bench: Bench, many: int) -> None:
    assert read_and_acknowledge(bench, "a", many) == list(range(many))
    assert bench.events.trim(["a"]) == 250
    assert bench.ledger.counts()["events"] == 1_000
    assert bench.events.trim(["a"]) == 0
    assert ids(bench.events.read("later", 1)) == [250]


def test_trimming_stops_at_the_slowest_group(bench: Bench, many: int) -> None:
    read_and_acknowledge(bench, "fast", many)
    read_and_acknowledge(bench, "slow", 130)
    assert bench.events.trim(["fast", "slow"]) == 130
    assert ids(bench.events.read("slow", 1)) == [130]


def test_trimming_stops_at_the_oldest_event_that_is_not_acknowledged(bench: Bench, many: int) -> None:
    entries = bench.events.read("a", many)
    bench.events.acknowledge("a", [entry.position for entry in entries if entry.event.id != "77"])
    assert bench.events.trim(["a"]) == 77
    assert bench.events.read("a", 10)[0].event == event(77)
    assert bench.events.lag("a").entries == 1


def test_trimming_does_not_run_ahead_of_a_sink_that_has_not_begun(bench: Bench, many: int) -> None:
    read_and_acknowledge(bench, "a", many)
    assert bench.events.trim(["a", "new"]) == 0
    assert ids(bench.events.read("new", 1)) == [0]


def test_a_sink_that_is_not_configured_any_more_holds_nothing_back(bench: Bench, many: int) -> None:
    bench.events.read("gone", 5)
    read_and_acknowledge(bench, "a", many)
    assert bench.events.trim(["a"]) == 250
    assert ids(bench.events.read("gone", 1)) == [250]


def test_lag_is_right_after_trimming(bench: Bench, many: int) -> None:
    read_and_acknowledge(bench, "a", 200)
    assert bench.events.trim(["a"]) == 200
    assert bench.events.lag("a").entries == many - 200
    assert bench.events.lag("new").entries == many - 200


def test_dead_letters_are_listed_the_oldest_first_whether_still_tried_or_not(bench: Bench) -> None:
    append(bench, range(4))
    for entry in reversed(bench.events.read("a", 4)):
        bench.events.retry_later("a", entry, LONG if entry.event.id != "2" else 0.0)
    bench.events.dead_letter("a", claim_retrying(bench, "a"))
    listed = bench.events.dead_letters("a", 10)
    assert [(int(one.entry.event.id), one.tried) for one in listed] == [(0, True), (1, True), (2, False), (3, True)]
    assert listed[2].entry.event == event(2)
    assert len(bench.events.dead_letters("a", 3)) == 3
    assert bench.events.dead_letters("b", 10) == []


def test_a_person_may_have_dead_letters_tried_at_once_also_those_set_aside(bench: Bench) -> None:
    append(bench, range(3))
    for entry in bench.events.read("a", 3):
        bench.events.retry_later("a", entry, LONG if entry.event.id == "0" else 0.0)
    for claim in bench.events.retrying("a").claim(2, LONG):
        bench.events.dead_letter("a", claim)
    assert bench.events.retry_dead_letters("a", ["0", "1", "never"]) == 2
    claims = bench.events.retrying("a").claim(10, LONG)
    assert {(claim.id, claim.tries) for claim in claims} == {("0", 1), ("1", 1)}
    assert [one.tried for one in bench.events.dead_letters("a", 10)] == [True, True, False]
    # What is tried again counts again for how far everything is published.
    bench.events.drop_dead_letters("a", ["0"])
    (_, second, _) = bench.events.dead_letter_entries("a", ["0", "1", "2"])
    assert second is not None
    assert bench.events.oldest_retrying("a") == second.appended


def test_a_person_may_drop_dead_letters(bench: Bench) -> None:
    append(bench, range(3))
    for entry in bench.events.read("a", 3):
        bench.events.retry_later("a", entry, LONG)
    assert bench.events.drop_dead_letters("a", ["0", "2", "never"]) == 2
    assert [int(one.entry.event.id) for one in bench.events.dead_letters("a", 10)] == [1]
    assert bench.events.retrying("a").members() == {"1"}
    assert bench.ledger.counts()["dead_letters"] == 1


def test_erased_events_are_gone_whether_read_or_not(bench: Bench) -> None:
    bench.events.ensure_group("late")
    append(bench, range(3))
    assert ids(bench.events.read("a", 2)) == [0, 1]
    append(bench, range(3, 6))
    assert bench.events.erase(["1", "4", "9"]) == 2
    assert read_and_acknowledge(bench, "a", 10) == [0, 2, 3, 5]
    assert read_and_acknowledge(bench, "late", 10) == [0, 2, 3, 5]
    assert [bench.events.lag(sink) for sink in ("a", "late")] == [GroupLag(0, 0.0)] * 2
    append(bench, range(6, 8))
    assert read_and_acknowledge(bench, "a", 10) == [6, 7]
    assert bench.ledger.counts()["events"] == 6


def test_a_sink_that_begins_behind_erased_events_misses_nothing(bench: Bench) -> None:
    append(bench, range(3))
    bench.events.begin("late", now=True)
    append(bench, range(3, 5))
    bench.events.erase(["0", "3"])
    assert ids(bench.events.read("late", 10)) == [4]


def test_all_events_of_a_mailbox_can_be_erased(bench: Bench) -> None:
    """More of them than are looked at in one go."""
    append(bench, range(450))
    assert bench.events.erase(mailbox="another") == 0
    assert bench.events.erase() == 0
    assert bench.events.erase(mailbox=BOX) == 450
    assert bench.events.read("a", 10) == []


def test_what_is_parked_stays_when_its_event_is_erased_from_the_stream(bench: Bench) -> None:
    append(bench, range(1))
    (entry,) = bench.events.read("a", 1)
    bench.events.retry_later("a", entry, LONG)
    assert bench.events.erase(["0"]) == 1
    assert bench.events.dead_letter_entries("a", ["0"]) == [entry]


def test_events_that_are_told_again_are_read_like_all_others(bench: Bench) -> None:
    append(bench, range(2))
    assert read_and_acknowledge(bench, "a", 9) == [0, 1]
    bench.events.tell([event(1), event(0)])
    bench.events.tell([])
    entries = bench.events.read("a", 9)
    assert [entry.event for entry in entries] == [event(1), event(0)]


def test_the_ids_in_the_stream_can_be_asked_for_little_by_little(bench: Bench) -> None:
    assert bench.events.ids() == ([], "")
    append(bench, range(3))
    ids, position = bench.events.ids()
    assert ids == ["0", "1", "2"]
    assert bench.events.ids(position) == ([], position)
    append(bench, range(3, 5))
    read_and_acknowledge(bench, "a", 9)
    assert bench.events.ids(position)[0] == ["3", "4"]


def test_there_are_as_many_ids_as_events(bench: Bench) -> None:
    bench.events.tell([event(number) for number in range(450)])
    assert bench.events.ids()[0] == [str(number) for number in range(450)]
