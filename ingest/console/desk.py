"""What API and pages have in common: questions and actions, each within the rights of who asks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ingest.admin.failed import FailedMessages, Retry
from ingest.admin.mailboxes import NotPolledError
from ingest.admin.manifests import read_manifest
from ingest.admin.sinks import SinkAdmin
from ingest.admin.status import POLL_REMEDIES, read_status
from ingest.catalog.answers import AnswerRow, read_answers
from ingest.catalog.queries import Queries
from ingest.console.access import ForbiddenError
from ingest.console.audit import Audit
from ingest.console.errors import NotFoundError
from ingest.console.job_desk import JobDesk
from ingest.console.timeline import Timeline
from ingest.ports.actions import Action
from ingest.ports.status import answer_in_words
from ingest.usecases.tombstones import read_raw_erased

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ingest.admin.status import MailboxRow, Status
    from ingest.admin.timeline import Step
    from ingest.catalog.catalog import Catalog
    from ingest.catalog.queries import Found
    from ingest.console.access import Identity
    from ingest.domain.manifest import Attachment, Manifest
    from ingest.domain.message import FailedMessage
    from ingest.domain.record import ObjectRef
    from ingest.ports.rejected import RejectedEvent
    from ingest.wiring.runtime import Runtime

_DAY = 86_400.0
_EXISTS = "there is no such message, or it was purged"


@dataclass(frozen=True, slots=True)
class MailboxView:
    """One mailbox at a glance. Times are seconds since 1970.

    Attributes:
        state: `ok`, `failing`, `late`, `paused`, `disabled`, or `new` before the first poll.
        advice: what to do; empty if there is nothing to do.
    """

    id: str
    state: str
    advice: str
    labels: Mapping[str, str]
    last_success: float | None
    last_poll: float | None
    result: str
    backlog_messages: int
    backlog_bytes: int
    troubled: int
    failed: int
    messages: int
    recent: int


@dataclass(frozen=True, slots=True)
class SinkView:
    """One consumer at a glance. `state` is `ok`, `unavailable` or `disabled`; `words` is what it does instead."""

    name: str
    state: str
    words: str
    waiting: int
    oldest_age: float
    delivered_at: float | None
    dead_letters: int


@dataclass(frozen=True, slots=True)
class LetterView:
    """An event that a consumer rejected, and its last answer if that is known."""

    rejected: RejectedEvent
    last: AnswerRow | None

    @property
    def message(self) -> str:
        """The key of the message."""
        return str(json.loads(self.rejected.entry.event.body)["subject"])

    @property
    def words(self) -> str:
        """What the consumer answered, for people; empty if it is not known."""
        if self.last is None or not self.last.failure:
            return ""
        tries = f", {self.last.tries} tries" if self.last.tries > 1 else ""
        return f"{answer_in_words(self.last.failure)}{tries}"


@dataclass
class Desk:
    """Questions and actions. Every method raises `LedgerUnavailableError`, `StoreError` and `CatalogError`."""

    runtime: Runtime
    catalog: Catalog
    queries: Queries = field(init=False)
    audit: Audit = field(init=False)
    jobs: JobDesk = field(init=False)

    def __post_init__(self) -> None:
        self.queries = Queries(self.catalog.engine)
        self.audit = Audit(self.runtime.ledger)
        self.jobs = JobDesk(self.runtime, self.found, self.audit)

    def found(self, key: str, who: Identity) -> Found:
        """Return the catalog's rows of a message.

        Raises:
            NotFoundError: there is none that may be seen.
        """
        found = self.queries.message(key, who.scope)
        if found is None:
            raise NotFoundError(_EXISTS)
        return found

    def manifest(self, key: str, who: Identity) -> Manifest:
        """Return a message's manifest as it is in the store now.

        Raises:
            NotFoundError: there is none that may be seen, or the message was purged.
        """
        found = self.found(key, who)
        where = found.row["manifest"]
        manifest = None if where is None else read_manifest(self.runtime.store, where)
        if manifest is None or not who.scope.allows(manifest.mailbox.id):
            raise NotFoundError(_EXISTS if where else "the message failed, so that it has no manifest")
        return self.queries.without_others(manifest, who.scope)

    def raw(self, key: str, who: Identity) -> ObjectRef:
        """Return where the raw mail of a message is.

        Raises:
            NotFoundError: it is not stored, or was erased by a rule.
        """
        manifest = self.manifest(key, who)
        if manifest.raw is None:
            raise NotFoundError("the message is oversize: its raw mail is not stored")
        if read_raw_erased(self.runtime.store, manifest.raw.key.rpartition("/")[0]) is not None:
            raise NotFoundError("the raw mail was erased by a retention rule; the rest of the message is kept")
        return manifest.raw

    def attachment(self, key: str, part: str, who: Identity) -> Attachment:
        """Return one attachment of a message.

        Raises:
            NotFoundError: there is none.
        """
        for one in self.manifest(key, who).attachments:
            if one.part == part:
                return one
        raise NotFoundError("there is no such attachment")

    def labels(self, who: Identity, listed: Iterable[Found]) -> list[str]:
        """Return the labels that the mailboxes that may be seen give, and rules: all of them, or those of a list."""
        found = {label for rule in self.runtime.rules for label in rule.labels}
        if who.scope.mailboxes is not None:
            # A rule may be for mailboxes of others.
            found = {label for one in listed for label in one.labels}
        for box in self.runtime.mailboxes().values():
            if who.scope.allows(box.id):
                found |= {f"{name}={value}" for name, value in box.labels.items()}
        return sorted(found)

    def mailboxes(self, who: Identity) -> list[MailboxView]:
        """Return the mailboxes that may be seen, those that need somebody first."""
        runtime = self.runtime
        totals = self.queries.totals(who.scope, runtime.now().timestamp() - _DAY)
        failed: dict[str, int] = {}
        for one in self._failed.all():
            failed[one.message.mailbox] = failed.get(one.message.mailbox, 0) + 1
        boxes = {box.id: box for box in runtime.mailboxes().values() if who.scope.allows(box.id)}
        now = runtime.now().timestamp()
        views = [
            self._mailbox(row, boxes[row.id].labels, failed.get(row.id, 0), totals.get(row.id, {}), now)
            for row in self.status(boxes.keys()).mailboxes
        ]
        return sorted(views, key=lambda view: (not view.advice, view.id))

    def status(self, mailboxes: Collection[str] | None = None) -> Status:
        """Return the state of the system; of these mailboxes only, if some are named."""
        runtime = self.runtime
        chosen = [box for box in runtime.mailboxes().values() if mailboxes is None or box.id in mailboxes]
        return read_status(runtime.ledger, runtime.events, chosen, runtime.sinks, runtime.poll_pressure.update)

    def sinks(self, who: Identity) -> list[SinkView]:
        """Return the consumers; of the events that they rejected, those are counted that may be seen."""
        status = self.status(())
        views = []
        for name, lag in status.sinks.items():
            answer = status.answers[name]
            state = "disabled" if name in status.disabled else "unavailable" if answer.words else "ok"
            dead = len(self.dead_letters(name, who))
            delivered_at = answer.delivered_at
            views.append(SinkView(name, state, answer.words, lag.entries, lag.oldest_age, delivered_at, dead))
        return views

    def failures(self, who: Identity) -> list[FailedMessage]:
        """Return the failed messages that may be seen, the oldest failure first."""
        return [one for one in self._failed.all() if who.scope.allows(one.message.mailbox)]

    def failure(self, key: str, who: Identity) -> FailedMessage:
        """Return one failed message.

        Raises:
            NotFoundError: there is none that may be seen.
        """
        for one in self.failures(who):
            if one.message.key == key:
                return one
        raise NotFoundError("no failed message has this key")

    def dead_letters(self, sink: str, who: Identity) -> list[RejectedEvent]:
        """Return the rejected events of a consumer that may be seen.

        Raises:
            NotFoundError: there is no such consumer.
        """
        if sink not in self.runtime.sinks:
            raise NotFoundError("there is no such consumer")
        return [one for one in self._sinks.rejected(sink) if who.scope.allows(one.entry.event.mailbox)]

    def letters(self, sink: str, who: Identity) -> list[LetterView]:
        """Return the rejected events of a consumer that may be seen, with what it answered; raises as above."""
        found = self.dead_letters(sink, who)
        rows = read_answers(self.catalog.engine, [one.entry.event.id for one in found])
        answers = {row.event: row for row in rows if row.sink == sink}
        return [LetterView(one, answers.get(one.entry.event.id)) for one in found]

    def timeline(self, key: str, who: Identity) -> list[Step]:
        """Return the steps of a message's way, as far as store, ledger and catalog know them."""
        return Timeline(self.runtime, self.queries).steps(self.found(key, who).row)

    def poll(self, mailbox: str, who: Identity) -> None:
        """Let a mailbox be polled at once.

        Raises:
            NotFoundError: there is no such mailbox that may be seen.
            NotPolledError: it is disabled or paused.
        """
        self._require(mailbox, who)
        with self.audit.recorded(Action("poll", who.name, mailbox=mailbox)):
            if not self.runtime.mailboxes()[mailbox].enabled or self.runtime.ledger.is_paused(mailbox):
                raise NotPolledError("the mailbox is disabled or paused")
            self.runtime.ledger.mailboxes.run_now(mailbox)

    def pause(self, mailbox: str, who: Identity, *, paused: bool) -> None:
        """Pause or resume a mailbox.

        Raises:
            NotFoundError: there is no such mailbox that may be seen.
        """
        self._require(mailbox, who)
        ledger = self.runtime.ledger
        with self.audit.recorded(Action("pause" if paused else "resume", who.name, mailbox=mailbox)):
            if paused and ledger.pause(mailbox):
                ledger.mailboxes.run_now(mailbox)  # whoever claims it finds it paused and unschedules it
            elif not paused and ledger.resume(mailbox):
                ledger.mailboxes.add([mailbox])

    def retry(self, key: str, who: Identity) -> None:
        """Let a failed message be processed again, or fetched again if the store does not hold it."""
        who.require_operator()
        one = self.failure(key, who)
        with self.audit.recorded(Action("retry", who.name, mailbox=one.message.mailbox, message=key)):
            Retry(self.runtime.store, self.runtime.ledger, self.runtime.keeper, patience=10.0).run([one])

    def drop(self, key: str, who: Identity) -> None:
        """Drop the record of a failed message; its raw mail stays in the store."""
        who.require_operator()
        one = self.failure(key, who)
        with self.audit.recorded(Action("drop", who.name, mailbox=one.message.mailbox, message=key)):
            self._failed.drop([one])

    def redeliver(self, sink: str, event: str, who: Identity, *, drop: bool) -> None:
        """Retry a rejected event now, or drop it.

        Raises:
            NotFoundError: there is no such event that may be seen.
        """
        who.require_operator()
        mailboxes = {one.entry.event.id: one.entry.event.mailbox for one in self.dead_letters(sink, who)}
        if event not in mailboxes:
            raise NotFoundError("this consumer has rejected no such event")
        what = "drop_event" if drop else "retry_event"
        with self.audit.recorded(Action(what, who.name, mailbox=mailboxes[event], sink=sink, event_id=event)):
            (self._sinks.drop if drop else self._sinks.retry)(sink, [event])

    def resume_sink(self, sink: str, who: Identity) -> None:
        """Let a consumer be tried at once that is disabled or waits for its next try.

        Raises:
            NotFoundError: there is no such consumer.
            ForbiddenError: whoever asks may not act for all mailboxes.
        """
        who.require_operator()
        if who.scope.mailboxes is not None:
            raise ForbiddenError("only an operator of all mailboxes may do this")
        if sink not in self.runtime.sinks:
            raise NotFoundError("there is no such consumer")
        with self.audit.recorded(Action("resume_sink", who.name, sink=sink)):
            self._sinks.resume([sink])

    @cached_property
    def _failed(self) -> FailedMessages:
        return FailedMessages(self.runtime.ledger)

    @cached_property
    def _sinks(self) -> SinkAdmin:
        return SinkAdmin(self.runtime.ledger.sinks, self.runtime.events, self.runtime.sinks)

    def _require(self, mailbox: str, who: Identity) -> None:
        who.require_operator()
        if mailbox not in self.runtime.mailboxes() or not who.scope.allows(mailbox):
            raise NotFoundError("there is no such mailbox")

    def _mailbox(
        self, row: MailboxRow, labels: Mapping[str, str], failed: int, totals: dict[str, int], now: float
    ) -> MailboxView:
        state, advice = _state(row, now)
        if not advice and failed:
            advice = "look at its failed messages"
        status = row.status
        return MailboxView(
            id=row.id,
            state=state,
            advice=advice,
            labels=labels,
            last_success=status.last_success if status else None,
            last_poll=status.last_poll if status else None,
            result=status.result if status else "",
            backlog_messages=status.backlog_messages if status else 0,
            backlog_bytes=status.backlog_bytes if status else 0,
            troubled=status.troubled if status else 0,
            failed=failed,
            messages=totals.get("messages", 0),
            recent=totals.get("recent", 0),
        )


def _state(row: MailboxRow, now: float) -> tuple[str, str]:
    """Return the state of a mailbox, and what to do about it."""
    if row.inactive:
        return row.inactive, "" if row.inactive == "disabled" else "resume it when the reason is gone"
    if row.status is None:
        return "new", ""
    if row.status.result not in {"ok", "success"}:
        words, remedy = POLL_REMEDIES.get(row.status.result, (row.status.result, "mailhaul check {id} says why"))
        return "failing", f"{words}; {remedy.format(id=row.id)}"
    if row.status.last_success is not None and now - row.status.last_success > max(3 * row.interval, 900.0):
        return "late", "no poll has succeeded for a while: is a poller running?"
    return "ok", f"{row.status.troubled} messages cannot be fetched" if row.status.troubled else ""


def at(seconds: float | None) -> datetime | None:
    """Return seconds since 1970 as a time."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
