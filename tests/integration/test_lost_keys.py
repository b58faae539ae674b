"""A Redis loses single keys, as by eviction: it is noticed, and nothing is lost."""

from __future__ import annotations

import math
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ingest.adapters.ledger import connect
from ingest.adapters.ledger.connection import RedisConnection
from ingest.adapters.ledger.incarnation import Incarnation
from ingest.adapters.ledger.names import Names
from ingest.adapters.stores.memory import MemoryStore
from ingest.admin.replay import find_manifests
from ingest.admin.reprocess import Reprocess
from ingest.domain.cloudevents import failed_event
from ingest.domain.keys import Layout
from ingest.domain.mailbox import Credentials, Deletion
from ingest.domain.message import FailedMessage
from ingest.metrics import Metrics
from ingest.ports.sink import Outcome, Verdict
from ingest.testing.maildrop import MemoryConnector, MemoryMaildrop
from ingest.testing.sink import MemorySink
from ingest.testing.wakeups import MemoryWakeups
from ingest.usecases.process import derived
from ingest.usecases.process.reprocessing import Reprocessor
from ingest.usecases.schedule import Schedule
from ingest.wiring.runtime import Runtime
from tests.support.bench import mail, mailbox, message_key, never
from tests.support.clock import Clock, Waits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.domain.events import Event
    from tests.support.valkey import Valkey

BOX = mailbox("a", deletion=Deletion(after=0))
MAILS = {name: mail(name) for name in ("delivered", "rejected", "failed", "undelivered", "open")}
NAMES = Names()
RETRYING = NAMES.retrying("main")
# The keys that hold mail and events; the others only say what is to be done next, and are made anew.
HOLDING = (
    NAMES.events,
    NAMES.open,
    NAMES.open_since,
    f"{NAMES.messages}:due",
    NAMES.failed,
    NAMES.rejected("main"),
    f"{RETRYING}:due",
    NAMES.retrying_appended("main"),
    NAMES.counts,
)
OTHERS = (
    NAMES.seen("a"),
    NAMES.unprocessed("a"),
    NAMES.unprocessed_counts,
    f"{NAMES.mailboxes}:due",
    f"{NAMES.sinks}:due",
    NAMES.begins,
    NAMES.changes,
    NAMES.checkpointed,
    NAMES.configuration,
    NAMES.fence,
    NAMES.incarnation,
    NAMES.last_success,
    NAMES.last_tick,
    NAMES.latest_time,
    NAMES.rebuilt,
    NAMES.rejecting_sinks,
    NAMES.schedule,
    NAMES.sink_statuses,
    NAMES.status,
    NAMES.last_logins,
    NAMES.content,
    NAMES.content_generations[1],
    NAMES.content_restored,
)


class World:
    """What stays when a process ends: the server, the store, the sink, and the ledger."""

    def __init__(self, valkey: Valkey) -> None:
        self.url = valkey.url
        valkey.flush()
        self.client = valkey.client()
        second, microsecond = self.client.time()
        self.clock = Clock(float(second) + float(microsecond) / 1e6)
        self.maildrop = MemoryMaildrop(messages={name.encode(): raw for name, raw in MAILS.items()})
        self.store = MemoryStore(clock=self.clock)
        self.sink = MemorySink("main")
        self.schedule = Schedule(["a"], ["main"], "digest")

    @contextmanager
    def process(self) -> Iterator[Runtime]:
        """A process that knows nothing but what it reads."""
        ledger, events = connect(self.url)
        runtime = Runtime(
            ledger=ledger,
            events=events,
            store=self.store,
            layout=Layout(),
            sinks={"main": self.sink},
            wakeups=MemoryWakeups(),
            metrics=Metrics(),
            connect=MemoryConnector({"a": self.maildrop}),
            mailboxes=lambda: {"a": BOX},
            credentials=lambda _: Credentials("user", "secret"),
            fingerprint=lambda _: b"",
            schedule=lambda: self.schedule,
            now=self.clock.now,
        )
        with closing(runtime):
            yield runtime

    def prepare(self) -> None:
        """One message in each state."""
        rejected = Outcome(Verdict.REJECTED, "http_400")
        self.sink.verdict = lambda event: (
            rejected if b'"subject":"rejected"' in event.body.replace(b": ", b":") else Outcome(Verdict.DELIVERED)
        )
        with self.process() as runtime:
            runtime.ticker.tick(self.schedule)
            runtime.poll_stage.run(never)
            for claim in runtime.ledger.messages.claim(10, 60.0):
                (message,) = runtime.ledger.open_messages([claim.id])
                assert message is not None
                name = message.unique_id
                if name == "failed":
                    failed = FailedMessage(message=message, reason="x", tries=9, failed_at=self.clock.now())
                    runtime.ledger.fail(claim, failed, failed_event(message, "x", self.clock.now()))
                elif name in {"delivered", "rejected"}:
                    runtime.process_stage.handle(claim)
                else:
                    runtime.ledger.messages.release(claim, 0.0)
            runtime.relay_stage.run(never)
            for claim in runtime.ledger.messages.claim(10, 60.0):
                (message,) = runtime.ledger.open_messages([claim.id])
                assert message is not None
                if message.unique_id == "undelivered":
                    runtime.process_stage.handle(claim)
                else:
                    runtime.ledger.messages.release(claim, 0.0)
        assert len(self.sink.delivered) == 2, "the event of `delivered`, and that `failed` has failed"

    def go_on(self) -> None:
        """Do all that is to be done, in processes that were started after the loss."""
        self.sink.verdict = lambda _: Outcome(Verdict.DELIVERED)
        self.clock.advance(60)
        # Restored messages, which have no Message-ID, are fetched once more and deleted in a later poll.
        for _ in range(5):
            with self.process() as runtime:
                runtime.ticker.tick(self.schedule)
                for work in (runtime.ledger.mailboxes, runtime.ledger.messages, runtime.ledger.sinks):
                    for item in work.members():
                        work.run_now(item)
                for event_id in (retrying := runtime.events.retrying("main")).members():
                    retrying.run_now(event_id)
                runtime.poll_stage.run(never)
                runtime.process_stage.run(never)
                runtime.relay_stage.run(never)

    def published(self) -> set[str]:
        """The types and message keys of the events that the sink got, as one string each."""
        return {f"{event.type} {_subject(event)}" for event in self.sink.delivered}


