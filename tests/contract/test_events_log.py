"""The event log, on the twin and on Valkey: no unread event is lost, and no sink delays another."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ingest.domain.events import Event
from ingest.domain.message import OpenMessage
from ingest.domain.record import ObjectRef
from ingest.ports.eventlog import ANSWERS_KEPT, Answer, Followed, GroupLag, order_of
from ingest.ports.seen import Registration
from ingest.ports.status import SinkStatus

if TYPE_CHECKING:
    from ingest.ports.claims import Claim
    from ingest.ports.eventlog import Entry
    from tests.support.valkey import LedgerBench

BOX = "invoices-de"
FIRST_SEEN = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
LONG, SHORT = 600.0, 0.05


def append(bench: LedgerBench, numbers: range) -> None:
    """Append events `0`, `1`, ... by completing messages."""
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


def read_and_acknowledge(bench: LedgerBench, sink: str, limit: int) -> list[int]:
    entries = bench.events.read(sink, limit)
    bench.events.acknowledge(sink, [entry.position for entry in entries])
    return ids(entries)


def claim_retrying(bench: LedgerBench, sink: str, lease: float = LONG) -> Claim:
    (claim,) = bench.events.retrying(sink).claim(1, lease)
    return claim


def test_empty_stream_has_nothing_to_read(bench: LedgerBench) -> None:
    assert bench.events.read("a", 10) == []
    assert bench.events.lag("a") == GroupLag(0, 0.0)
    assert bench.events.trim(["a"]) == 0


def test_events_are_read_unchanged_and_in_order(bench: LedgerBench) -> None:
    append(bench, range(3))
    entries = bench.events.read("a", 10)
    assert [entry.event for entry in entries] == [event(number) for number in range(3)]
    assert [entry.first_seen for entry in entries] == [FIRST_SEEN.timestamp()] * 3
    assert all(abs(entry.appended - bench.now()) < 60 for entry in entries)
    assert len({entry.position for entry in entries}) == 3


def test_new_group_starts_at_the_beginning(bench: LedgerBench) -> None:
    append(bench, range(2))
    bench.events.ensure_group("late")
    assert ids(bench.events.read("late", 10)) == [0, 1]


def test_sink_that_begins_now_reads_only_later_events(bench: LedgerBench) -> None:
    append(bench, range(3))
    bench.events.begin("late", now=True)
    append(bench, range(3, 5))
    bench.events.ensure_group("late")
    assert ids(bench.events.read("late", 10)) == [3, 4]


def test_trimming_by_a_process_that_does_not_know_a_sink_keeps_its_position(bench: LedgerBench) -> None:
    """A process with an older configuration, about to stop, does not know a new sink."""
    append(bench, range(2))
    bench.events.begin("late", now=True)
    append(bench, range(2, 4))
    assert read_and_acknowledge(bench, "late", 1) == [2]
    bench.events.trim([])
    append(bench, range(4, 5))
    bench.events.begin("late", now=True)
    assert ids(bench.events.read("late", 10)) == [3, 4]


def test_only_the_first_begin_of_a_sink_counts(bench: LedgerBench) -> None:
    append(bench, range(2))
    bench.events.begin("early", now=False)
    bench.events.begin("early", now=True)
    assert ids(bench.events.read("early", 10)) == [0, 1]


def test_ensuring_a_group_twice_does_not_move_it(bench: LedgerBench) -> None:
    bench.events.ensure_group("a")
    append(bench, range(2))
    assert read_and_acknowledge(bench, "a", 10) == [0, 1]
    bench.events.ensure_group("a")
    assert bench.events.read("a", 10) == []


def test_unacknowledged_entries_are_read_again_before_new_ones(bench: LedgerBench) -> None:
    append(bench, range(4))
    first = bench.events.read("a", 2)
    bench.events.acknowledge("a", [first[0].position])
    assert ids(bench.events.read("a", 2)) == [1, 2]
    assert ids(bench.events.read("a", 10)) == [1, 2, 3]


def test_acknowledging_nothing_changes_nothing(bench: LedgerBench) -> None:
    append(bench, range(2))
    (first, _) = bench.events.read("a", 2)
    bench.events.acknowledge("a", [])
    bench.events.acknowledge("unknown", [first.position])
    assert bench.events.lag("a").entries == 2
    assert ids(bench.events.read("unknown", 2)) == [0, 1]


def test_sinks_read_independently(bench: LedgerBench) -> None:
    append(bench, range(3))
    assert read_and_acknowledge(bench, "fast", 10) == [0, 1, 2]
    assert ids(bench.events.read("slow", 1)) == [0]
    assert bench.events.lag("fast").entries == 0
    assert bench.events.lag("slow").entries == 3


def test_lag_counts_unread_and_unacknowledged_entries(bench: LedgerBench) -> None:
    append(bench, range(5))
    assert bench.events.lag("a").entries == 5
    entries = bench.events.read("a", 3)
    assert bench.events.lag("a").entries == 5
    bench.events.acknowledge("a", [entry.position for entry in entries[1:]])
    assert bench.events.lag("a").entries == 3


def test_lag_has_the_age_of_the_oldest_entry(bench: LedgerBench) -> None:
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


def test_rejected_event_leaves_the_group_and_others_are_read(bench: LedgerBench) -> None:
    append(bench, range(2))
    rejected, _ = bench.events.read("a", 2)
    bench.events.reject("a", rejected, LONG)
    assert ids(bench.events.read("a", 10)) == [1]
    assert bench.events.lag("a").entries == 1
    assert bench.events.rejected_entries("a", ["0", "1"]) == [rejected, None]
    assert bench.ledger.counts()["dead_letters"] == 1
    assert ids(bench.events.read("b", 10)) == [0, 1]


def test_rejected_event_is_retried_after_its_delay(bench: LedgerBench) -> None:
    append(bench, range(1))
    (rejected,) = bench.events.read("a", 1)
    bench.events.reject("a", rejected, 0.2)
    assert bench.events.retrying("a").claim(1, LONG) == []
    assert bench.events.retrying("a").backlog().waiting == 1
    bench.pass_time(0.2)
    assert claim_retrying(bench, "a").id == "0"
    assert bench.events.retrying("b").members() == set()


def test_rejecting_an_event_again_keeps_the_claim_on_it(bench: LedgerBench) -> None:
    """A republished event is in the stream again, with the same id."""
    append(bench, range(1))
    (rejected,) = bench.events.read("a", 1)
    bench.events.reject("a", rejected, 0.0)
    claim = claim_retrying(bench, "a")
    bench.events.reject("a", rejected, 0.0)
    assert bench.events.retrying("a").claim(1, LONG) == []
    assert bench.events.retrying("a").renew(claim, LONG)


def test_event_that_a_retry_delivered_leaves_the_queue(bench: LedgerBench) -> None:
    append(bench, range(1))
    (rejected,) = bench.events.read("a", 1)
    bench.events.reject("a", rejected, 0.0)
    bench.events.mark_delivered("a", claim_retrying(bench, "a"))
    assert bench.events.retrying("a").members() == set()
    assert bench.events.rejected_entries("a", ["0"]) == [None]
    assert bench.ledger.counts()["dead_letters"] == 0


def test_delivered_event_leaves_the_queue_even_if_the_claim_expired(bench: LedgerBench) -> None:
    append(bench, range(1))
    (rejected,) = bench.events.read("a", 1)
    bench.events.reject("a", rejected, 0.0)
    old = claim_retrying(bench, "a", SHORT)
    bench.pass_time(SHORT)
    new = claim_retrying(bench, "a")
    bench.events.mark_delivered("a", old)
    assert not bench.events.retrying("a").release(new, 0.0)
    assert bench.events.rejected_entries("a", ["0"]) == [None]


def test_dead_lettered_event_is_kept_without_a_due_time(bench: LedgerBench) -> None:
    append(bench, range(1))
    (rejected,) = bench.events.read("a", 1)
    bench.events.reject("a", rejected, 0.0)
    bench.events.dead_letter("a", claim_retrying(bench, "a"))
    assert bench.events.retrying("a").members() == set()
    assert bench.events.rejected_entries("a", ["0"]) == [rejected]
    assert bench.ledger.counts()["dead_letters"] == 1


def test_asking_for_no_rejected_entries_returns_none(bench: LedgerBench) -> None:
    assert bench.events.rejected_entries("a", []) == []


def test_rejected_events_are_counted_over_all_sinks(bench: LedgerBench) -> None:
    append(bench, range(2))
    for sink in ("a", "b"):
        for entry in bench.events.read(sink, 2):
            bench.events.reject(sink, entry, LONG)
    assert bench.ledger.counts()["dead_letters"] == 4


def test_lost_stream_starts_empty(bench: LedgerBench) -> None:
    append(bench, range(3))
    assert read_and_acknowledge(bench, "a", 10) == [0, 1, 2]
    bench.lose()
    assert bench.events.lag("a") == GroupLag(0, 0.0)
    append(bench, range(3, 5))
    assert bench.events.lag("a").entries == 2
    assert ids(bench.events.read("a", 10)) == [3, 4]


@pytest.fixture
def many(bench: LedgerBench) -> int:
    """A stream of 1,250 events, of which 1,000 always stay."""
    append(bench, range(1_250))
    return 1_250


def test_trimming_keeps_the_last_thousand(bench: LedgerBench, many: int) -> None:
    assert read_and_acknowledge(bench, "a", many) == list(range(many))
    assert bench.events.trim(["a"]) == 250
    assert bench.ledger.counts()["events"] == 1_000
    assert bench.events.trim(["a"]) == 0
    assert ids(bench.events.read("later", 1)) == [250]


def test_trimming_keeps_fewer_while_memory_is_short(bench: LedgerBench, many: int) -> None:
    read_and_acknowledge(bench, "a", many)
    assert bench.events.trim(["a"], nearly_full=True) == many - 100
    assert bench.ledger.counts()["events"] == 100


def test_trimming_stops_at_the_slowest_group(bench: LedgerBench, many: int) -> None:
    read_and_acknowledge(bench, "fast", many)
    read_and_acknowledge(bench, "slow", 130)
    assert bench.events.trim(["fast", "slow"]) == 130
    assert ids(bench.events.read("slow", 1)) == [130]


def test_trimming_stops_at_the_oldest_unacknowledged_event(bench: LedgerBench, many: int) -> None:
    entries = bench.events.read("a", many)
    bench.events.acknowledge("a", [entry.position for entry in entries if entry.event.id != "77"])
    assert bench.events.trim(["a"]) == 77
    assert bench.events.read("a", 10)[0].event == event(77)
    assert bench.events.lag("a").entries == 1


def test_trimming_waits_for_a_sink_that_has_read_nothing(bench: LedgerBench, many: int) -> None:
    read_and_acknowledge(bench, "a", many)
    assert bench.events.trim(["a", "new"]) == 0
    assert ids(bench.events.read("new", 1)) == [0]


def test_sink_that_left_the_configuration_holds_the_stream_for_a_day(bench: LedgerBench, many: int) -> None:
    """A process that runs with an older configuration must not destroy the position of a new sink."""
    read_and_acknowledge(bench, "left", 5)
    read_and_acknowledge(bench, "a", many)
    assert bench.events.left() == {}
    assert bench.events.trim(["a"]) == 5
    assert bench.events.left() == {"left": pytest.approx(bench.now(), abs=60)}
    assert ids(bench.events.read("left", 1)) == [5]


def test_sink_that_comes_back_continues_where_it_was(bench: LedgerBench, many: int) -> None:
    read_and_acknowledge(bench, "a", 5)
    bench.events.trim([])
    bench.events.trim(["a"], retired_after=0.0)
    assert bench.events.left() == {}
    assert ids(bench.events.read("a", 1)) == [5]


def test_sink_is_retired_after_its_time(bench: LedgerBench, many: int) -> None:
    bench.events.begin("left", now=True)
    bench.events.read("left", 5)
    read_and_acknowledge(bench, "a", many)
    assert bench.events.trim(["a"], retired_after=0.0) == 250
    assert bench.events.left() == {}
    assert ids(bench.events.read("left", 1)) == [250]


def test_removed_sink_leaves_nothing_behind(bench: LedgerBench, many: int) -> None:
    (entry,) = bench.events.read("left", 1)
    bench.events.reject("left", entry, LONG)
    read_and_acknowledge(bench, "a", many)
    bench.events.trim(["a"])
    assert bench.events.remove("left")
    assert not bench.events.remove("left")
    assert bench.events.left() == {}
    assert bench.events.rejected("left", 10) == []
    assert bench.ledger.counts()["dead_letters"] == 0
    assert bench.events.trim(["a"]) == 249


def test_lag_is_correct_after_trimming(bench: LedgerBench, many: int) -> None:
    read_and_acknowledge(bench, "a", 200)
    assert bench.events.trim(["a"]) == 200
    assert bench.events.lag("a").entries == many - 200
    assert bench.events.lag("new").entries == many - 200


def test_rejected_events_are_listed_oldest_first_with_their_state(bench: LedgerBench) -> None:
    append(bench, range(4))
    for entry in reversed(bench.events.read("a", 4)):
        bench.events.reject("a", entry, LONG if entry.event.id != "2" else 0.0)
    bench.events.dead_letter("a", claim_retrying(bench, "a"))
    listed = bench.events.rejected("a", 10)
    assert [(int(one.entry.event.id), one.retrying) for one in listed] == [
        (0, True),
        (1, True),
        (2, False),
        (3, True),
    ]
    assert listed[2].entry.event == event(2)
    assert len(bench.events.rejected("a", 3)) == 3
    assert bench.events.rejected("b", 10) == []


def test_retrying_and_dead_lettered_events_can_be_retried_at_once(bench: LedgerBench) -> None:
    append(bench, range(3))
    for entry in bench.events.read("a", 3):
        bench.events.reject("a", entry, LONG if entry.event.id == "0" else 0.0)
    for claim in bench.events.retrying("a").claim(2, LONG):
        bench.events.dead_letter("a", claim)
    assert bench.events.retry_rejected("a", ["0", "1", "never"]) == 2
    claims = bench.events.retrying("a").claim(10, LONG)
    assert {(claim.id, claim.tries) for claim in claims} == {("0", 1), ("1", 1)}
    assert [one.retrying for one in bench.events.rejected("a", 10)] == [True, True, False]
    # The delivery watermark waits for retried events again.
    bench.events.drop_rejected("a", ["0"])
    (_, second, _) = bench.events.rejected_entries("a", ["0", "1", "2"])
    assert second is not None
    assert bench.events.oldest_retrying("a") == second.appended


def test_rejected_events_can_be_dropped(bench: LedgerBench) -> None:
    append(bench, range(3))
    for entry in bench.events.read("a", 3):
        bench.events.reject("a", entry, LONG)
    assert bench.events.drop_rejected("a", ["0", "2", "never"]) == 2
    assert [int(one.entry.event.id) for one in bench.events.rejected("a", 10)] == [1]
    assert bench.events.retrying("a").members() == {"1"}
    assert bench.ledger.counts()["dead_letters"] == 1


def test_erased_events_are_gone_whether_read_or_not(bench: LedgerBench) -> None:
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


def test_id_without_a_number_erases_the_events_of_all_updates(bench: LedgerBench) -> None:
    base, other = "a" * 32, "b" * 32
    made = [Event(id_, "dev.mailhaul.message.updated.v1", BOX, b"{}") for id_ in (f"{base}-1", f"{base}-12", other)]
    bench.events.republish(made)
    assert bench.events.erase([base]) == 2
    assert bench.events.ids()[0] == [other]
    assert bench.events.erase([f"{other}-1"]) == 0


def test_sink_that_begins_after_erased_events_misses_nothing(bench: LedgerBench) -> None:
    append(bench, range(3))
    bench.events.begin("late", now=True)
    append(bench, range(3, 5))
    bench.events.erase(["0", "3"])
    assert ids(bench.events.read("late", 10)) == [4]


def test_all_events_of_a_mailbox_can_be_erased(bench: LedgerBench) -> None:
    """More events than one script call looks at."""
    append(bench, range(450))
    assert bench.events.erase(mailbox="another") == 0
    assert bench.events.erase() == 0
    assert bench.events.erase(mailbox=BOX) == 450
    assert bench.events.read("a", 10) == []


def test_rejected_event_stays_when_it_is_erased_from_the_stream(bench: LedgerBench) -> None:
    append(bench, range(1))
    (entry,) = bench.events.read("a", 1)
    bench.events.reject("a", entry, LONG)
    assert bench.events.erase(["0"]) == 1
    assert bench.events.rejected_entries("a", ["0"]) == [entry]


def test_republished_events_are_read_like_all_others(bench: LedgerBench) -> None:
    append(bench, range(2))
    assert read_and_acknowledge(bench, "a", 9) == [0, 1]
    bench.events.republish([event(1), event(0)])
    bench.events.republish([])
    entries = bench.events.read("a", 9)
    assert [entry.event for entry in entries] == [event(1), event(0)]
    assert bench.ledger.clock_step() is None, "every sink had confirmed them"
    assert bench.ledger.counts()["events"] == 4


def test_watermark_can_wait_for_republished_events(bench: LedgerBench) -> None:
    bench.events.republish([event(1)], 1_000.5)
    bench.events.republish([], 1.0)
    (entry,) = bench.events.read("a", 9)
    step = bench.ledger.clock_step()
    assert step is not None
    assert step.earliest == 1_000.5
    assert step.not_before(entry.appended, 1.0) == 1_000.5


def test_ids_can_be_read_incrementally(bench: LedgerBench) -> None:
    assert bench.events.ids() == ([], "")
    append(bench, range(3))
    ids, position = bench.events.ids()
    assert ids == ["0", "1", "2"]
    assert bench.events.ids(position) == ([], position)
    append(bench, range(3, 5))
    read_and_acknowledge(bench, "a", 9)
    assert bench.events.ids(position)[0] == ["3", "4"]


def test_waiting_ends_at_once_if_there_is_an_entry_behind_the_position(bench: LedgerBench) -> None:
    append(bench, range(2))
    first, last = bench.events.read("a", 9)
    assert bench.events.wait(first.position, LONG)
    assert not bench.events.wait(last.position, SHORT)
    assert not bench.events.wait("", SHORT), "only entries from now on count"


def test_all_ids_are_returned(bench: LedgerBench) -> None:
    bench.events.republish([event(number) for number in range(450)])
    assert bench.events.ids()[0] == [str(number) for number in range(450)]


def test_status_of_a_sink_is_kept_until_the_sink_is_removed(bench: LedgerBench) -> None:
    assert bench.events.sink_status("a") == SinkStatus()
    status = SinkStatus(1.5, 2.5, "http_503", {"e1": 3})
    bench.events.put_sink_status("a", status)
    assert bench.events.sink_status("a") == status
    assert bench.events.sink_status("b") == SinkStatus()
    bench.events.remove("a")
    assert bench.events.sink_status("a") == SinkStatus()


def test_reader_without_a_group_follows_the_stream_and_does_not_hold_it(bench: LedgerBench) -> None:
    append(bench, range(2))
    start = bench.events.follow("", 10)
    assert (ids(start.entries), start.lost) == ([0, 1], True)
    append(bench, range(2, 5))
    first = bench.events.follow(start.position, 2)
    assert (ids(first.entries), first.lost) == ([2, 3], False)
    second = bench.events.follow(first.position, 10)
    assert (ids(second.entries), second.lost) == ([4], False)
    assert bench.events.follow(second.position, 10) == Followed([], second.position)


def test_reader_without_a_group_learns_that_entries_were_removed_unread(bench: LedgerBench) -> None:
    append(bench, range(2))
    behind = bench.events.follow("", 10).position
    append(bench, range(2, 5))
    bench.events.erase([str(number) for number in range(3)])
    lost = bench.events.follow(behind, 10)
    assert (ids(lost.entries), lost.lost) == ([3, 4], True)
    append(bench, range(5, 6))
    assert ids(bench.events.follow(lost.position, 10).entries) == [5]


def test_reader_loses_nothing_when_an_entry_is_erased_that_it_has_read(bench: LedgerBench) -> None:
    append(bench, range(3))
    behind = bench.events.follow("", 10).position
    bench.events.erase(["2"])
    assert bench.events.follow(behind, 10) == Followed([], behind)
    append(bench, range(3, 4))
    assert ids(bench.events.follow(behind, 10).entries) == [3]


def test_position_of_a_stream_that_was_lost_counts_as_lost(bench: LedgerBench) -> None:
    assert bench.events.follow("99999999999999-0", 10).lost
    empty = bench.events.follow("", 10)
    assert (empty.entries, empty.lost) == ([], True)
    assert not bench.events.follow(empty.position, 10).lost


def test_confirmed_position_follows_the_slowest_entry_of_each_sink(bench: LedgerBench) -> None:
    append(bench, range(3))
    entries = bench.events.read("a", 10)
    bench.events.acknowledge("a", [entries[0].position, entries[2].position])
    assert bench.events.confirmed(["a", "none"]) == {"a": entries[1].position}
    bench.events.acknowledge("a", [entries[1].position])
    assert order_of(bench.events.confirmed(["a"])["a"]) > order_of(entries[2].position)


def test_purged_messages_are_listed_in_order_for_readers_with_copies(bench: LedgerBench) -> None:
    assert bench.events.purged("", 10) == []
    bench.events.record_purged(["aa", "bb"])
    bench.events.record_purged(["cc"])
    (position, first), *_ = bench.events.purged("", 1)
    assert first == "aa"
    assert [key for _, key in bench.events.purged(position, 10)] == ["bb", "cc"]


def test_answers_are_recorded_with_what_is_acknowledged_and_read_by_position(bench: LedgerBench) -> None:
    append(bench, range(1, 4))
    entries = bench.events.read("a", 10)
    known = [Answer("1", "delivered", "http_204"), Answer("2", "skipped"), Answer("3", "delivered", "http_204", 2)]
    bench.events.acknowledge("a", [entry.position for entry in entries[:2]], known)
    assert bench.events.lag("a").entries == 1
    bench.events.acknowledge("b", [], [Answer("1", "dead_lettered", "http_400", 12)])
    first, second = bench.events.answers("", 10)
    assert (first.sink, second.sink) == ("a", "b")
    assert sorted(first.answers, key=lambda one: one.event) == known
    assert second.answers == [Answer("1", "dead_lettered", "http_400", 12)]
    assert abs(first.at - bench.now()) < 60
    assert bench.events.answers("", 1) == [first]
    assert bench.events.answers(first.position, 10) == [second]
    assert bench.events.answers(second.position, 10) == []


def test_only_the_last_answers_are_kept(bench: LedgerBench) -> None:
    for number in range(ANSWERS_KEPT + 300):
        bench.events.acknowledge("a", [], [Answer(str(number), "delivered")])
    kept, behind = 0, ""
    while found := bench.events.answers(behind, 500):
        kept, behind = kept + len(found), found[-1].position
    assert ANSWERS_KEPT <= kept <= ANSWERS_KEPT + 200, "a server removes the oldest by blocks"
    assert found == []
    assert bench.events.answers("", 1)[0].answers[0].event != "0"


def test_event_that_is_republished_for_one_sink_names_it(bench: LedgerBench) -> None:
    append(bench, range(1))
    bench.events.republish([event(1), event(2)], None, "erp")
    bench.events.republish([event(3)])
    assert [entry.only for entry in bench.events.read("erp", 10)] == ["", "erp", "erp", ""]
    assert [entry.only for entry in bench.events.follow("", 10).entries] == ["", "erp", "erp", ""]
    assert bench.ledger.counts()["events"] == 4


def test_event_for_one_sink_is_not_taken_for_one_that_all_get(bench: LedgerBench) -> None:
    """A rebuild republishes what is not in the stream, and the other sinks may have lost this one."""
    append(bench, range(1))
    bench.events.republish([event(number) for number in range(1, 450)], only="erp")
    assert bench.events.ids()[0] == ["0"]
    append(bench, range(2_000, 2_001))
    found, position = bench.events.ids()
    assert found == ["0", "2000"]
    bench.events.republish([event(2_001)], only="erp")
    found, last = bench.events.ids(position)
    assert found == []
    assert order_of(last) > order_of(position)
