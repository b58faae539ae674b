"""The ledger on a real server: memory, and other workers between two of its steps."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from ingest.adapters.ledger import connect
from ingest.adapters.ledger.connection import RedisConnection
from ingest.adapters.ledger.names import Names
from ingest.adapters.ledger.redis import RedisLedger
from ingest.domain.message import OpenMessage
from ingest.domain.record import ObjectRef
from ingest.domain.seen import SeenRecord
from ingest.ports.schedule import ClockStep
from ingest.ports.seen import UNSETTLED_SECONDS, Registration
from tests.support.valkey import PERSISTENT, Valkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis

    from ingest.ports.claims import Claim

NAMES = Names()


BOX = "invoices-de"
MESSAGE = OpenMessage(
    key="ab" * 16,
    mailbox=BOX,
    unique_id="u",
    folder="f",
    source=ObjectRef(bucket="mail", key="k", size=1, sha256="0" * 64),
    first_seen=datetime(2026, 3, 1, tzinfo=UTC),
)


class InterruptedConnection(RedisConnection):
    """Calls `between` right after the next GET, as another worker might act then."""

    between: Callable[[], object] | None = None

    def call(self, *command: str | bytes | int) -> Any:
        answer = super().call(*command)
        if command[0] == "GET" and self.between is not None:
            between, self.between = self.between, None
            between()
        return answer


@pytest.fixture
def ledger(valkey: Valkey, client: Redis) -> Iterator[RedisLedger]:
    with closing(connect(valkey.url)[0]) as made:
        yield made


@pytest.fixture
def claim(ledger: RedisLedger) -> Claim:
    ledger.mailboxes.add([BOX])
    return ledger.mailboxes.claim(1, 600)[0]


def digests(count: int) -> list[bytes]:
    return [b"%016d" % number for number in range(count)]


def done(count: int) -> list[Registration]:
    return [Registration(digest, None) for digest in digests(count)]


def test_seen_message_takes_42_bytes(client: Redis, ledger: RedisLedger, claim: Claim) -> None:
    ledger.register(claim, done(10_000))
    assert client.strlen(NAMES.seen(BOX)) == 420_000


@pytest.mark.parametrize("ids", [130, 1_050, 300_000])
def test_seen_set_that_grew_slowly_has_little_unused_memory(
    client: Redis, ledger: RedisLedger, claim: Claim, ids: int
) -> None:
    """At most 25 bytes per id; a string that APPEND grows takes up to twice its length."""
    registrations, batch = done(ids), max(10, ids // 100)
    for start in range(0, ids, batch):
        ledger.register(claim, registrations[start : start + batch])
    assert len(ledger.seen(BOX).records) == ids
    assert client.memory_usage(NAMES.seen(BOX)) <= 47 * ids  # type: ignore[operator]  # a number, says the server


def test_restoring_known_digests_adds_nothing(client: Redis, ledger: RedisLedger, claim: Claim) -> None:
    ledger.restore_seen(claim, dict.fromkeys(digests(5), SeenRecord(1)), ledger.incarnation())
    ledger.restore_seen(claim, dict.fromkeys(digests(6), SeenRecord(2)), ledger.incarnation())
    assert client.strlen(NAMES.seen(BOX)) == 6 * 42
    assert ledger.seen(BOX).records == {
        **dict.fromkeys(digests(6), SeenRecord(2)),
        **dict.fromkeys(digests(5), SeenRecord(1)),
    }


def test_digest_is_recorded_once_per_message(client: Redis, ledger: RedisLedger, claim: Claim) -> None:
    for _ in range(3):
        ledger.register(claim, [Registration(b"d" * 16, MESSAGE)])
    assert client.hstrlen(NAMES.unprocessed(BOX), MESSAGE.key) == 16


def test_compaction_keeps_what_is_registered_meanwhile(valkey: Valkey, ledger: RedisLedger, claim: Claim) -> None:
    """Uploads of the same poll may still be registered under the same claim."""
    ledger.register(claim, done(3))
    connection = InterruptedConnection(valkey.url)
    connection.between = lambda: ledger.register(claim, [Registration(b"m" * 16, None)])
    with closing(RedisLedger(connection)) as interrupted:
        assert interrupted.compact(claim, {*digests(1), b"m" * 16}) == 2
    assert ledger.seen(BOX).records.keys() == {*digests(1), b"m" * 16}


def test_ledger_that_crashed_does_not_trust_its_data(tmp_path: Path) -> None:
    """It may have lost its last second, which nothing in its data shows."""
    with Valkey(tmp_path, PERSISTENT) as valkey:
        ledger, _ = connect(valkey.url)
        with closing(ledger):
            ledger.mailboxes.add([BOX])
            (claim,) = ledger.mailboxes.claim(1, 60.0)
            ledger.restore_seen(claim, {}, ledger.incarnation())
            assert ledger.seen(BOX).known
            assert not ledger.unknown([BOX])
            assert ledger.seen(BOX).notices_losses, "nothing was lost by being new"
        valkey.kill()
        valkey.start()
        ledger, _ = connect(valkey.url)
        with closing(ledger):
            assert not ledger.seen(BOX).known
            assert ledger.unknown([BOX])


@pytest.mark.parametrize(("seconds", "notices"), [(0, False), (UNSETTLED_SECONDS - 60, False), (601, True)])
def test_data_says_nothing_about_losses_for_a_while_after_one(
    client: Redis, ledger: RedisLedger, claim: Claim, seconds: float, *, notices: bool
) -> None:
    """As after a failover: workers may go on with the former primary, after a mailbox was rebuilt from the store."""
    ledger.incarnation()
    client.hset(NAMES.incarnation, "run", "that of another server")
    ledger.restore_seen(claim, {}, ledger.incarnation())
    lost = int(client.hget(NAMES.incarnation, "lost") or 0)
    client.hset(NAMES.incarnation, "lost", str(lost - round(seconds * 1000)))
    ledger.incarnation()
    assert ledger.seen(BOX).known
    assert ledger.seen(BOX).notices_losses is notices


def test_due_times_and_deadlines_move_with_a_clock_that_was_set_back(client: Redis, ledger: RedisLedger) -> None:
    """As after a step back by an hour: the scores and the last tick are an hour ahead."""
    now, hour = client.time()[0], 3600
    for key, item, seconds in (("due", "waiting", 60), ("due", "due", -5), ("claimed", "dead", 30)):
        client.zadd(f"{NAMES.mailboxes}:{key}", {item: (now + seconds + hour * (seconds > 0)) * 1000})
    client.set(NAMES.last_tick, f"{now + hour}.000000")
    back_to, again = ledger.record_tick(), ledger.record_tick()
    assert again is None
    assert back_to is not None
    assert back_to == pytest.approx(now, abs=5)
    assert ledger.clock_step() == ClockStep(back_to, now + hour)
    standing = ledger.mailboxes.standing()
    assert 50 <= standing["waiting"].due_in <= 62
    assert standing["due"].due_in == 0
    assert ledger.mailboxes.due_in("dead") is None
    assert 20_000 <= client.zscore(f"{NAMES.mailboxes}:claimed", "dead") - now * 1000 <= 32_000  # type: ignore[operator]


def test_job_whose_lease_was_written_before_the_clock_was_set_back_holds_up_no_other(
    client: Redis, ledger: RedisLedger
) -> None:
    assert ledger.begin_job("replay", "a", b"{}", 30.0)
    assert not ledger.begin_job("replay", "b", b"{}", 30.0)
    client.hset(NAMES.jobs("replay"), "until", str((client.time()[0] + 86_400) * 1000))
    assert ledger.begin_job("replay", "b", b"{}", 30.0)


@pytest.mark.parametrize("step", ["claim", "claim_one", "renew", "release"])
def test_clock_that_was_forward_while_no_scheduler_ran_is_followed(
    client: Redis, ledger: RedisLedger, step: str
) -> None:
    """As after a step forward by an hour and back: a work set and the latest time are an hour ahead."""
    ledger.record_tick()
    work, hour = ledger.mailboxes, 3600
    work.add(["a", "b"])
    (claim,) = work.claim(1, 60)
    client.delete(NAMES.latest_time)
    steps: dict[str, Callable[[], object]] = {
        "claim": lambda: work.claim(1, 60),
        "claim_one": lambda: work.claim_one("c", 60),
        "renew": lambda: work.renew(claim, 60),
        "release": lambda: work.release(claim, 60),
    }
    steps[step]()
    now = client.time()[0]
    latest = int(client.get(NAMES.latest_time) or 0)
    assert latest / 1000 == pytest.approx(now, abs=5)

    client.zadd(f"{NAMES.mailboxes}:due", {"waiting": (now + hour + 60) * 1000})
    client.set(NAMES.latest_time, latest + hour * 1000)
    assert ledger.record_tick() is not None
    assert 50 <= work.standing()["waiting"].due_in <= 62
    assert ledger.record_tick() is None


def test_throttle_opens_when_the_clock_was_set_back(client: Redis, ledger: RedisLedger) -> None:
    """As after a step back by an hour: the time at which the period ends is an hour ahead."""
    assert ledger.clock_step() is None
    assert ledger.throttle("x", 60.0)
    assert not ledger.throttle("x", 60.0)
    client.incrby(NAMES.throttle("x"), 3_600_000)
    assert ledger.throttle("x", 60.0)
    assert not ledger.throttle("x", 60.0)
