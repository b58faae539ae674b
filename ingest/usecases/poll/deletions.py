"""Delete on the server: which messages, with what proof, and what the ledger records of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.errors import StoreError
from ingest.usecases.poll.undeleted import COMPARISONS_PER_POLL

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ingest.domain.mailbox import Mailbox
    from ingest.domain.seen import StoredAt
    from ingest.metrics import Metrics
    from ingest.ports.ledger import Ledger
    from ingest.ports.maildrop import Maildrop
    from ingest.usecases.poll.progress import PollProgress
    from ingest.usecases.poll.proof import StoreProof
    from ingest.usecases.poll.values import DoneMessage, PollInput

log = get_logger()

# Deletions in one poll; each costs two requests to the store. The others follow in the next poll.
DELETIONS_PER_POLL = 1_000
# Redis may lose its last second of writes (`appendfsync everysec`). What was registered longer ago is safe to delete.
LAST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Deletions:
    """Deletes messages that are done.

    Attributes:
        now: the wall clock, in UTC.
    """

    ledger: Ledger
    proof: StoreProof
    metrics: Metrics
    now: Callable[[], datetime]

    def deletable(self, poll: PollInput) -> set[bytes]:
        """Return the digests that were registered in an earlier poll, are old enough for the policy, and are done."""
        after = poll.mailbox.deletion.after
        if after is None or not poll.seen:
            return set()
        unprocessed = self.ledger.unprocessed(poll.mailbox.id)
        until = self.now().timestamp() - max(after, LAST_SECONDS)
        return {
            digest for digest, record in poll.seen.items() if record.second <= until and digest not in unprocessed
        }

    def compare(self, session: Maildrop, poll: PollInput, progress: PollProgress) -> None:
        """Find the listed messages that the server was asked to delete: they need not be fetched again."""
        if poll.mailbox.deletion.after is None:
            progress.undeleted.discard(poll.deleted.keys())
            return
        due = progress.begin_comparing()
        try:
            for row, stored_at in due:
                same = self.proof.has_header(poll.mailbox, stored_at, session.top(row.listed))
                progress.undeleted.compared(row, stored_at, same=same)
        except StoreError as error:
            log.warning("deletion.postponed", mailbox=poll.mailbox.id, listed=len(due), error=error.code)
        if repeated := progress.undeleted.repeated:
            log.warning("server.keeps_deleted", mailbox=poll.mailbox.id, listed=progress.undeleted.listed)
            self.metrics.deletions_repeated(poll.mailbox.id, repeated)

    def delete(self, session: Maildrop, poll: PollInput, progress: PollProgress, deletable: set[bytes]) -> set[bytes]:
        """Send DELE for the done messages that the store proves to hold; returns the digests of those accepted."""
        if poll.mailbox.deletion.after is None:
            return set()
        due = progress.to_delete(progress.done_messages(deletable))
        if len(due) > DELETIONS_PER_POLL:
            progress.left_undeleted()
        proven = self._proven(poll, progress, due[:DELETIONS_PER_POLL])
        proven = self._confirmed(session, poll, progress, proven)
        poll.lease.check()
        accepted = {row.number for row in session.delete([message.listed for message in proven])}
        progress.deleted(len(accepted))
        deleted = {message.digest: message.stored_at for message in proven if message.listed.number in accepted}
        self._begin(poll, progress, deleted)
        return set(deleted)

    def record(self, poll: PollInput, progress: PollProgress, confirmed: set[bytes]) -> None:
        """Record which deletions QUIT has confirmed, and what comparisons have shown."""
        progress.undeleted.confirmed(confirmed)
        if progress.undeleted.has_changed:
            poll.lease.check()
            self.ledger.record_deleted(poll.lease.claim, progress.undeleted.records)
            progress.undeleted.recorded()

    def _begin(self, poll: PollInput, progress: PollProgress, deleted: dict[bytes, StoredAt]) -> None:
        """Record which messages QUIT will delete: from then on the server may give their unique-ids to others.

        After QUIT it would be too late. If the process died, or the answer was lost, the next poll would take
        another message with such a unique-id and size for the one that was fetched.
        """
        if new := progress.undeleted.begun(deleted):
            gone = new | progress.other_digests(deleted)
            poll.lease.check()
            self.ledger.begin_deletions(poll.lease.claim, gone, progress.undeleted.records)
            progress.undeleted.recorded()
            progress.forgotten(gone)

    def _proven(self, poll: PollInput, progress: PollProgress, due: list[DoneMessage]) -> list[DoneMessage]:
        """Return the messages that the store holds. Those it does not hold are to be fetched and stored again."""
        try:
            held = self.proof.held(poll.mailbox, [message.stored_at for message in due])
        except StoreError as error:
            log.warning("deletion.postponed", mailbox=poll.mailbox.id, listed=len(due), error=error.code)
            return []
        missing = {message.digest for message, is_held in zip(due, held, strict=True) if not is_held}
        if missing:
            log.error("deletion.withheld", mailbox=poll.mailbox.id, listed=len(missing))
            self.metrics.deletions_withheld(poll.mailbox.id, len(missing))
            poll.lease.check()
            self.ledger.forget(poll.lease.claim, missing)
            progress.forgotten(missing)
            progress.undeleted.discard(missing)
        return [message for message in due if message.digest not in missing]

    def _confirmed(
        self, session: Maildrop, poll: PollInput, progress: PollProgress, proven: list[DoneMessage]
    ) -> list[DoneMessage]:
        """Return the messages that are certainly the stored ones.

        A ledger that lost data may have a record again that was forgotten when the server confirmed the deletion.
        Another message may have the unique-id and the size by now. So the header (TOP) has to be the stored one;
        where it is not, or the server has no TOP, the message is forgotten, fetched, and its content decides.

        What was fetched in another size than the listed one may be another message: a server that numbers messages
        anew during a session sends the neighbour. There a header that contradicts the stored one decides.
        """
        restored = [message for message in proven if message.is_restored]
        others = [message for message in proven if not message.is_restored and not message.is_compared]
        estimated = [message for message in others if message.listed.size != message.stored_at.size]
        if len(restored) > COMPARISONS_PER_POLL:
            progress.left_undeleted()
        compared = [*restored[:COMPARISONS_PER_POLL], *estimated]
        same: dict[bytes, bool] = {}
        try:
            for message in compared:
                poll.lease.progress()
                same[message.digest] = self._is_stored(poll.mailbox, message, session.top(message.listed))
        except StoreError as error:
            log.warning("deletion.postponed", mailbox=poll.mailbox.id, listed=len(compared), error=error.code)
        if gone := {digest for digest, is_same in same.items() if not is_same}:
            poll.lease.check()
            self.ledger.forget(poll.lease.claim, gone)
            progress.forgotten(gone)
        doubted = {message.digest for message in (*restored, *estimated)}
        return [one for one in proven if one.digest not in doubted or same.get(one.digest, False)]

    def _is_stored(self, mailbox: Mailbox, message: DoneMessage, header: bytes) -> bool:
        if message.is_restored:
            return self.proof.has_header(mailbox, message.stored_at, header)
        return not self.proof.contradicts(mailbox, message.stored_at, header)
