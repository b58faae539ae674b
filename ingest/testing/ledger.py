"""The in-memory twin of `RedisLedger`."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from ingest.errors import StaleClaimError
from ingest.ports.ledger import Ledger
from ingest.ports.seen import UNSETTLED_SECONDS, Seen
from ingest.testing.actions import MemoryActions
from ingest.testing.content import MemoryContent
from ingest.testing.jobs import MemoryJobs
from ingest.testing.schedule import MemorySchedule
from ingest.testing.sessions import MemorySessions
from ingest.testing.slots import MemorySlots

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ingest.domain.events import Event
    from ingest.domain.message import FailedMessage, OpenMessage
    from ingest.domain.seen import SeenRecord
    from ingest.ports.claims import Claim
    from ingest.ports.ledger import LedgerProblem
    from ingest.ports.seen import Registration
    from ingest.ports.slots import LastLogin
    from ingest.ports.status import MailboxStatus, Memory
    from ingest.testing.eventlog import MemoryEventLog
    from ingest.testing.workset import MemoryWorkSet


_WORK_SETS = ("mailboxes", "messages", "sinks")
# What `MemoryLedger.evict` can lose by itself.
EVICTABLE = (*_WORK_SETS, "changes", "checkpointed", "events", "failed", "open", "rebuilt", "seen", "unprocessed")


class MemoryLedger(MemorySchedule, MemoryContent, MemorySlots, MemoryActions, MemoryJobs, MemorySessions, Ledger):
    """A `Ledger` for one process.

    Args:
        clock: returns seconds since 1970.
        events: receives the events of completed and failed messages.

    Attributes:
        found_problems: what `problems` returns.
        server_memory: what `memory` returns.
        notices_losses: as `Seen` says of every mailbox, unless the ledger was restarted a short time ago.
    """

    def __init__(self, clock: Callable[[], float], events: MemoryEventLog) -> None:
        self._incarnation = 0
        self.server_memory: Memory | None = None
        self.notices_losses = True
        self._restarted = -math.inf
        self.found_problems: list[LedgerProblem] = []
        super().__init__(clock, events)
        events.on_republish = self._note_republished

    @override
    def _forget(self) -> None:
        super()._forget()
        self._forget_content()
        self._forget_slots()
        self._forget_actions()
        self._forget_jobs()
        self._forget_sessions()
        self._seen: dict[str, dict[bytes, SeenRecord]] = {}
        self._deleted: dict[str, dict[bytes, SeenRecord]] = {}
        self._rebuilt: dict[str, int] = {}
        self._changes: Counter[str] = Counter()
        self._checkpointed: dict[str, int] = {}
        self._unprocessed: dict[str, dict[str, set[bytes]]] = {}
        self._open: dict[str, OpenMessage] = {}
        self._failed: dict[str, FailedMessage] = {}
        self._statuses: dict[str, MailboxStatus] = {}

    def restart(self) -> None:
        """Come back after a crash or a failover: nobody can tell whether the last writes are there.

        What is there is made consistent: an open message that is neither due nor claimed is due.
        """
        with self._lock:
            self._incarnation += 1
            self._restarted = self._clock()
            self._messages.add(self._open)

    def _is_known(self, mailbox: str) -> bool:
        return mailbox in self._seen and self._rebuilt.get(mailbox) == self._incarnation

    def lose(self) -> None:
        """Lose everything, the events too, as a Redis without persistence does."""
        with self._lock:
            for work in (self._mailboxes, self._messages, self._sinks):
                work.clear()
            self._events.clear()
            self._forget()
            self._incarnation += 1

    def snapshot(self) -> Callable[[], None]:
        """Remember everything; the function returned brings it back, as after a crash that lost the last writes."""
        with self._lock:
            works = [work.snapshot() for work in (self._mailboxes, self._messages, self._sinks)]
            restores = [*works, self._events.snapshot()]
            state = {name: _copied(value) for name, value in vars(self).items() if name not in self._lasting}

        def restore() -> None:
            with self._lock:
                for one in restores:
                    one()
                for name, value in state.items():
                    setattr(self, name, _copied(value))
                self.restart()

        return restore

    def evict(self, part: str) -> None:
        """Lose one key only, as a Redis that evicts keys does: one of `EVICTABLE`.

        The counts of the real ledger show that at once, so every mailbox is rebuilt.
        """
        with self._lock:
            if part == "events":
                self._events.clear()
            else:
                getattr(self, f"_{part}").clear()
            self.restart()

    @override
    def close(self) -> None:
        pass

    @override
    def ping(self) -> None:
        pass

    @override
    def problems(self) -> list[LedgerProblem]:
        return list(self.found_problems)

    @override
    def seen(self, mailbox: str) -> Seen:
        with self._lock:
            changes, checkpointed = self._changes[mailbox], self._checkpointed.get(mailbox, 0)
            records, deleted = dict(self._seen.get(mailbox, {})), dict(self._deleted.get(mailbox, {}))
            known, troubled = self._is_known(mailbox), tuple(self.troubled(mailbox))
            notices = self.notices_losses and not 0 <= self._clock() - self._restarted < UNSETTLED_SECONDS
            return Seen(records, known, changes, checkpointed, deleted, notices, troubled)

    @override
    def unprocessed(self, mailbox: str) -> set[bytes]:
        with self._lock:
            return {digest for digests in self._unprocessed.get(mailbox, {}).values() for digest in digests}

    @override
    def register(self, claim: Claim, registrations: Sequence[Registration]) -> int:
        with self._lock:
            self._check(self._mailboxes, claim)
            seen = self._seen.setdefault(claim.id, {})
            opened = 0
            self._changes[claim.id] += any(registration.message is None for registration in registrations)
            for registration in registrations:
                seen.setdefault(registration.digest, registration.record(int(self._clock())))
                if (message := registration.message) is not None:
                    unprocessed = self._unprocessed.setdefault(claim.id, {})
                    unprocessed.setdefault(message.key, set()).add(registration.digest)
                    opened += self._open_up(message)
            return opened

    @override
    def forget(self, claim: Claim, digests: Collection[bytes]) -> int:
        return self.compact(claim, self.seen(claim.id).records.keys() - set(digests)) if digests else 0

    @override
    def record_deleted(self, claim: Claim, records: Mapping[bytes, SeenRecord]) -> None:
        with self._lock:
            self._check(self._mailboxes, claim)
            self._deleted[claim.id] = dict(records)

    @override
    def begin_deletions(self, claim: Claim, digests: Collection[bytes], records: Mapping[bytes, SeenRecord]) -> None:
        with self._lock:
            self.record_deleted(claim, records)
            self.forget(claim, digests)

    @override
    def compact(self, claim: Claim, keep: Collection[bytes], doubt: Collection[bytes] = ()) -> int:
        with self._lock:
            self._check(self._mailboxes, claim)
            seen = self._seen.get(claim.id, {})
            gone = seen.keys() - set(keep)
            for digest in gone:
                del seen[digest]
            seen |= {digest: seen[digest].as_restored() for digest in doubt if digest in seen}
            self._changes[claim.id] += 1
            return len(gone)

    @override
    def incarnation(self) -> bytes:
        with self._lock:
            return b"%d" % self._incarnation

    @override
    def restore_seen(self, claim: Claim, records: Mapping[bytes, SeenRecord], incarnation: bytes) -> None:
        with self._lock:
            self._check(self._mailboxes, claim)
            restored = {**records, **self._seen.get(claim.id, {})}
            self._seen[claim.id] = {digest: record.as_restored() for digest, record in restored.items()}
            self._rebuilt[claim.id] = int(incarnation)

    @override
    def unknown(self, mailboxes: Collection[str]) -> int:
        with self._lock:
            return sum(not self._is_known(mailbox) for mailbox in set(mailboxes))

    @override
    def republish(self, claim: Claim, events: Sequence[Event], since: float) -> None:
        with self._lock:
            self._check(self._mailboxes, claim)
            self._events.republish(events, since)

    def _note_republished(self, since: float) -> None:
        with self._lock:
            now = self._clock()
            self._extend_clock_step(min(since, now), now)

    @override
    def record_checkpoint(self, mailbox: str, changes: int) -> None:
        with self._lock:
            self._checkpointed[mailbox] = changes

    @override
    def open_messages(self, keys: Sequence[str]) -> list[OpenMessage | None]:
        with self._lock:
            return [self._open.get(key) for key in keys]

    @override
    def begin(self, claim: Claim) -> OpenMessage | None:
        with self._lock:
            self._check(self._messages, claim)
            message = self._open.get(claim.id)
            if message is not None:
                self._messages.begin_attempt(claim)
            return message

    @override
    def complete(
        self, claim: Claim, message: OpenMessage, event: Event | None, following: Claim | None = None
    ) -> OpenMessage | None:
        with self._lock:
            self._close(claim, message, event)
            self._unprocessed.get(message.mailbox, {}).pop(message.key, None)
            self._changes[message.mailbox] += 1
            with suppress(StaleClaimError):
                return None if following is None else self.begin(following)
            return None

    @override
    def fail(self, claim: Claim, failed: FailedMessage, event: Event | None) -> None:
        with self._lock:
            self._close(claim, failed.message, event)
            self._failed[failed.message.key] = failed

    @override
    def failed_messages(self) -> list[FailedMessage]:
        with self._lock:
            return sorted(self._failed.values(), key=lambda failure: failure.failed_at)

    @override
    def retry_failed(self, failed: FailedMessage) -> bool:
        message = failed.message
        with self._lock:
            if self._failed.pop(message.key, None) is None:
                return False
            self.messages.drop([message.key])
            return self._open_up(message)

    @override
    def drop_failed(self, failed: FailedMessage) -> bool:
        message = failed.message
        with self._lock:
            if self._failed.pop(message.key, None) is None:
                return False
            self._unprocessed.get(message.mailbox, {}).pop(message.key, None)
            self._changes[message.mailbox] += 1
            return True

    @override
    def drop_purged(self, claim: Claim, keys: Sequence[str]) -> int:
        with self._lock:
            self._check(self._mailboxes, claim)
            self.messages.drop(keys)
            dropped = sum((self._open.pop(key, None) or self._failed.pop(key, None)) is not None for key in keys)
            for key in keys:
                self._failed.pop(key, None)
                self._unprocessed.get(claim.id, {}).pop(key, None)
            self._changes[claim.id] += dropped > 0
            return dropped

    @override
    def open_updates(self, claim: Claim, messages: Sequence[OpenMessage], lease: float) -> list[Claim | None]:
        with self._lock:
            self._check(self._mailboxes, claim)
            taken = self._open.keys() | self._failed.keys() | self._messages.members()
            free = [message for message in messages if message.key not in taken]
            for message in free:
                self._unprocessed.setdefault(claim.id, {}).setdefault(message.key, set())
                self._open[message.key] = message
            claims = {message.key: self._messages.claim_one(message.key, lease) for message in free}
            return [claims.get(message.key) for message in messages]

    @override
    def put_status(self, mailbox: str, status: MailboxStatus, login: LastLogin | None = None) -> None:
        with self._lock:
            if login is not None:
                self._last_logins[mailbox] = login
            if status.last_success is None and (before := self._statuses.get(mailbox)) is not None:
                status = dataclasses.replace(status, last_success=before.last_success)
            self._statuses[mailbox] = status

    @override
    def statuses(self, mailboxes: Collection[str] | None = None) -> dict[str, MailboxStatus]:
        with self._lock:
            return {box: status for box, status in self._statuses.items() if mailboxes is None or box in mailboxes}

    @override
    def oldest_open(self) -> float | None:
        with self._lock:
            return min((message.first_seen.timestamp() for message in self._open.values()), default=None)

    @override
    def counts(self) -> dict[str, int]:
        with self._lock:
            events, rejected = self._events.counts()
            counts = {"open": len(self._open), "failed": len(self._failed), "events": events}
            return counts | {"dead_letters": rejected, "quarantined": len(self._quarantined)}

    @override
    def memory(self) -> Memory | None:
        return self.server_memory

    def _open_up(self, message: OpenMessage) -> bool:
        failed = self._failed.get(message.key)
        if failed is not None:
            if failed.message.store_id is None or not _of_another(failed.message, message):
                return False
            del self._failed[message.key]
        before = self._open.get(message.key)
        if before is None or _of_another(before, message):
            self._open[message.key] = message
        self.messages.add([message.key])
        return before is None

    def _close(self, claim: Claim, message: OpenMessage, event: Event | None) -> None:
        self._check(self._messages, claim)
        if event is not None:
            self._events.append(event, message.first_seen.timestamp())
        before = self._open.pop(message.key, None)
        if before is not None and message.store_id is not None and _of_another(message, before):
            for digest in self._unprocessed.get(message.mailbox, {}).get(message.key, ()):
                self._seen.get(message.mailbox, {}).pop(digest, None)
        self.messages.drop([message.key])

    def _check(self, work: MemoryWorkSet, claim: Claim) -> None:
        if not work.holds(claim):
            raise StaleClaimError("the claim is stale; nothing was changed")


def _of_another(before: OpenMessage, after: OpenMessage) -> bool:
    """Whether a message that is open or failed was put there for another store."""
    return after.store_id is not None and before.store_id != after.store_id


def _copied(value: Any) -> Any:
    """Return a copy of nested containers; what they hold does not change."""
    if isinstance(value, Counter):
        return Counter(value)
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    return type(value)(value) if isinstance(value, list | set) else value
