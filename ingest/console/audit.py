"""Who did what: every action of the console and its API passes here, is logged, and is kept in the ledger."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.errors import LedgerError, MailhaulError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.console.access import Identity
    from ingest.ports.actions import Action, ActionRecords, RecordedAction

log = get_logger()
# Characters of a user's name that are kept; a proxy may pass on any.
_NAME = 200
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Audit:
    """Records actions, and returns those that somebody may see."""

    records: ActionRecords

    @contextmanager
    def recorded(self, action: Action) -> Iterator[None]:
        """Record an action with its result: `done`, or the code of the error that the block raises."""
        try:
            yield
        except Exception as error:
            self.record(replace(action, result=error.code if isinstance(error, MailhaulError) else "internal"))
            raise
        self.record(action)

    def record(self, action: Action) -> None:
        """Log an action, and keep it. It was carried out already, so that a ledger that fails does not undo it."""
        action = replace(action, user=action.user[:_NAME])
        log.info(
            "console.action",
            action=action.what,
            user=action.user,
            result=action.result,
            mailbox=action.mailbox,
            message=action.message,
            sink=action.sink,
            event_id=action.event_id,
            count=action.count,
        )
        try:
            self.records.record_action(action)
        except LedgerError as error:
            log.warning("console.action_lost", action=action.what, error=error.code)

    def seen(self, who: Identity, before: str, limit: int) -> list[RecordedAction]:
        """Return the latest actions that an operator may see: those on his mailboxes, or all.

        Args:
            who: asks.
            before: the position of the last action that is known; empty for the latest ones.
            limit: the most that are returned.

        Raises:
            ForbiddenError: whoever asks is no operator.
        """
        who.require_operator()
        found: list[RecordedAction] = []
        while batch := self.records.actions(before, _BATCH):
            before = batch[-1].position
            found += [one for one in batch if who.scope.mailboxes is None or who.scope.allows(one.action.mailbox)]
            if len(found) >= limit:
                break
        return found[:limit]
