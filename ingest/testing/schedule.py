"""The in-memory twin of `RedisSchedule`."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.ports.schedule import ANNOUNCED_FOR, ClockStep, Precedence, Schedule, Throttle
from ingest.ports.status import TaskRecords, TaskStatus
from ingest.testing.workset import MemoryWorkSet

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ingest.ports.claims import Claim, WorkSet
    from ingest.testing.eventlog import MemoryEventLog


class MemorySchedule(Schedule, Throttle, TaskRecords):
    """A `Schedule`, a `Throttle` and `TaskRecords` for one process, with the work sets of all stages.

    Args:
        clock: returns seconds since 1970.
        events: retrying events wait in its work sets.
    """

    def __init__(self, clock: Callable[[], float], events: MemoryEventLog) -> None:
        self._clock = clock
        self._events = events
        self._lock = threading.RLock()
        self._mailboxes, self._messages, self._sinks = (MemoryWorkSet(clock) for _ in range(3))
        self.mailboxes: WorkSet = self._mailboxes
        self.messages: WorkSet = self._messages
        self.sinks: WorkSet = self._sinks
        # Attributes that are not in the server's memory, or have snapshots of their own; `_forget` sets the others.
        self._lasting = frozenset({"_lasting", *vars(self)})
        self._forget()

    def _forget(self) -> None:
        """Lose everything but the work sets."""
        self._paused: dict[str, float] = {}
        self._throttled: dict[str, float] = {}
        self._schedule = ""
        self._last_epoch = 0
        self._newest: tuple[int, str, float] = (0, "", 0.0)  # epoch, digest, when it was announced
        self._last_tick: float | None = None
        self._tasks: dict[str, TaskStatus] = {}
        self._clock_step: ClockStep | None = None

    @override
    def announce(self, digest: str, epoch: int = 0, silence: float = ANNOUNCED_FOR) -> Precedence:
        with self._lock:
            newest, of_newest, announced = self._newest
            if digest == of_newest:
                epoch = max(epoch, newest)
            if epoch == 0:
                epoch = self._last_epoch = max(self._last_epoch + 1, int(self._clock() * 1_000_000))
            if epoch < newest and abs(self._clock() - announced) <= silence:
                return Precedence(epoch, newest=False)
            self._newest = epoch, digest, self._clock()
            return Precedence(epoch, newest=True)

    @override
    def schedule_mailboxes(self, epoch: int, *, drop: Collection[str], add: Collection[str]) -> bool:
        return self._reschedule(self._mailboxes, epoch, drop, add)

    @override
    def schedule_sinks(self, epoch: int, *, drop: Collection[str], add: Collection[str]) -> bool:
        return self._reschedule(self._sinks, epoch, drop, add)

    def _reschedule(self, work: MemoryWorkSet, epoch: int, drop: Collection[str], add: Collection[str]) -> bool:
        with self._lock:
            if epoch < self._newest[0]:
                return False
            work.drop(drop)
            work.add(add)
            return True

    @override
    def schedule_digest(self) -> str:
        return self._schedule

    @override
    def set_schedule_digest(self, digest: str) -> None:
        self._schedule = digest

    @override
    def pause(self, mailbox: str) -> bool:
        with self._lock:
            new = mailbox not in self._paused
            self._paused.setdefault(mailbox, self._clock())
            return new

    @override
    def resume(self, mailbox: str) -> bool:
        with self._lock:
            return self._paused.pop(mailbox, None) is not None

    @override
    def paused(self) -> dict[str, float]:
        with self._lock:
            return dict(self._paused)

    @override
    def is_paused(self, mailbox: str) -> bool:
        return mailbox in self._paused

    @override
    def unschedule(self, claim: Claim, disabled_by: str = "") -> bool:
        with self._lock:
            disabled = disabled_by != "" and disabled_by == self._newest[1]
            if not (disabled or claim.id in self._paused) or not self._mailboxes.holds(claim):
                return False
            self._mailboxes.drop([claim.id])
            return True

    @override
    def throttle(self, what: str, seconds: float) -> bool:
        with self._lock:
            if 0 < self._throttled.get(what, 0.0) - self._clock() <= seconds:
                return False
            self._throttled[what] = self._clock() + seconds
            return True

    @override
    def record_tick(self) -> float | None:
        with self._lock:
            works = (self._mailboxes, self._messages, self._sinks, *self._events.all_retrying())
            now, last = self._clock(), max(self._last_tick or 0.0, *(work.latest for work in works))
            self._last_tick = now
            for work in works:
                work.latest = now
            if last - now <= 1.0:
                return None
            self._extend_clock_step(now, last)
            for work in works:
                work.move_back(last - now)
            return now

    def _extend_clock_step(self, earliest: float, latest: float) -> None:
        known = self._clock_step or ClockStep(earliest, latest)
        self._clock_step = ClockStep(min(known.earliest, earliest), max(known.latest, latest))

    @override
    def clock_step(self) -> ClockStep | None:
        return self._clock_step

    @override
    def last_tick(self) -> float | None:
        return self._last_tick

    @override
    def record_task_start(self, task: str) -> None:
        with self._lock:
            before = self._tasks.get(task, TaskStatus())
            self._tasks[task] = replace(before, unfinished_since=before.unfinished_since or self._clock())

    @override
    def record_task_success(self, task: str) -> None:
        with self._lock:
            self._tasks[task] = TaskStatus(succeeded_at=self._clock())

    @override
    def tasks(self) -> dict[str, TaskStatus]:
        with self._lock:
            return dict(self._tasks)
