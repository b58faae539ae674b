"""Reprocess: read stored messages again, and update those of which today's version makes something else.

Messages are compared without any claim, and nothing is written. Those that would change are then opened like new
mail, with a note that they are updated: so a purge, a poll and the processors of a running service treat them as any
open message, a crash at any step is repaired by the next attempt, and the event is appended in the step that closes
the message.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.admin.mailbox_claim import StopRequestedError, claim_mailbox, raise_if_stopped
from ingest.admin.pipeline import PARALLEL_MESSAGES
from ingest.errors import MailhaulError, MessageError, ObjectMissingError, StoreCorruptError
from ingest.usecases.batches import batches
from ingest.usecases.process.reprocessing import RawErasedError
from ingest.usecases.recover.republish import StreamIds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from ingest.admin.mailbox_claim import StopSignal
    from ingest.admin.pipeline import Pipeline
    from ingest.domain.mailbox import Mailbox
    from ingest.domain.marks import Change
    from ingest.domain.message import OpenMessage
    from ingest.ports.claims import Claim
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger
    from ingest.ports.store import Stored
    from ingest.usecases.backpressure import MemoryPressure
    from ingest.usecases.claims import LeaseKeeper
    from ingest.usecases.process.reprocessing import Compared, Reprocessor
    from ingest.usecases.recover.rebuild import Rebuilder

log = get_logger()

# Messages that are compared, then updated and delivered.
BATCH = 100
# Seconds to wait for a poll of the mailbox that is in progress.
CLAIM_PATIENCE = 3600.0
# Messages that may be due where a running service makes the updates: new mail waits for so many, and not for all that
# are handed over.
MOST_DUE = 100
# Seconds between two looks whether there is room again.
LOOK_EVERY = 1.0


@dataclass(frozen=True, slots=True)
class Changed:
    """A message that today's version reads differently.

    Attributes:
        key: the message key.
        mailbox: the id of its mailbox.
        changes: what is different.
    """

    key: str
    mailbox: str
    changes: list[Change]


@dataclass(frozen=True, slots=True)
class _NotCompared:
    key: str
    reason: str
    failed: bool = False


@dataclass(slots=True)
class Reprocessed:
    """The result, in messages.

    Attributes:
        read: how many were read again.
        changed: the first of those whose result is another one.
        changed_total: how many these are.
        updated: how many of them were updated; none in a dry run.
        pending: how many of them are open, and will be updated by a running service or the next drain.
        skipped: how many were not compared, by reason.
        failed: keys of messages that could not be read or updated, with the reason.
        events: events delivered from here, by sink.
        resume_at: from when to continue (seconds since 1970) if it ended early.
        error: why it ended early; None if it was asked to stop, or did not end early.
    """

    read: int = 0
    changed: list[Changed] = field(default_factory=list)
    changed_total: int = 0
    updated: int = 0
    pending: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    resume_at: float | None = None
    error: MailhaulError | None = None

    @property
    def ok(self) -> bool:
        """Whether every message was read, and every update made."""
        return not self.failed and not self.pending and self.error is None and self.resume_at is None

    def add(self, found: Iterable[Compared | _NotCompared], keep: int | None) -> list[Compared]:
        """Count messages, and keep this many of those that would change; return all that would change."""
        changed = []
        for each in found:
            if isinstance(each, _NotCompared):
                if each.failed:
                    self.failed.append((each.key, each.reason))
                else:
                    self.skipped[each.reason] += 1
                continue
            self.read += 1
            if each.changes:
                changed.append(each)
        self.changed_total += len(changed)
        kept = changed if keep is None else changed[: max(0, keep - len(self.changed))]
        self.changed += [Changed(each.message.key, each.message.mailbox, each.changes) for each in kept]
        return changed


@dataclass(frozen=True, slots=True)
class Reprocess:
    """Reprocesses messages.

    Attributes:
        configured: mailboxes by id; messages of others are skipped.
        store_id: returns the id that the store carries.
        pressure: stops updates while the ledger has too little memory.
        allows: whether messages of a mailbox may be read, by its id; others are skipped.
        hands_over: whether a running service updates the messages and delivers the events, instead of this process.
    """

    reprocessor: Reprocessor
    ledger: Ledger
    events: EventLog
    rebuilder: Rebuilder
    keeper: LeaseKeeper
    pipeline: Pipeline
    configured: Mapping[str, Mailbox]
    store_id: Callable[[], bytes]
    pressure: MemoryPressure
    allows: Callable[[str], bool] = lambda _: True
    hands_over: bool = False

    def run(
        self,
        manifests: Sequence[Stored],
        sinks: Collection[str],
        stop: StopSignal,
        listen: Callable[[int], None] = lambda _: None,
        *,
        dry_run: bool = False,
        keep: int | None = None,
    ) -> Reprocessed:
        """Reprocess the messages of manifests, in this order.

        Args:
            manifests: from `find_manifests`.
            sinks: names of all sinks.
            stop: asked between batches, and while waiting.
            listen: called with the number of messages handled.
            dry_run: compare only, and write nothing.
            keep: how many changed messages to return with their changes; None for all, which takes memory.
        """
        done, finished = Reprocessed(), 0
        with ThreadPoolExecutor(PARALLEL_MESSAGES, thread_name_prefix="compare") as workers:
            try:
                for batch in batches(manifests, BATCH):
                    raise_if_stopped(stop)
                    changed = done.add(workers.map(self._compare, batch), keep)
                    if changed and not dry_run:
                        self._update(changed, sinks, stop, done)
                    finished += len(batch)
                    listen(finished)
            except (StopRequestedError, MailhaulError) as error:
                done.resume_at = manifests[finished].modified
                done.error = None if isinstance(error, StopRequestedError) else error
        return done

    def _compare(self, stored: Stored) -> Compared | _NotCompared:
        """Compare one message."""
        key = stored.key.split("/")[-2]
        try:
            compared = self.reprocessor.compare(stored.key)
        except RawErasedError:
            return _NotCompared(key, "the raw mail was erased")
        except (MessageError, StoreCorruptError, ObjectMissingError) as error:
            return _NotCompared(key, str(error), failed=True)
        except MailhaulError:
            raise
        except Exception:  # one message must not stop the others, not even through a bug
            log.exception("message.bug", message=key)
            return _NotCompared(key, "unexpected error", failed=True)
        if compared is None:
            return _NotCompared(key, "purged, or the manifest cannot be read")
        mailbox = compared.message.mailbox
        if mailbox in self.configured and self.allows(mailbox):
            return compared
        return _NotCompared(key, "the mailbox is not configured" if self.allows(mailbox) else "of another mailbox")

    def _update(
        self, changed: Sequence[Compared], sinks: Collection[str], stop: StopSignal, done: Reprocessed
    ) -> None:
        """Open the messages, process what is open, and deliver the events."""
        while self.pressure.high() or (self.hands_over and self.ledger.messages.backlog().due > MOST_DUE):
            stop.wait(LOOK_EVERY)
            raise_if_stopped(stop)
        messages = sorted((each.message for each in changed), key=lambda each: each.mailbox)
        opened: list[tuple[OpenMessage, Claim]] = []
        with ExitStack() as held, ThreadPoolExecutor(PARALLEL_MESSAGES, thread_name_prefix="update") as workers:
            for mailbox, of_one in groupby(messages, lambda each: each.mailbox):
                opened += self._open(mailbox, list(of_one), stop, done, held)
            if self.hands_over:
                for _, claim in opened:
                    self.ledger.messages.release(claim, 0.0, claim.tries - 1)
                done.pending += len(opened)
                return
            list(workers.map(lambda each: self._handle(each[1], stop), opened))
        done.events += self.pipeline.deliver_all(sinks, lambda: stop.asked)
        self._count([message for message, _ in opened], done)

    def _handle(self, claim: Claim, stop: StopSignal) -> None:
        if stop.asked:
            self.ledger.messages.release(claim, 0.0, claim.tries - 1)
        else:
            self.pipeline.process.handle(claim)

    def _open(
        self, mailbox: str, messages: list[OpenMessage], stop: StopSignal, done: Reprocessed, held: ExitStack
    ) -> list[tuple[OpenMessage, Claim]]:
        """Open messages for an update, with the mailbox claimed, so that nobody purges them meanwhile.

        They are claimed in the same step, so that no processor takes them that runs an older version or has other
        options.
        """
        with claim_mailbox(self.ledger, self.keeper, mailbox, lambda: stop.asked, CLAIM_PATIENCE) as lease:
            if self.ledger.unknown([mailbox]):
                self.rebuilder.rebuild(self.configured[mailbox], lease, in_stream=StreamIds(self.events).read)
            store_id = self.store_id().hex()
            messages = [message.model_copy(update={"store_id": store_id}) for message in messages]
            lease.check()
            claims = self.ledger.open_updates(lease.claim, messages, self.keeper.seconds)
            opened = [(one, claim) for one, claim in zip(messages, claims, strict=True) if claim is not None]
            for _, claim in opened:
                held.enter_context(self.keeper.hold(self.ledger.messages, claim))
        done.skipped["still being processed, or failed"] += len(messages) - len(opened)
        return opened

    def _count(self, opened: Sequence[OpenMessage], done: Reprocessed) -> None:
        still_open = self.ledger.open_messages([message.key for message in opened])
        for message, other in zip(opened, still_open, strict=True):
            if other is not None and other.update == message.update:
                done.pending += 1
            elif self.reprocessor.is_updated(message):
                done.updated += 1
            else:
                done.failed.append((message.key, "could not be updated; the log says why"))
