"""The world of the model: servers, stores, a ledger, sinks, a clock and processes, all of which may fail.

The processes run the product's own use cases, wired by `ingest.wiring.runtime` over the in-memory twins. The world
watches what they do: each DELE is judged at the moment it is sent, everything else by `tests.model.promises`.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from math import inf
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from ingest.admin.erase import Eraser
from ingest.admin.failed import Retry
from ingest.admin.holds import LegalHolds
from ingest.admin.purge import Purge
from ingest.domain.keys import MANIFEST, RAW, Layout
from ingest.domain.mailbox import Credentials, Deletion
from ingest.errors import MaildropConnectError, MailhaulError
from ingest.metrics import Metrics
from ingest.ports.maildrop import Listing, Maildrop, MaildropFactory
from ingest.ports.sink import Outcome, Verdict
from ingest.ports.store import Store
from ingest.testing import (
    FaultyStore,
    MemoryConnector,
    MemoryEventLog,
    MemoryLedger,
    MemoryMaildrop,
    MemorySession,
    MemorySink,
    MemoryWakeups,
)
from ingest.usecases.claims import LeaseKeeper
from ingest.usecases.schedule import Schedule
from ingest.wiring import admin
from ingest.wiring.runtime import Runtime
from tests.model.process import Process, SameThread, gate, gated, running
from tests.support.bench import mail, mailbox, message_key, never
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from ingest.domain.events import Event
    from ingest.domain.mailbox import Mailbox
    from ingest.domain.record import ObjectRef
    from ingest.ports.maildrop import Fetched, Listed, NotFetched, SpoolT
    from ingest.ports.store import Stored

LAYOUT = Layout("mail")
NEW, OLD = "new", "old"
# The newest configuration has a sink that the one before does not have.
SINKS = {NEW: ("main", "added"), OLD: ("main",)}
POLICIES = {"del": Deletion(0.0), "keep": Deletion(None), "later": Deletion(300.0)}
# The day of every message, as its header says.
DAY = date(2026, 11, 23)
# An object with more segments in its key belongs to a message.
MESSAGE_DEPTH, KEY_DIGITS = 4, 32
# After so long a server ends an idle session (RFC 1939 section 3).
IDLE_SECONDS = 600.0
_METRICS = Metrics()


@dataclass(eq=False)
class Sent:
    """A message that somebody sent to a mailbox.

    Attributes:
        drop_id: its id in the `MemoryMaildrop`; the server shows another unique-id if it has an alias.
        removed: somebody else deleted it on the server.
        may_be_cut: the server did not double its dots at some time, listed a far larger size, or sent another message
            in its place, more than once or where listed sizes are wrong.
        replaced: the server sent another message in its place.
        lost: the store lost or altered an object of it.
        purge_begun: a purge was tried; its tombstone may be there already.
        purged: it was purged, and the store still has its tombstone.
    """

    box: str
    raw: bytes
    marker: bytes
    drop_id: bytes
    padding: int = 0
    removed: bool = False
    may_be_cut: bool = False
    replaced: bool = False
    lost: bool = False
    purge_begun: bool = False
    purged: bool = False

    @property
    def key(self) -> str:
        return message_key(self.box, self.raw)

    @property
    def keys(self) -> set[str]:
        """The keys under which it may be stored: its own, and that of what comes if the server doubles no dots."""
        return {self.key, message_key(self.box, self.raw[: lone_dot(self.raw)])}


@dataclass
class Host:
    """One process of the service: a graph of use cases of its own, with one configuration and one store."""

    configuration: str
    store: FaultyStore
    runtime: Runtime
    process: Process | None = None

    @property
    def is_free(self) -> bool:
        return self.process is None


@dataclass
class World:
    """See the module. `violations` are promises that were broken by an action."""

    boxes: dict[str, Mailbox] = field(
        default_factory=lambda: {id_: mailbox(id_, deletion=policy) for id_, policy in POLICIES.items()}
    )
    violations: list[str] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock, self.monotonic = Clock(), Clock(1_000.0)
        self.store_behind = 0.0
        self.stores = [FaultyStore(clock=self.store_clock)]
        self.store = self.stores[0]
        self.events = MemoryEventLog(self.clock, kept=2)
        self.ledger = MemoryLedger(self.clock, self.events)
        self.drops = {id_: MemoryMaildrop(exclusive=True) for id_ in self.boxes}
        self.sinks = {name: MemorySink(name) for name in SINKS[NEW]}
        self.hosts: list[Host] = []
        self.repeats_allowed = False
        self.lost_keys: set[str] = set()  # of messages of which the store lost an object
        self.clock_error = self.most_ahead = 0.0
        self.damaged: dict[str, bytes] = {}  # right bytes of altered objects, by key; empty for planted ones
        self.restore = self.ledger.snapshot()
        self.since_snapshot = 0.0

    # --- processes ---------------------------------------------------------------------------------------------

    def host(self, configuration: str = NEW) -> Host:
        """Return a host with this configuration that is not stopped."""
        for host in self.hosts:
            if host.configuration == configuration and host.store is self.store and host.is_free:
                return host
        self.hosts.append(Host(configuration, self.store, self._runtime(configuration)))
        return self.hosts[-1]

    def schedule(self, configuration: str = NEW) -> Schedule:
        return Schedule(list(self.boxes), SINKS[configuration], f"{configuration}")

    def run(self, work: str, configuration: str = NEW, requests: int | None = None) -> None:
        """Let a process poll, process, deliver or tick; with `requests`, it stops after so many requests."""
        host = self.host(configuration)
        action = self._work(work, host)
        if requests is None:
            action()
            return
        host.process = Process(work, action)
        self.repeats_allowed = True
        self.go_on(host, requests)

    def go_on(self, host: Host, requests: int | None = None) -> None:
        """Let a stopped process continue."""
        assert host.process is not None
        if host.process.run(requests):
            host.process = None

    def kill(self, host: Host) -> None:
        """Kill a stopped process; the server notices that its connection is gone."""
        assert host.process is not None
        host.process.kill()
        self.hosts.remove(host)

    def stopped(self) -> list[Host]:
        return [host for host in self.hosts if host.process is not None]

    def _work(self, work: str, host: Host) -> Callable[[], object]:
        runtime = host.runtime
        schedule = self.schedule(host.configuration)
        if work == "tick":
            return lambda: runtime.ticker.tick(schedule)
        if work == "poll":
            return lambda: runtime.poll_stage.run(never)
        if work == "process":
            return lambda: runtime.process_stage.run(never)
        assert work == "relay"

        def relay() -> None:
            runtime.relay_stage.run(never)
            runtime.write_watermark()

        return relay

    def _runtime(self, configuration: str) -> Runtime:
        keeper = LeaseKeeper(60.0, self.monotonic)
        keeper._thread = _NO_THREAD  # no claim is renewed while a process is stopped
        store = WatchedStore(self.store)
        runtime = Runtime(
            ledger=gated(self.ledger),
            events=gated(self.events),
            store=store,
            layout=LAYOUT,
            sinks={name: gated(self.sinks[name]) for name in SINKS[configuration]},
            wakeups=MemoryWakeups(),
            metrics=_METRICS,
            connect=WatchedConnector(self, store.inner),
            mailboxes=lambda: self.boxes,
            credentials=lambda _: Credentials("user", "secret"),
            fingerprint=lambda _: b"secret",
            schedule=lambda: self.schedule(configuration),
            keeper=keeper,
            now=self.clock.now,
            monotonic=self.monotonic,
            random=lambda: 0.5,
        )
        runtime.__dict__["uploads"] = SameThread()
        return runtime

    # --- people and programs outside ---------------------------------------------------------------------------

    def deliver(
        self, box: str, unique_id: bytes | None = None, *, cut: bool = False, size_of: Sent | None = None
    ) -> Sent:
        """Deliver a message under a new unique-id or the given one; no other has its size, unless one is given.

        Unique-id and size are all that a listing shows: if both are those of a message that somebody else deleted,
        nobody can tell the two apart.
        """
        number = len(self.sent) + 1
        padding = "x" * (number if size_of is None else size_of.padding)
        marker = b"marker-%04d" % number
        body = f"{marker.decode()}\n.\n{padding}" if cut else f"{marker.decode()}{padding}"
        raw = mail(marker.decode(), body.replace("\n", "\r\n"))
        if box != "later":  # a header without Message-ID proves nothing
            raw = b"Message-ID: <%s@example.org>\r\n%s" % (marker, raw)
        sent = Sent(box, raw, marker, b"id-%04d" % number, len(padding), may_be_cut=cut)
        drop = self.drops[box]
        drop.messages[sent.drop_id] = raw
        if unique_id is not None:
            drop.alias[sent.drop_id] = unique_id
        if cut:
            drop.cut[sent.drop_id] = lone_dot(raw)
        self.sent.append(sent)
        return sent

    def purge(self, sent: Sent) -> None:
        """Purge a message as `mailhaul purge` does, if it is stored and that is possible now.

        Raises:
            MailhaulError: it was not purged.
        """
        runtime = self.host().runtime
        holds = LegalHolds(runtime.store, LAYOUT, self.boxes)
        eraser = Eraser(runtime.store, runtime.ledger, runtime.events, list(self.sinks), runtime.now, holds)
        purge = Purge(
            store=runtime.store,
            ledger=runtime.ledger,
            events=runtime.events,
            eraser=eraser,
            layout=LAYOUT,
            configured=self.boxes,
            keeper=runtime.keeper,
            workers=runtime.uploads,
            patience=0.0,
        )
        found = purge.find([sent.key], sent.box)
        sent.purge_begun = True
        report = purge.messages(found, never)
        if report.error is None and report.done == 1:
            sent.purged = True

    def replay(self) -> None:
        """Republish every event as `mailhaul replay --all` does.

        Raises:
            StoreError: the store is unavailable.
        """
        self.repeats_allowed = True
        work = admin.replay(self.host().runtime)
        work.run(work.find([], 0.0, inf), None, NoStop())

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.monotonic.time += max(0.0, seconds)
        self.clock.time += seconds
        self.since_snapshot += abs(seconds)
        if self.since_snapshot > 1.0:
            self.restore, self.since_snapshot = self.ledger.snapshot(), 0.0
        if seconds > IDLE_SECONDS:
            for drop in self.drops.values():
                drop.drop_session()

    def move_mailbox(self, box: str) -> None:
        """Give a mailbox another server, some of whose messages have ids and sizes of messages on the one before."""
        self.drops[box].drop_session()
        before = self._sent_to(box)
        shown = {sent.drop_id: self.drops[box].alias.get(sent.drop_id, sent.drop_id) for sent in before}
        for sent in before:
            sent.removed = sent.removed or self.drops[box].messages.pop(sent.drop_id, None) is not None
        self.drops[box] = MemoryMaildrop(exclusive=True)
        server = replace(self.boxes[box].server, host=f"pop{len(self.sent)}.example.org")
        self.boxes[box] = replace(self.boxes[box], server=server)
        for sent in before[-2:]:
            self.deliver(box, shown[sent.drop_id], size_of=sent)

    def deleted_messages(self, box: str) -> list[Sent]:
        """Return the messages that we deleted on the server.

        Unless somebody else deleted a later message with the same unique-id and size: nobody can tell another one
        from that.
        """
        drop = self.drops[box]
        shown = {sent: (drop.alias.get(sent.drop_id, sent.drop_id), sent.padding) for sent in self._sent_to(box)}
        removed = {shown[sent] for sent in shown if sent.removed}
        return [sent for sent in shown if sent.drop_id not in drop.messages and shown[sent] not in removed]

    def _sent_to(self, box: str) -> list[Sent]:
        return [sent for sent in self.sent if sent.box == box]

    def step_clock(self, seconds: float) -> None:
        """Set the wall clock of everybody, while monotonic clocks stand. A scheduler ticks before and after it."""
        self.run("tick")
        self.clock.time += seconds
        self.clock_error += seconds
        self.most_ahead = max(self.most_ahead, self.clock_error)
        self.run("tick")

    def store_clock(self) -> float:
        """Return the time by the clock of the stores, in seconds since 1970."""
        return self.clock() - self.store_behind

    def end_faults(self) -> None:
        """End every fault; what was lost stays lost, and servers keep their habits."""
        for store in self.stores:
            store.forgets, store.page, store.loses_answers, store.fault = frozenset(), None, False, None
            store.cuts = False
        self.step_clock(-self.clock_error)
        self.store_behind = 0.0
        for sink in self.sinks.values():
            sink.unavailable, sink.verdict = False, lambda _: Outcome(Verdict.DELIVERED)
        for drop in self.drops.values():
            drop.refused.clear()
            drop.breaks_after.clear()
            drop.sends_instead.clear()
            drop.session_ends_after, drop.unique_ids = None, True
            drop.drop_session()

    def repair(self) -> None:
        """Do what the runbooks ask for: put damaged objects right, and retry failed messages."""
        for at, content in self.damaged.items():
            found = self.store.objects.get(at)
            if found is not None and content:
                self.store.alter(at, content)
            elif found is not None and not found.content and not self._is_purged(at):
                del self.store.objects[at]
        self.damaged.clear()
        host = self.host().runtime
        with suppress(MailhaulError):  # a mailbox is busy; it is tried again in the next round
            Retry(host.store, host.ledger, host.keeper, patience=0.0).run(self.ledger.failed_messages())

    def _is_purged(self, at: str) -> bool:
        return any(sent.purged and f"/{sent.key}/" in at for sent in self.sent)

    # --- what the store holds ----------------------------------------------------------------------------------

    def find(self, key: str, name: str, store: FaultyStore | None = None) -> str | None:
        """Return the key of an object of a message in the present store, or in another one."""
        return next((at for at in (store or self.store).objects if at.endswith(f"/{key}/{name}")), None)

    def holds(self, sent: Sent, store: FaultyStore | None = None) -> bool:
        """Whether a store holds the bytes of a message."""
        objects = (store or self.store).objects
        return any(found.content == sent.raw for at, found in objects.items() if at.endswith(f"/{sent.key}/{RAW}"))

    def all_events(self) -> list[Event]:
        """Return the events in the stream and in the dead-letter queues."""
        rejected = [one.entry for sink in self.sinks for one in self.events.rejected(sink, 1_000)]
        return [entry.event for entry in (*self.events.entries(), *rejected)]

    def object_lost(self, message: str) -> None:
        """Note that the store lost something of a message, by its key."""
        self.repeats_allowed = True
        self.lost_keys.add(message)
        for sent in self.sent:
            if sent.key == message:
                sent.lost, sent.purged = True, False
        for host in self.stopped():
            assert host.process is not None
            host.process.excused.add(message)

    def lose_object(self, at: str) -> None:
        """Let the store lose an object."""
        del self.store.objects[at]
        self.repeats_allowed = True
        if len(parts := at.split("/")) > MESSAGE_DEPTH:
            self.object_lost(next(part for part in parts if len(part) == KEY_DIGITS))

    def alter(self, sent: Sent, at: str, *, emptied: bool) -> None:
        """Let somebody alter a raw object, so that its size stays the same, or empty it."""
        self.damaged[at] = sent.raw
        self.store.alter(at, b"" if emptied else sent.raw.replace(b"marker", b"MARKER"))
        self.object_lost(sent.key)

    def plant(self, sent: Sent) -> None:
        """Let somebody write an empty object under the key of a message that was not stored yet."""
        at = f"{LAYOUT.folder(sent.box, DAY, sent.key)}/{RAW}"
        self.damaged[at] = b""
        self.object_lost(sent.key)
        self.store.put(at, io.BytesIO(), size=0, sha256=hashlib.sha256().hexdigest(), content_type="text/plain")

    def empty_store(self) -> None:
        """Let the store lose everything."""
        self.repeats_allowed = True
        self.store.objects.clear()
        for sent in self.sent:
            self.object_lost(sent.key)

    def swap_store(self) -> None:
        """Configure another store; every process that is not stopped is restarted, the others have the old one."""
        self.repeats_allowed = True
        self.store = FaultyStore(clock=self.store_clock)
        self.stores.append(self.store)
        for sent in self.sent:
            sent.purged = False

    def judge_deletion(self, box: str, drop_id: bytes, store: FaultyStore) -> None:
        """Compare a message that is about to be deleted with what the store of this process holds."""
        process = running()
        sent = next(one for one in self.sent if one.drop_id == drop_id)
        if sent.purge_begun or (process is not None and sent.key in process.excused):
            return
        if sent.replaced and self.drops[box].sizes and not self.drops[box].tops:
            return  # nothing shows that another message was sent in its place
        if not self.holds(sent, store):
            self.violations.append(f"DELE of {sent.marker!r} in {box}, whose bytes are not in the store")
        elif not (at := self.find(sent.key, MANIFEST, store)) or not store.objects[at].content:
            self.violations.append(f"DELE of {sent.marker!r} in {box}, which has no manifest")


def lone_dot(raw: bytes) -> int:
    """Return where the first line is that is a lone dot; the length if there is none."""
    at = raw.find(b"\r\n.\r\n")
    return len(raw) if at < 0 else at + 2


class NoStop:
    """A stop signal that never comes."""

    asked = False

    def wait(self, seconds: float) -> None:
        """There is no time to wait."""


class _NoThread:
    def join(self) -> None:
        """There is none."""


_NO_THREAD: Any = _NoThread()


class WatchedStore(Store):
    """A store as a process reaches it."""

    bucket = "memory"

    def __init__(self, inner: FaultyStore) -> None:
        self.inner = inner

    @override
    def put(self, key: str, body: BinaryIO, **named: Any) -> ObjectRef:
        gate()
        return self.inner.put(key, body, **named)

    @override
    def open(self, key: str) -> AbstractContextManager[BinaryIO]:
        gate()
        return self.inner.open(key)

    @override
    def open_range(self, key: str, begin: int, end: int) -> AbstractContextManager[BinaryIO]:
        gate()
        return self.inner.open_range(key, begin, end)

    @override
    def stat(self, key: str) -> ObjectRef | None:
        gate()
        if (process := running()) is not None and key.endswith(f"/{RAW}"):
            process.excused.discard(key.split("/")[-2])
        return self.inner.stat(key)

    @override
    def delete(self, key: str) -> None:
        gate()
        self.inner.delete(key)

    @override
    def erase(self, folder: str, keep: Collection[str] = ()) -> int:
        gate()
        return self.inner.erase(folder, keep)

    @override
    def erase_versions(self, key: str) -> int:
        gate()
        return self.inner.erase_versions(key)

    @override
    def restorable_until(self, folder: str) -> float | None:
        gate()
        return self.inner.restorable_until(folder)

    @override
    def stored(self, prefix: str) -> Iterator[Stored]:
        gate()
        return self.inner.stored(prefix)


class WatchedConnector(MaildropFactory):
    """Opens sessions on the servers of the world."""

    def __init__(self, world: World, store: FaultyStore) -> None:
        self._world, self._store, self._connect = world, store, MemoryConnector(world.drops)

    @override
    def __call__(
        self,
        mailbox: Mailbox,
        credentials: Credentials,
        observe: Callable[[str, float], None],
        acquire_slot: Callable[[str], None],
    ) -> Maildrop:
        gate()
        if mailbox.server != self._world.boxes[mailbox.id].server:
            raise MaildropConnectError("this server does not exist any more")
        session = self._connect(mailbox, credentials, observe, acquire_slot)
        return WatchedSession(self._world, mailbox.id, self._store, session)


class WatchedSession(Maildrop):
    """A session whose DELE commands are judged by the world."""

    def __init__(self, world: World, box: str, store: FaultyStore, session: MemorySession) -> None:
        self._world, self._box, self._store, self._session = world, box, store, session
        self.terms = session.terms

    @override
    def listing(self) -> Listing:
        gate()
        return self._session.listing()

    @override
    def fetch(
        self, wanted: Sequence[Listed], spool: Callable[[Listed], SpoolT]
    ) -> Generator[Fetched[SpoolT] | NotFetched]:
        with closing(self._session.fetch(wanted, spool)) as messages:
            while True:
                gate()
                message = next(messages, None)
                if message is None:
                    return
                yield message

    @override
    def top(self, listed: Listed) -> bytes:
        gate()
        return self._session.top(listed)

    @override
    def delete(self, listed: Sequence[Listed]) -> list[Listed]:
        gate()
        accepted = self._session.delete(listed)
        for drop_id in self._session.marked:
            self._world.judge_deletion(self._box, drop_id, self._store)
        return accepted

    @override
    def quit(self, *, wait: bool = False) -> bool:
        gate()
        return self._session.quit(wait=wait)

    @override
    def close(self) -> None:
        self._session.close()
