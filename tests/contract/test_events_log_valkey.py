"""The event stream on a real server: foreign consumers, and changes from outside."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.ledger import connect, names
from ingest.adapters.ledger.names import Names
from ingest.ports.eventlog import GroupLag
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from ingest.adapters.ledger.eventlog import RedisEventLog
    from tests.support.valkey import Valkey

NAMES = Names()


@pytest.fixture
def events(valkey: Valkey, client: Redis) -> Iterator[RedisEventLog]:
    ledger, made = connect(valkey.url)
    yield made
    ledger.close()


def append(client: Redis, count: int) -> list[bytes]:
    with client.pipeline() as pipeline:
        for number in range(count):
            pipeline.xadd(NAMES.events, {"id": str(number), "type": "t", "mailbox": "m", "body": "{}"})
        return list(pipeline.execute())


def read_all(events: RedisEventLog, sink: str) -> None:
    entries = events.read(sink, 10_000)
    events.acknowledge(sink, [entry.position for entry in entries])


def test_more_rejected_events_than_one_look_returns_are_all_listed(client: Redis, events: RedisEventLog) -> None:
    append(client, 700)
    for entry in events.read("a", 700):
        events.reject("a", entry, 0.0)
    assert [one.entry.event.id for one in events.rejected("a", 1_000)] == [str(number) for number in range(700)]
    assert len(events.rejected("a", 100)) == 100


def test_trimming_waits_for_a_group_that_a_consumer_created(client: Redis, events: RedisEventLog) -> None:
    append(client, 1_300)
    client.xgroup_create(NAMES.events, "warehouse", "0")
    read_all(events, "a")
    client.xreadgroup("warehouse", "one", {NAMES.events: ">"}, count=40)
    assert events.trim(["a"]) == 0
    first = client.xpending_range(NAMES.events, "warehouse", "-", "+", 30)
    client.xack(NAMES.events, "warehouse", *(row["message_id"] for row in first))
    assert events.trim(["a"]) == 30


def test_trimming_removes_more_than_one_script_call_does(client: Redis, events: RedisEventLog) -> None:
    append(client, 3_700)
    read_all(events, "a")
    assert events.trim(["a"]) == 2_700
    assert client.xlen(NAMES.events) == 1_000


def test_trimming_without_sinks_keeps_the_last_thousand(client: Redis, events: RedisEventLog) -> None:
    append(client, 1_001)
    assert events.trim([]) == 1


def test_destroyed_group_is_recreated(client: Redis, events: RedisEventLog) -> None:
    append(client, 2)
    read_all(events, "a")
    client.xgroup_destroy(NAMES.events, names.group("a"))
    assert events.lag("a").entries == 2
    assert [entry.event.id for entry in events.read("a", 10)] == ["0", "1"]


def test_recreated_group_starts_where_its_sink_began(client: Redis, events: RedisEventLog) -> None:
    append(client, 2)
    events.begin("late", now=True)
    append(client, 2)
    read_all(events, "late")
    client.xgroup_destroy(NAMES.events, names.group("late"))
    events.begin("late", now=True)
    assert [entry.event.id for entry in events.read("late", 10)] == ["0", "1"]


def test_sink_gets_the_events_of_a_stream_that_began_anew_after_the_clock_was_set_back(
    client: Redis, events: RedisEventLog
) -> None:
    client.xadd(NAMES.events, {"id": "x", "type": "t", "mailbox": "m", "body": "{}"}, id="9999999999999-0")
    events.begin("late", now=True)
    events.ensure_group("late")
    client.delete(NAMES.events)
    append(client, 2)
    assert events.lag("late").entries == 2
    assert [entry.event.id for entry in events.read("late", 10)] == ["0", "1"]


def test_deleted_entry_is_skipped(client: Redis, events: RedisEventLog) -> None:
    positions = append(client, 3)
    events.read("a", 2)
    client.xdel(NAMES.events, positions[0])
    found = events.read("a", 10)
    assert [entry.event.id for entry in found] == ["1", "2"]
    events.acknowledge("a", [entry.position for entry in found])
    assert events.lag("a") == GroupLag(0, 0.0)


def test_lag_is_counted_when_the_server_does_not_know_it(client: Redis, events: RedisEventLog) -> None:
    """XINFO has no lag after an entry in the middle was deleted."""
    positions = append(client, 350)
    events.read("a", 10)
    client.xdel(NAMES.events, positions[200])
    (group,) = client.xinfo_groups(NAMES.events)
    assert group["lag"] is None
    assert events.lag("a").entries == 349


def test_all_keys_are_in_one_cluster_slot(client: Redis, events: RedisEventLog) -> None:
    append(client, 1)
    (entry,) = events.read("a", 1)
    events.reject("a", entry, 0.0)
    events.retrying("a").claim(1, 60)
    assert client.dbsize() >= 6
    assert sorted(client.keys("{mailhaul}:*")) == sorted(client.keys("*"))


@pytest.mark.parametrize("behind", ["the last one", "now"])
def test_waiting_ends_with_the_next_entry(client: Redis, events: RedisEventLog, behind: str) -> None:
    append(client, 1)
    position = events.ids()[1] if behind == "the last one" else ""
    found: list[bool] = []
    waiting = threading.Thread(target=lambda: found.append(events.wait(position, 10.0)))
    waiting.start()
    eventually(lambda: client.info("clients")["blocked_clients"] == 1)
    append(client, 1)
    waiting.join()
    assert found == [True]
