"""Replays and reprocesses that a person starts: one of each kind at a time, in a thread beside the requests.

What others see of a job is in the ledger, so that any console shows it and may stop it. Whoever works on it renews
its lease; the job of a console that died ends with its lease, and may be run again: events keep their ids, and a
message that was opened for an update is updated by the service.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from structlog import get_logger

from ingest.admin.mailbox_claim import StopRequestedError
from ingest.errors import Fault, LedgerError, LedgerUnavailableError, MailhaulError, StoreError
from ingest.ports.jobs import JobOrder

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.catalog.queries import Scope
    from ingest.ports.jobs import JobRecord, Jobs

log = get_logger()

# Seconds until the job of a console that died ends, between two reports, and that a console which ends waits for one.
LEASE, BEAT, PATIENCE = 30.0, 1.0, 10.0
# Seconds for which a console tries to record how a job ended.
_END_SECONDS = 600.0
# What to do about a job that did not end well.
_AGAIN = "Nothing is half done: start it again, and what was done before changes nothing"
_CONTINUE = f"`mailhaul check` names what is wrong; correct that first. {_AGAIN}"
_REPORT = f"Report it with the lines `console.failed` of the log. {_AGAIN}"
_INTERRUPTED = {"state": "interrupted", "advice": f"The console that worked on it has ended. {_AGAIN}"}
# Changed messages, and problems, of which a job has the details.
DETAILS = 20


_NUMBER = re.compile(r"[-+]?[0-9.]*")


def _in_utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _as_text(at: object) -> object:
    if isinstance(at, datetime) or (isinstance(at, str) and _NUMBER.fullmatch(at.strip()) is None):
        return at
    raise ValueError("write a time as 2026-11-27T16:00:00Z")


# UTC unless it says otherwise. A number is no time: it may count seconds or milliseconds.
Moment = Annotated[datetime, BeforeValidator(_as_text), AfterValidator(_in_utc)]
MessageKey = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
MailboxId = Annotated[str, Field(max_length=200)]


class JobBusyError(MailhaulError):
    """Another job of this kind is active."""

    fault = Fault.OPERATOR
    code = "job_busy"


class JobKind(StrEnum):
    """What a job does."""

    REPLAY = "replay"
    REPROCESS = "reprocess"

    @property
    def plural(self) -> str:
        """Their name in paths."""
        return "replays" if self is JobKind.REPLAY else "reprocesses"


class Selection(BaseModel):
    """The messages of a job: those that meet every condition that is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mailboxes: list[MailboxId] = Field(default=[], max_length=1000, description="Ids; none: all that may be seen")
    messages: list[MessageKey] = Field(default=[], max_length=1000, description="Message keys")
    since: Moment | None = Field(default=None, description="Processed then or later")
    until: Moment | None = Field(default=None, description="Processed before")
    dry_run: bool = Field(default=False, description="Count or compare, and change nothing")


class ReplaySelection(Selection):
    """The messages of a replay, and to which consumer their events go."""

    sink: str = Field(default="", max_length=64, description="The only consumer; empty: all, through the stream")


class ChangedMessage(BaseModel):
    """A message that is read differently today."""

    model_config = ConfigDict(frozen=True)

    message: str
    mailbox: str
    changes: list[str]


