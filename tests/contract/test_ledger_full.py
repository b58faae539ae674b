"""A server that is out of memory: it takes no more mail, but everything that frees memory works."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import OutOfMemoryError

from ingest.adapters.ledger.embedded import find_server
from ingest.errors import LedgerUnavailableError
from ingest.ports.jobs import JobOrder
from ingest.ports.seen import Registration
from tests.contract.test_ledger_messages import BOX, claim_box, claim_message, event, message, registration
from tests.support.redis import redis_62_server, redis_server
from tests.support.valkey import Valkey, ValkeyBench

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = 600.0
SINKS = ["fast", "slow"]
OF_OTHERS = b"of somebody else"


@pytest.fixture(params=[find_server, redis_server, redis_62_server])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ValkeyBench]:
    with Valkey(tmp_path, ("--maxmemory-policy", "noeviction"), Path(request.param())) as server:
        made = ValkeyBench(server)
        try:
            yield made
        finally:
            made.close()


def publish(bench: ValkeyBench, numbers: range) -> None:
    box = claim_box(bench)
    bench.ledger.register(box, [registration(number) for number in numbers])
    bench.ledger.mailboxes.release(box, 0.0)
    for _ in numbers:
        claim = claim_message(bench)
        number = int(claim.id, 16)
        bench.ledger.complete(claim, message(number), event(number))


def fill(bench: ValkeyBench) -> None:
    """Let another user of the server take all memory, and more."""
    with closing(bench._server.client()) as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(OutOfMemoryError):
            client.set(OF_OTHERS, b"more")


def test_mail_and_events_are_rejected_with_a_remedy(bench: ValkeyBench) -> None:
    box = claim_box(bench)
    bench.ledger.register(box, [registration(1)])
    claim = claim_message(bench)
    fill(bench)
    with pytest.raises(LedgerUnavailableError, match="maxmemory"):
        bench.ledger.register(box, [Registration(b"d" * 16, message(2))])
    with pytest.raises(LedgerUnavailableError, match="maxmemory"):
        bench.ledger.complete(claim, message(1), event(1))
    with pytest.raises(LedgerUnavailableError, match="maxmemory"):
        bench.ledger.republish(box, [event(1)], 0.0)


def test_events_are_delivered_acknowledged_and_trimmed(bench: ValkeyBench) -> None:
    for sink in SINKS:
        bench.events.ensure_group(sink)
    bench.ledger.sinks.add(SINKS)
    publish(bench, range(1500))
    fill(bench)
    for claim in bench.ledger.sinks.claim(2, LONG):
        while entries := bench.events.read(claim.id, 500):
            bench.events.acknowledge(claim.id, [entry.position for entry in entries])
            assert bench.ledger.sinks.renew(claim, LONG)
        assert bench.ledger.sinks.release(claim, 0.0)
        assert bench.events.lag(claim.id).entries == 0
    assert bench.events.trim(SINKS) == 500


def test_schedule_goes_on(bench: ValkeyBench) -> None:
    precedence = bench.ledger.announce("1")
    assert bench.ledger.schedule_mailboxes(precedence.epoch, drop=[], add=[BOX, "other"])
    fill(bench)
    bench.ledger.record_tick()
    assert bench.ledger.announce("1", precedence.epoch).newest
    assert bench.ledger.announce("2").newest
    (claim,) = bench.ledger.mailboxes.claim(1, LONG)
    assert bench.ledger.mailboxes.release(claim, 60.0, 1)
    assert bench.ledger.mailboxes.run_now(claim.id)
    bench.ledger.mailboxes.drop(["other"])
    assert bench.ledger.mailboxes.members() == {BOX}


def test_what_a_person_drops_is_dropped(bench: ValkeyBench) -> None:
    bench.events.ensure_group("slow")
    bench.ledger.sinks.add(["slow"])
    publish(bench, range(3))
    claim = claim_box(bench)
    fill(bench)
    assert bench.ledger.forget(claim, bench.ledger.seen(BOX).records.keys()) == 3
    assert bench.events.erase(mailbox=BOX) == 3
    assert bench.events.remove("slow")


def test_purges_and_runs_of_tasks_are_recorded(bench: ValkeyBench) -> None:
    """Retention records that it runs before it erases anything, and each purge which messages are gone."""
    fill(bench)
    bench.ledger.record_task_start("retention")
    bench.events.record_purged(["0" * 32])
    assert [key for _, key in bench.events.purged("", 10)] == ["0" * 32]
    assert bench.ledger.tasks()["retention"].unfinished_since is not None
    bench.ledger.record_task_success("retention")
    assert bench.ledger.tasks()["retention"].unfinished_since is None


def test_rejected_event_is_retried_and_dead_lettered(bench: ValkeyBench) -> None:
    bench.events.ensure_group("slow")
    publish(bench, range(2))
    fill(bench)
    for entry in bench.events.read("slow", 10):
        bench.events.reject("slow", entry, 0.0)
    first, second = bench.events.retrying("slow").claim(2, LONG)
    bench.events.mark_delivered("slow", first)
    bench.events.dead_letter("slow", second)
    assert [one.entry.event.id for one in bench.events.rejected("slow", 10)] == [second.id]


def test_sessions_go_on_and_are_ended(bench: ValkeyBench) -> None:
    for digest in "ab":
        bench.ledger.put_session(digest, "anna", LONG, LONG, ["name"])
    bench.ledger.shared_key("x")
    fill(bench)
    assert bench.ledger.session("a", 2 * LONG) == "anna"
    assert bench.ledger.shared_key("y") == "x"
    bench.ledger.drop_session("a")
    assert bench.ledger.session("a") is None
    assert bench.ledger.drop_sessions(["name"], "logout", LONG) == 1
    assert bench.ledger.session("b") is None


def test_jobs_go_on_are_stopped_and_forgotten(bench: ValkeyBench) -> None:
    assert bench.ledger.begin_job("replay", "01", b"body", LONG)
    fill(bench)
    assert bench.ledger.report_job("replay", "01", b"body", LONG) is JobOrder.CONTINUE
    assert bench.ledger.stop_job("replay", "01")
    assert bench.ledger.report_job("replay", "01", b"body", LONG) is JobOrder.STOP
    with closing(bench._server.client()) as client:
        (key,) = client.keys("*jobs*")
        assert client.pttl(key) > 0
    bench.ledger.end_job("replay", "01", b"done")
    assert [(one.body, one.active) for one in bench.ledger.jobs("replay")] == [(b"done", False)]