def _subject(event: Event) -> str:
    return next(name for name, raw in MAILS.items() if message_key("a", raw).encode() in event.body)


@pytest.fixture
def world(valkey: Valkey) -> Iterator[World]:
    made = World(valkey)
    made.prepare()
    yield made
    made.client.close()


def test_every_key_is_among_those_that_are_lost_in_turn(world: World) -> None:
    passing = {NAMES.throttle("published"), f"{NAMES.messages}:tries", f"{RETRYING}:tries", f"{NAMES.sinks}:tries"}
    passing |= {f"{NAMES.mailboxes}:tries", f"{RETRYING}:fences"}
    found = {bytes(key).decode() for key in world.client.scan_iter("*") if isinstance(key, bytes)}
    assert {key for key in found if ":slots:" not in key} - passing - {*HOLDING, *OTHERS} == set()
    assert set(HOLDING) - found == set()


@pytest.mark.parametrize("key", [*HOLDING, *OTHERS])
def test_a_lost_key_loses_no_mail_and_no_event(world: World, key: str) -> None:
    world.client.delete(key)
    world.go_on()
    received = {f"dev.mailhaul.message.received.v1 {name}" for name in MAILS if name != "failed"}
    assert world.published() >= received
    with world.process() as runtime:
        failed = {failure.message.key for failure in runtime.ledger.failed_messages()}
        assert failed or "dev.mailhaul.message.received.v1 failed" in world.published()
        assert runtime.ledger.counts()["open"] == 0
        assert runtime.ledger.counts()["dead_letters"] == 0
        assert runtime.ledger.unknown(["a"]) == 0
    stored = {found.content for key, found in world.store.objects.items() if key.endswith("raw.eml")}
    assert stored == set(MAILS.values())
    assert world.maildrop.messages.keys() <= {b"failed"}, "what is done is deleted in the end"


@pytest.mark.parametrize("key", HOLDING)
def test_the_watermark_waits_until_a_lost_key_is_replaced(world: World, key: str) -> None:
    with world.process() as runtime:
        assert runtime.ledger.seen("a").known
        assert runtime.watermark.write(["a"], ["main"], world.clock.time)
        world.client.delete(key)
        assert not runtime.watermark.write(["a"], ["main"], world.clock.time)
    world.go_on()
    with world.process() as runtime:
        assert runtime.watermark.write(["a"], ["main"], world.clock.time)


def test_a_loss_is_reported_once(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.client.delete(NAMES.open)
    with world.process() as runtime:
        assert runtime.ledger.unknown(["a"]) == 1
    assert "ledger.incomplete" in (out := capsys.readouterr()).out + out.err
    with world.process() as runtime:
        assert runtime.ledger.unknown(["a"]) == 1
    assert "ledger.incomplete" not in (out := capsys.readouterr()).out + out.err


def test_no_step_of_an_update_looks_like_a_loss(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every worker looks for losses every few seconds, also between two steps of a reprocess."""
    world = World(valkey)
    flowed = mail("flowed").replace(b"charset=utf-8", b"charset=utf-8; format=flowed") + b"One \r\ntwo.\r\n"
    world.maildrop.messages = {b"flowed": flowed}
    world.go_on()
    run = RedisConnection.run

    with world.process() as runtime, closing(RedisConnection(valkey.url)) as other:
        look = Incarnation(other)
        before, lost = look.ask()
        assert not lost

        def watched(connection: RedisConnection, *command: Any) -> Any:
            answer = run(connection, *command)
            if connection is not other:
                look.ask()
            return answer

        monkeypatch.setattr(RedisConnection, "run", watched)
        monkeypatch.setattr(derived, "unfold", lambda lines, **_: iter([*lines, b"!"]))
        work = Reprocess(
            reprocessor=Reprocessor(runtime.processor, world.clock.now),
            ledger=runtime.ledger,
            events=runtime.events,
            rebuilder=runtime.rebuilder,
            keeper=runtime.keeper,
            pipeline=runtime.pipeline,
            configured={"a": BOX},
            store_id=runtime.store_identity.read,
            pressure=runtime.poll_pressure,
        )
        found = find_manifests(world.store, runtime.layout, {"a": BOX}, [], since=0, until=math.inf)
        done = work.run(found, ["main"], Waits())
        assert (done.updated, done.ok) == (1, True)
        assert look.ask() == (before, [])
    world.client.close()
    assert "ledger.incomplete" not in (out := capsys.readouterr()).out + out.err
