"""Look at single mailboxes, pause and resume them, and poll one at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.config.names import require_configured
from ingest.errors import MailhaulError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from ingest.domain.mailbox import Mailbox
    from ingest.ports.claims import Standing
    from ingest.ports.ledger import Ledger
    from ingest.ports.status import MailboxStatus
    from ingest.ports.troubled import TroubledMessage
    from ingest.usecases.poll.stage import PollOutcome, PollStage


class NotPolledError(MailhaulError):
    """The mailbox cannot be polled now; the text says why, and what to do."""

    code = "not_polled"


@dataclass(frozen=True, slots=True)
class MailboxState:
    """One configured mailbox.

    Attributes:
        mailbox: as configured.
        paused: when a person paused it (seconds since 1970); None if it is not paused.
        standing: in the schedule; None if it is not scheduled: paused, disabled, or not yet seen by a scheduler.
        status: of its last poll; None before the first.
        troubled: messages on its server that could not be fetched.
    """

    mailbox: Mailbox
    paused: float | None
    standing: Standing | None
    status: MailboxStatus | None
    troubled: list[TroubledMessage] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """What a person may do with mailboxes. Every method may raise `LedgerUnavailableError`.

    Attributes:
        ledger: the schedule, and what is paused.
        stage: polls one mailbox.
        lease: seconds that a claim holds without being renewed.
        configured: all mailboxes by id, including disabled ones.
    """

    ledger: Ledger
    stage: PollStage
    lease: float
    configured: Mapping[str, Mailbox]

    def states(self, ids: Iterable[str] = ()) -> list[MailboxState]:
        """Return the states of these mailboxes, or of all if none is named, in the order of the configuration.

        Raises:
            ConfigError: a mailbox is not configured.
        """
        chosen = set(self.require(ids))
        paused, standing, statuses = self.ledger.paused(), self.ledger.mailboxes.standing(), self.ledger.statuses()
        troubled = self.ledger.all_troubled()
        return [
            MailboxState(box, paused.get(id_), standing.get(id_), statuses.get(id_), troubled.get(id_, []))
            for id_, box in self.configured.items()
            if id_ in chosen or not chosen
        ]

    def pause(self, ids: Iterable[str]) -> list[str]:
        """Pause mailboxes; a poll in progress continues to its end. Returns those that were not paused before.

        Raises:
            ConfigError: a mailbox is not configured.
        """
        new = [id_ for id_ in self.require(ids) if self.ledger.pause(id_)]
        for id_ in new:
            self.ledger.mailboxes.run_now(id_)  # the poller that claims it finds it paused and unschedules it
        return new

    def resume(self, ids: Collection[str]) -> list[str]:
        """Resume paused mailboxes, due at once; returns those that were paused.

        A paused mailbox that is no longer configured may be named too.

        Raises:
            ConfigError: a mailbox is neither configured nor paused.
        """
        paused = self.ledger.paused()
        self.require(id_ for id_ in ids if id_ not in paused)
        resumed = [id_ for id_ in ids if self.ledger.resume(id_)]
        self.ledger.mailboxes.add(id_ for id_ in resumed if id_ in self.configured)
        return resumed

    def poll(self, id_: str, leave: Callable[[], bool]) -> PollOutcome:
        """Poll one mailbox in this process, due or not; its next poll follows after its interval.

        Args:
            id_: the mailbox.
            leave: asked between messages; True ends the poll early, with everything fetched so far registered.

        Raises:
            ConfigError: the mailbox is not configured.
            NotPolledError: it is disabled, paused, or being polled by another process.
        """
        (id_,) = self.require([id_])
        if not self.configured[id_].enabled:
            raise NotPolledError(f"{id_} is disabled; set `enabled: true` in its configuration first")
        if self.ledger.is_paused(id_):
            raise NotPolledError(f"{id_} is paused; let it be polled with: mailhaul mailboxes resume {id_}")
        claim = self.ledger.mailboxes.claim_one(id_, self.lease)
        outcome = None if claim is None else self.stage.handle(claim, leave)
        if outcome is None:
            raise NotPolledError(
                f"{id_} is being polled by another process; `mailhaul mailboxes list` shows when it is done"
            )
        return outcome

    def require(self, ids: Iterable[str]) -> Sequence[str]:
        """Return the ids without repetitions.

        Raises:
            ConfigError: a mailbox is not configured; the text names all such.
        """
        ids = list(dict.fromkeys(ids))
        require_configured("mailbox", ids, self.configured)
        return ids
