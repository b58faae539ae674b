"""The schedule in Redis or Valkey: what is due when, who may change it, and whether the clock stepped back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.adapters.ledger.workset import RedisWorkSet, milliseconds
from ingest.ports.schedule import ANNOUNCED_FOR, ClockStep, Precedence, Schedule, Throttle
from ingest.ports.status import TaskRecords, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingest.adapters.ledger.connection import RedisConnection
    from ingest.ports.claims import Claim, WorkSet


class RedisSchedule(Schedule, Throttle, TaskRecords):
    """A `Schedule`, a `Throttle` and `TaskRecords` in Redis or Valkey, with the work sets of all stages."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._names = connection.names
        self._mailboxes = RedisWorkSet(connection, self._names.mailboxes)
        self._messages = RedisWorkSet(connection, self._names.messages)
        self._sinks = RedisWorkSet(connection, self._names.sinks)
        self.mailboxes: WorkSet = self._mailboxes
        self.messages: WorkSet = self._messages
        self.sinks: WorkSet = self._sinks

    @override
    def announce(self, digest: str, epoch: int = 0, silence: float = ANNOUNCED_FOR) -> Precedence:
        arguments = (digest, epoch, milliseconds(silence))
        given, newest = self._connection.run("announce", [self._names.configuration], arguments)
        return Precedence(int(given), bool(newest))

    @override
    def schedule_mailboxes(self, epoch: int, *, drop: Collection[str], add: Collection[str]) -> bool:
        return self._reschedule(self._mailboxes, epoch, drop, add)

    @override
    def schedule_sinks(self, epoch: int, *, drop: Collection[str], add: Collection[str]) -> bool:
        return self._reschedule(self._sinks, epoch, drop, add)

    def _reschedule(self, work: RedisWorkSet, epoch: int, drop: Collection[str], add: Collection[str]) -> bool:
        keys = [self._names.configuration, *work.keys]
        return bool(self._connection.run("reschedule", keys, (epoch, len(drop), *drop, *add)))

    @override
    def schedule_digest(self) -> str:
        return (self._connection.call("GET", self._names.schedule) or b"").decode()

    @override
    def set_schedule_digest(self, digest: str) -> None:
        self._connection.call("SET", self._names.schedule, digest)

    @override
    def pause(self, mailbox: str) -> bool:
        second, _ = self._connection.call("TIME")
        return bool(self._connection.call("HSETNX", self._names.paused, mailbox, second))

    @override
    def resume(self, mailbox: str) -> bool:
        return bool(self._connection.call("HDEL", self._names.paused, mailbox))

    @override
    def paused(self) -> dict[str, float]:
        return {
            mailbox.decode(): float(since)
            for mailbox, since in self._connection.call("HGETALL", self._names.paused).items()
        }

    @override
    def is_paused(self, mailbox: str) -> bool:
        return bool(self._connection.call("HEXISTS", self._names.paused, mailbox))

    @override
    def unschedule(self, claim: Claim, disabled_by: str = "") -> bool:
        keys = [*self._mailboxes.keys, self._names.paused, self._names.configuration]
        return bool(self._connection.run("unschedule", keys, (claim.id, claim.fence, disabled_by)))

    @override
    def throttle(self, what: str, seconds: float) -> bool:
        return bool(self._connection.run("throttle", [self._names.throttle(what)], [max(1, milliseconds(seconds))]))

    @override
    def record_tick(self) -> float | None:
        rejecting = self._connection.call("SMEMBERS", self._names.rejecting_sinks)
        retrying = (RedisWorkSet(self._connection, self._names.retrying(sink.decode())) for sink in rejecting)
        works = (self._mailboxes, self._messages, self._sinks, *retrying)
        keys = [self._names.last_tick, self._names.clock_step, self._names.latest_time]
        back_to = self._connection.run("tick", [*keys, *(key for one in works for key in (one.due, one.claimed))])
        return None if back_to is None else int(back_to) / 1000

    @override
    def clock_step(self) -> ClockStep | None:
        earliest, latest = self._connection.call("HMGET", self._names.clock_step, "earliest", "latest")
        return None if earliest is None else ClockStep(int(earliest) / 1000, int(latest) / 1000)

    @override
    def last_tick(self) -> float | None:
        tick = self._connection.call("GET", self._names.last_tick)
        return None if tick is None else float(tick)

    @override
    def record_task_start(self, task: str) -> None:
        self._record_task(task, succeeded=False)

    @override
    def record_task_success(self, task: str) -> None:
        self._record_task(task, succeeded=True)

    def _record_task(self, task: str, *, succeeded: bool) -> None:
        self._connection.run("record_task", [self._names.tasks], (task, int(succeeded)))

    @override
    def tasks(self) -> dict[str, TaskStatus]:
        found = {name.decode(): float(at) for name, at in self._connection.call("HGETALL", self._names.tasks).items()}
        names = {name.rpartition(":")[0] for name in found}
        return {name: TaskStatus(found.get(f"{name}:succeeded"), found.get(f"{name}:unfinished")) for name in names}
