"""Replays and reprocesses, within the rights of who asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.console.errors import FilterError, NotFoundError
from ingest.console.job_work import Work
from ingest.console.jobs import Job, JobKind, JobRunner, ReplaySelection, Selection
from ingest.ports.actions import Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.catalog.queries import Found
    from ingest.console.access import Identity
    from ingest.console.audit import Audit
    from ingest.wiring.runtime import Runtime


@dataclass
class JobDesk:
    """Starts, shows and stops jobs. Every method raises `LedgerUnavailableError`.

    Attributes:
        found: returns the catalog's rows of a message that may be seen.
        audit: records who did what.
    """

    runtime: Runtime
    found: Callable[[str, Identity], Found]
    audit: Audit
    runner: JobRunner = field(init=False)

    def __post_init__(self) -> None:
        self.runner = JobRunner(self.runtime.ledger, self.runtime.now)

    def start(self, kind: JobKind, selection: Selection, who: Identity) -> Job:
        """Start a job over the chosen messages of the mailboxes that may be seen.

        Raises:
            ForbiddenError: whoever asks is no operator.
            NotFoundError: a mailbox, a message or the consumer does not exist, or may not be seen.
            FilterError: the period ends before it begins.
            JobBusyError: another job of this kind is active.
        """
        who.require_operator()
        wanted = ReplaySelection.model_validate(selection.model_dump())
        self._require(wanted, who)
        if who.scope.mailboxes is not None and not wanted.mailboxes and not wanted.messages:
            # By name, because whoever confirms a count, or goes on, may see more than whoever began.
            wanted = wanted.model_copy(update={"mailboxes": sorted(who.scope.mailboxes)})
        manifests = [self._manifest(key, who) for key in wanted.messages] or None
        work = Work(self.runtime, who.scope, manifests)
        does = work.replay if kind is JobKind.REPLAY else work.reprocess
        with self.audit.recorded(self._action("count" if wanted.dry_run else "start", kind, who, wanted)):
            return self.runner.start(kind, who.name, who.scope, wanted, does)

    def all(self, kind: JobKind, who: Identity) -> list[Job]:
        """Return the last jobs of a kind that may be seen, the newest first."""
        return self.runner.all(kind, who.scope)

    def job(self, kind: JobKind, id_: str, who: Identity) -> Job:
        """Return one job.

        Raises:
            NotFoundError: there is none that may be seen.
        """
        for job in self.all(kind, who):
            if job.id == id_:
                return job
        raise NotFoundError(f"there is no such {kind}")

    def stop(self, kind: JobKind, id_: str, who: Identity) -> Job:
        """Ask a job to stop, if it is active, and return it.

        Raises:
            ForbiddenError: whoever asks is no operator.
            NotFoundError: there is none that may be seen.
        """
        who.require_operator()
        job = self.job(kind, id_, who)
        if job.active:
            with self.audit.recorded(self._action("stop", kind, who, job.selection)):
                self.runner.stop(job)
        return self.job(kind, id_, who)

    def _require(self, wanted: ReplaySelection, who: Identity) -> None:
        known = self.runtime.mailboxes()
        if any(box not in known or not who.scope.allows(box) for box in wanted.mailboxes):
            raise NotFoundError("there is no such mailbox")
        if wanted.sink and wanted.sink not in self.runtime.sinks:
            raise NotFoundError("there is no such consumer")
        if wanted.messages and wanted.mailboxes:
            raise FilterError("choose messages, or mailboxes: not both")
        if wanted.since and wanted.until and wanted.since >= wanted.until:
            raise FilterError("the period ends before it begins")

    def _manifest(self, key: str, who: Identity) -> str:
        manifest: str | None = self.found(key, who).row["manifest"]
        if manifest is None:
            raise NotFoundError("the message failed, so that it has no event to replay: retry it instead")
        return manifest

    def _action(self, verb: str, kind: JobKind, who: Identity, wanted: ReplaySelection) -> Action:
        mailboxes = wanted.mailboxes or sorted(who.scope.mailboxes or ())
        return Action(
            f"{verb}_{kind}",
            who.name,
            mailbox=mailboxes[0] if len(mailboxes) == 1 else "",
            message=wanted.messages[0] if len(wanted.messages) == 1 else "",
            sink=wanted.sink,
            count=len(wanted.messages) or None,
        )
