"""What the jobs of the console do: find the messages, then replay or reprocess them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ingest.admin.mailbox_claim import raise_if_stopped
from ingest.admin.replay import listed_manifests, oldest_first
from ingest.admin.usable import require_usable
from ingest.console.jobs import DETAILS, ChangedMessage, failure
from ingest.errors import Fault, MailhaulError
from ingest.wiring import admin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingest.admin.replay import Replayed
    from ingest.admin.reprocess import Changed, Reprocessed
    from ingest.catalog.queries import Scope
    from ingest.console.jobs import Job, Progress
    from ingest.domain.marks import Change
    from ingest.ports.store import Stored
    from ingest.wiring.runtime import Runtime

# Messages of one job: their keys are in memory, and a job of more takes hours.
MOST_MESSAGES = 200_000
# Changes of one message, and characters of each, that are shown.
_CHANGES, _LONGEST = 10, 200


class TooManyMessagesError(MailhaulError):
    """More messages were chosen than one job may have."""

    fault = Fault.OPERATOR
    code = "too_many_messages"


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one job.

    Attributes:
        scope: the mailboxes of whoever started it.
        manifests: keys of the chosen messages' manifests; None if messages were not chosen one by one.
    """

    runtime: Runtime
    scope: Scope
    manifests: Sequence[str] | None = None

    def replay(self, progress: Progress) -> Job:
        """Publish the events of the chosen messages again.

        Raises:
            StopRequestedError, TooManyMessagesError, StoreError, LedgerError: it ended before it began.
        """
        wanted = progress.job.selection
        if wanted.dry_run:
            total = self._count(progress)
            return progress.now(state="done", total=total, finished=total, counts={"messages": total})
        runtime = self.runtime
        manifests = self._find(progress)
        work = admin.replay(runtime, direct=False, allows=self.scope.allows)
        return _replayed(progress, work.run(manifests, wanted.sink or None, progress, progress.show))

    def reprocess(self, progress: Progress) -> Job:
        """Read the chosen messages again, and let the service update those that are read differently today.

        Raises:
            StopRequestedError, TooManyMessagesError, StoreError, LedgerError: it ended before it began.
        """
        runtime, dry_run = self.runtime, progress.job.selection.dry_run
        require_usable(runtime.ledger)
        manifests = self._find(progress)
        work = admin.reprocess(runtime, allows=self.scope.allows, hands_over=True)
        done = work.run(manifests, runtime.schedule().sinks, progress, progress.show, dry_run=dry_run, keep=DETAILS)
        return _reprocessed(progress, done)

    def _count(self, progress: Progress) -> int:
        count = 0
        for count, _ in enumerate(self._listed(progress), 1):
            progress.show(count)
        return count

    def _find(self, progress: Progress) -> list[Stored]:
        """Return the chosen manifests, the oldest first."""
        found = []
        for manifest in self._listed(progress):
            found.append(manifest)
            progress.show(len(found))
            if len(found) > MOST_MESSAGES:
                raise TooManyMessagesError(
                    f"more than {MOST_MESSAGES:,} messages were chosen: choose fewer mailboxes or a shorter time"
                )
        progress.total, progress.finished = len(found), 0
        return sorted(found, key=oldest_first)

    def _listed(self, progress: Progress) -> Iterator[Stored]:
        wanted, runtime = progress.job.selection, self.runtime
        since = 0.0 if wanted.since is None else wanted.since.timestamp()
        until = math.inf if wanted.until is None else wanted.until.timestamp()
        if self.manifests is None:
            mailboxes = wanted.mailboxes or sorted(self.scope.mailboxes or ())
            if self.scope.mailboxes is not None and not mailboxes:
                return  # for a listing, none is all
            found = listed_manifests(
                runtime.store, runtime.layout, runtime.mailboxes(), mailboxes, since=since, until=until
            )
        else:
            listed = (one for key in self.manifests for one in runtime.store.stored(key) if one.key == key)
            found = (one for one in listed if since <= one.modified < until)
        for manifest in found:
            raise_if_stopped(progress)
            yield manifest


def _replayed(progress: Progress, done: Replayed) -> Job:
    counts = {"published": done.published, "skipped": done.skipped}
    if done.unwanted:
        counts["not_wanted"] = done.unwanted
    if done.rejected:
        counts["rejected"] = len(done.rejected)
    problems = [f"rejected: event {event}" for event in done.rejected[:DETAILS]]
    return _ended(progress, done).model_copy(update={"counts": counts, "problems": problems})


def _reprocessed(progress: Progress, done: Reprocessed) -> Job:
    counts = {"read": done.read, "changed": done.changed_total}
    if not progress.job.selection.dry_run:
        counts["handed_over"] = done.pending
    counts |= {reason: count for reason, count in done.skipped.items() if count}
    if done.failed:
        counts["failed"] = len(done.failed)
    changes = {
        "counts": counts,
        "problems": [f"{key}: {reason}" for key, reason in done.failed[:DETAILS]],
        "changed": [_changed(one) for one in done.changed],
    }
    return _ended(progress, done).model_copy(update=changes)


def _ended(progress: Progress, done: Replayed | Reprocessed) -> Job:
    state = "failed" if done.error else "done" if done.resume_at is None else "stopped"
    # Whole seconds: publishing an event or reading a message twice does no harm.
    at = None if done.resume_at is None else datetime.fromtimestamp(int(done.resume_at), UTC)
    return progress.now(state=state, resume_at=at, **(failure(done.error) if done.error else {}))


def _changed(one: Changed) -> ChangedMessage:
    lines = [_line(change)[:_LONGEST] for change in one.changes[:_CHANGES]]
    if more := len(one.changes) - len(lines):
        lines.append(f"and {more:,} more")
    return ChangedMessage(message=one.key, mailbox=one.mailbox, changes=lines)


def _line(change: Change) -> str:
    if change.kind != "changed":
        return f"{change.path}: {change.kind}"
    return f"{change.path}: {_value(change.before)} → {_value(change.after)}"


def _value(value: object) -> str:
    return "nothing" if value is None else str(value)