class Job(BaseModel):
    """A replay or a reprocess: what was chosen, how far it is, and how it ended."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: JobKind
    state: str = Field(
        default="counting", description="counting, running, stopping, done, stopped, failed, or interrupted"
    )
    user: str = Field(description="Who started it")
    selection: ReplaySelection
    began: datetime
    ended: datetime | None = None
    total: int | None = Field(default=None, description="Messages; null until they are counted")
    finished: int = Field(default=0, description="Messages that were handled, or counted so far")
    counts: dict[str, int] = Field(default={}, description="The result, by what happened")
    changed: list[ChangedMessage] = Field(default=[], description=f"Of a reprocess, the first {DETAILS}")
    problems: list[str] = Field(default=[], description=f"The first {DETAILS}")
    resume_at: datetime | None = Field(default=None, description="`since` of a job that goes on from there")
    error: str = Field(default="", description="Why it failed")
    advice: str = Field(default="", description="What to do about it, if it failed or was interrupted")

    @property
    def active(self) -> bool:
        """Whether somebody works on it."""
        return self.state in {"counting", "running", "stopping"}


class _Kept(BaseModel):
    """A job as it is kept: with the mailboxes of whoever started it, None for all."""

    scope: list[str] | None
    job: Job

    def is_seen(self, scope: Scope) -> bool:
        """Return whether somebody with these mailboxes may see it."""
        return scope.mailboxes is None or (self.scope is not None and scope.mailboxes >= set(self.scope))


@dataclass
class Progress:
    """How far a job is, written by whoever works on it; also a `StopSignal`."""

    job: Job
    total: int | None = None
    finished: int = 0
    order: JobOrder = JobOrder.CONTINUE
    interrupted: bool = False
    _stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def asked(self) -> bool:
        """Whether the job is to stop."""
        return self._stopped.is_set()

    def wait(self, seconds: float) -> None:
        """Wait until the job is to stop, or until the time is over."""
        self._stopped.wait(seconds)

    def stop(self, *, interrupted: bool = False) -> None:
        """Let the job stop; `interrupted` if nobody asked for it."""
        self.interrupted = self.interrupted or interrupted
        self._stopped.set()

    def show(self, finished: int) -> None:
        """Note how many messages are handled."""
        self.finished = finished

    def now(self, **changes: object) -> Job:
        """Return the job as it is now."""
        state = "counting" if self.total is None else "running"
        known = {"state": state, "total": self.total, "finished": self.finished}
        return self.job.model_copy(update={**known, **changes})


@dataclass
class JobRunner:
    """Starts jobs in this process, and shows and stops those of every process.

    Attributes:
        ledger: where jobs are kept.
        now: the wall clock, in UTC.
    """

    ledger: Jobs
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _running: dict[JobKind, tuple[Progress, threading.Thread]] = field(default_factory=dict)
    _closed: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(
        self, kind: JobKind, user: str, scope: Scope, selection: ReplaySelection, work: Callable[[Progress], Job]
    ) -> Job:
        """Start a job, and return it.

        Args:
            kind: what it does.
            user: who starts it.
            scope: the mailboxes that whoever starts it may see.
            selection: what was chosen.
            work: does it, and returns it as it ended; raises what a job fails with.

        Raises:
            JobBusyError: another one of this kind is active.
            LedgerUnavailableError: the ledger is unavailable.
        """
        job = Job(id=_new_id(self.now()), kind=kind, user=user, selection=selection, began=self.now())
        kept = _Kept(scope=None if scope.mailboxes is None else sorted(scope.mailboxes), job=job)
        with self._lock:
            _, thread = self._running.get(kind, (None, None))
            alive = thread is not None and thread.is_alive()
            if alive or not self.ledger.begin_job(kind, job.id, _packed(kept), LEASE):
                raise JobBusyError(f"another {kind} is active: stop it, or wait until it has ended")
            progress = Progress(job)
            thread = threading.Thread(target=self._run, args=(kept, progress, work), name=f"console-{kind}")
            self._running[kind] = progress, thread
            thread.start()
        return job

    def all(self, kind: JobKind, scope: Scope) -> list[Job]:
        """Return the last jobs of a kind that somebody with these mailboxes may see, the newest first."""
        found = [(record, _unpacked(record.body)) for record in self.ledger.jobs(kind)]
        return [_shown(record, kept.job) for record, kept in found if kept is not None and kept.is_seen(scope)]

    def stop(self, job: Job) -> None:
        """Ask an active job to stop."""
        self.ledger.stop_job(job.kind, job.id)

    def close(self) -> None:
        """Interrupt the jobs of this process, and wait a little for what each is doing."""
        self._closed.set()
        with self._lock:
            running = list(self._running.values())
        for progress, _ in running:
            progress.stop(interrupted=True)
        until = time.monotonic() + PATIENCE
        for _, thread in running:
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self, kept: _Kept, progress: Progress, work: Callable[[Progress], Job]) -> None:
        ended = threading.Event()
        beats = threading.Thread(target=self._report, args=(kept, progress, ended), name="console-beat", daemon=True)
        beats.start()
        try:
            job = work(progress)
        except StopRequestedError:
            job = progress.now(state="stopped")
        except MailhaulError as error:
            log.warning("console.failed", error=error.code)
            job = progress.now(state="failed", **failure(error))
        except Exception:  # boundary: the job ends, and the console goes on
            log.exception("console.failed")
            job = progress.now(state="failed", error="the console made a mistake; its log has more", advice=_REPORT)
        ended.set()
        beats.join()
        if progress.interrupted and job.state == "stopped":
            job = job.model_copy(update=_INTERRUPTED)
        self._end(kept.model_copy(update={"job": job.model_copy(update={"ended": self.now()})}))

    def _end(self, kept: _Kept) -> None:
        """Record how a job ended; while the ledger is unavailable, which may be why it failed, again and again."""
        until = time.monotonic() + _END_SECONDS
        while time.monotonic() < until:
            with suppress(LedgerUnavailableError):
                self.ledger.end_job(kept.job.kind, kept.job.id, _packed(kept))
                return
            if self._closed.wait(BEAT):
                return  # its lease ends by itself

    def _report(self, kept: _Kept, progress: Progress, ended: threading.Event) -> None:
        """Renew the lease until the job has ended; stop the job if somebody asks for it, or the lease is lost."""
        renewed = time.monotonic()
        while not ended.wait(BEAT):
            body = _packed(kept.model_copy(update={"job": progress.now()}))
            try:
                order = self.ledger.report_job(progress.job.kind, progress.job.id, body, LEASE)
            except LedgerUnavailableError:
                if time.monotonic() - renewed > LEASE:
                    progress.stop(interrupted=True)
                continue
            renewed = time.monotonic()
            if order is not JobOrder.CONTINUE:
                progress.stop(interrupted=order is JobOrder.LOST)


def failure(error: MailhaulError) -> dict[str, str]:
    """Return `error` and `advice` of a job that failed. That of a part may quote a server's answer, or a key."""
    if isinstance(error, LedgerError | StoreError):
        part = "ledger" if isinstance(error, LedgerError) else "store"
        return {"error": f"the {part} failed ({error.code})", "advice": _CONTINUE}
    return {"error": str(error), "advice": "" if error.fault is Fault.OPERATOR else _CONTINUE}


def _new_id(now: datetime) -> str:
    """Return an id of 32 hex digits that is greater than those made before."""
    return f"{int(now.timestamp() * 1000):012x}{secrets.token_hex(10)}"


def _shown(record: JobRecord, job: Job) -> Job:
    if job.active and not record.active:
        return job.model_copy(update=_INTERRUPTED)
    return job.model_copy(update={"state": "stopping"}) if job.active and record.stopping else job


def _packed(kept: _Kept) -> bytes:
    return kept.model_dump_json(exclude_defaults=True).encode()


def _unpacked(body: bytes) -> _Kept | None:
    """Return a job; None if another version wrote it in a form of its own."""
    try:
        return _Kept.model_validate_json(body)
    except ValueError:
        return None
