"""The ledger in Redis or Valkey."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from typing_extensions import override

from ingest.adapters.ledger import preconditions
from ingest.adapters.ledger.actions import RedisActions
from ingest.adapters.ledger.content import RedisContent
from ingest.adapters.ledger.incarnation import Incarnation
from ingest.adapters.ledger.jobs import RedisJobs
from ingest.adapters.ledger.schedule import RedisSchedule
from ingest.adapters.ledger.sessions import RedisSessions
from ingest.adapters.ledger.updates import RedisUpdates
from ingest.adapters.ledger.workset import milliseconds
from ingest.domain.keys import DIGEST_BYTES
from ingest.domain.message import FailedMessage, OpenMessage
from ingest.domain.seen import SeenRecord, pack_records, unpack_records
from ingest.errors import StaleClaimError
from ingest.ports.ledger import Ledger, LedgerProblem, Severity
from ingest.ports.seen import Seen
from ingest.ports.slots import LastLogin, Refusal
from ingest.ports.status import MailboxStatus, Memory
from ingest.ports.troubled import TroubledMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from ingest.adapters.ledger.connection import RedisConnection
    from ingest.domain.events import Event
    from ingest.ports.claims import Claim
    from ingest.ports.seen import Registration

_STALE = -1
# Mailboxes that one command asks about, so that those of a hundred thousand do not keep the server from all others.
_AT_ONCE = 1_000
# Each is built when it is first used: most processes use few of them.
_status_adapter = cache(lambda: TypeAdapter(MailboxStatus))
_refusal_adapter = cache(lambda: TypeAdapter(Refusal))
_last_login_adapter = cache(lambda: TypeAdapter(LastLogin))
_troubled_adapter = cache(lambda: TypeAdapter(list[TroubledMessage]))


class RedisLedger(RedisSchedule, RedisContent, RedisUpdates, RedisActions, RedisJobs, RedisSessions, Ledger):
    """A `Ledger` in Redis or Valkey. Every step that must be atomic is one Lua script; `Names` lists the keys."""

    def __init__(self, connection: RedisConnection) -> None:
        super().__init__(connection)
        self._incarnation = Incarnation(connection)

    @override
    def close(self) -> None:
        self._connection.close()

    @override
    def ping(self) -> None:
        self._connection.call("PING")

    @override
    def problems(self) -> list[LedgerProblem]:
        found = [preconditions.UNKNOWN]
        if (info := self._connection.info()) is not None:
            save = self._connection.call_if_allowed("CONFIG", "GET", "save")
            saves = None if save is None else preconditions.value_of(save)
            found = list(preconditions.problems_of(info, saves, clustered=self._connection.clustered))
        refused = self._connection.refusal_of(
            ("SET", self._names.probe, "1", "PX", 60_000), ("DEL", self._names.probe)
        )
        # A server that says why is not reported twice.
        if refused is not None and all(problem.severity is Severity.WARNING for problem in found):
            found.append(LedgerProblem(Severity.FAILURE, "write_refused", refused))
        return found

    @override
    def seen(self, mailbox: str) -> Seen:
        """A digest that was appended twice has its first second."""
        incarnation = self._incarnation.read()
        records, changes, checkpointed, rebuilt, unprocessed, counted, deleted, troubled = self._connection.read(
            ("GET", self._names.seen(mailbox)),
            ("HGET", self._names.changes, mailbox),
            ("HGET", self._names.checkpointed, mailbox),
            ("HGET", self._names.rebuilt, mailbox),
            ("HLEN", self._names.unprocessed(mailbox)),
            ("HGET", self._names.unprocessed_counts, mailbox),
            ("GET", self._names.deleted(mailbox)),
            ("HGET", self._names.troubled, mailbox),
        )
        known = records is not None and rebuilt == incarnation and unprocessed == int(counted or 0)
        return Seen(
            unpack_records(records or b""),
            known,
            int(changes or 0),
            int(checkpointed or 0),
            unpack_records(deleted or b""),
            self._incarnation.notices_losses,
            () if troubled is None else tuple(_troubled_adapter().validate_json(troubled)),
        )

    @override
    def unprocessed(self, mailbox: str) -> set[bytes]:
        return {
            digests[start : start + DIGEST_BYTES]
            for digests in self._connection.call("HVALS", self._names.unprocessed(mailbox))
            for start in range(0, len(digests), DIGEST_BYTES)
        }

    @override
    def register(self, claim: Claim, registrations: Sequence[Registration]) -> int:
        keys = [
            self._mailboxes.fences,
            self._names.seen(claim.id),
            self._names.unprocessed(claim.id),
            self._names.open,
            self._names.open_since,
            self._names.failed,
            self._messages.due,
            self._messages.claimed,
            self._names.changes,
            self._names.counts,
            self._names.unprocessed_counts,
        ]
        packed = (
            pack_records((one.digest, one.record(0)) for one in registrations if one.stored is stored)
            for stored in (True, False)
        )
        arguments: list[str | bytes | int] = [claim.id, claim.fence, *packed]
        for registration in registrations:
            if (message := registration.message) is not None:
                since = _milliseconds(message.first_seen)
                arguments += [message.key, message.model_dump_json(exclude_none=True), since, registration.digest]
        return int(self._fenced("register", keys, arguments))

    @override
    def forget(self, claim: Claim, digests: Collection[bytes]) -> int:
        return self._thin_out(claim, lambda digest: digest not in gone) if (gone := frozenset(digests)) else 0

    @override
    def record_deleted(self, claim: Claim, records: Mapping[bytes, SeenRecord]) -> None:
        keys = [self._mailboxes.fences, self._names.deleted(claim.id)]
        self._fenced("put_deleted", keys, (claim.id, claim.fence, pack_records(records.items())))

    @override
    def begin_deletions(self, claim: Claim, digests: Collection[bytes], records: Mapping[bytes, SeenRecord]) -> None:
        gone = frozenset(digests)
        self._thin_out(claim, lambda digest: digest not in gone, pack_records(records.items()))

    @override
    def compact(self, claim: Claim, keep: Collection[bytes], doubt: Collection[bytes] = ()) -> int:
        wanted = frozenset(keep)
        return self._thin_out(claim, lambda digest: digest in wanted, doubt=frozenset(doubt))

    def _thin_out(
        self, claim: Claim, keep: Callable[[bytes], bool], *deleted: bytes, doubt: Collection[bytes] = ()
    ) -> int:
        """Read a seen set and replace it; again, if uploads of the same poll appended to it meanwhile."""
        while True:
            records = self._connection.call("GET", self._names.seen(claim.id)) or b""
            seen = unpack_records(records)
            kept = {digest: record for digest, record in seen.items() if keep(digest)}
            kept |= {digest: kept[digest].as_restored() for digest in doubt if digest in kept}
            arguments: list[str | bytes | int] = [claim.id, claim.fence, len(records), pack_records(kept.items())]
            arguments += deleted
            keys = [self._mailboxes.fences, self._names.seen(claim.id), self._names.changes]
            keys.append(self._names.deleted(claim.id))
            if self._fenced("replace_seen", keys, arguments):
                return len(seen) - len(kept)

    @override
    def incarnation(self) -> bytes:
        return self._incarnation.read(now=True)

    @override
    def restore_seen(self, claim: Claim, records: Mapping[bytes, SeenRecord], incarnation: bytes) -> None:
        restored = {**records, **self.seen(claim.id).records}
        packed = pack_records((digest, record.as_restored()) for digest, record in restored.items())
        keys = [self._mailboxes.fences, self._names.seen(claim.id), self._names.rebuilt]
        keys += [self._names.unprocessed(claim.id), self._names.unprocessed_counts]
        self._fenced("restore_seen", keys, (claim.id, claim.fence, packed, incarnation))

    @override
    def unknown(self, mailboxes: Collection[str]) -> int:
        if not mailboxes:
            return 0
        incarnation = self._incarnation.read(now=True)
        return sum(self._unknown(part, incarnation) for part in _batches(mailboxes))

    def _unknown(self, mailboxes: Sequence[str], incarnation: bytes) -> int:
        rebuilt = self._connection.call("HMGET", self._names.rebuilt, *mailboxes)
        current = [box for box, known in zip(mailboxes, rebuilt, strict=True) if known == incarnation]
        there = int(self._connection.call("EXISTS", *map(self._names.seen, current))) if current else 0
        return len(mailboxes) - there

    @override
    def republish(self, claim: Claim, events: Sequence[Event], since: float) -> None:
        parts = [part for event in events for part in (event.id, event.type, event.mailbox, event.body)]
        keys = [self._mailboxes.fences, self._names.events, self._names.counts, self._names.clock_step]
        self._fenced("republish", keys, (claim.id, claim.fence, milliseconds(since), *parts))

    @override
    def record_checkpoint(self, mailbox: str, changes: int) -> None:
        self._connection.call("HSET", self._names.checkpointed, mailbox, changes)

    @override
    def acquire_slot(self, claim: Claim, server: str, address: str, limit: int) -> bool:
        slots = [self._names.slots(limited) for limited in dict.fromkeys((server, address))]
        keys = [self._mailboxes.fences, self._mailboxes.claimed, *slots]
        return bool(self._fenced("acquire_slot", keys, (claim.id, claim.fence, limit)))

    @override
    def put_refusal(self, mailbox: str, refusal: Refusal, seconds: float) -> None:
        text = _refusal_adapter().dump_json(refusal)
        self._connection.call("SET", self._names.refusal(mailbox), text, "PX", max(1, milliseconds(seconds)))

    @override
    def refusal(self, mailbox: str) -> Refusal | None:
        text = self._connection.call("GET", self._names.refusal(mailbox))
        return None if text is None else _refusal_adapter().validate_json(text)

    @override
    def put_last_login(self, mailbox: str, login: LastLogin) -> None:
        self._connection.call("HSET", self._names.last_logins, mailbox, _last_login_adapter().dump_json(login))

    @override
    def last_login(self, mailbox: str) -> LastLogin | None:
        text = self._connection.call("HGET", self._names.last_logins, mailbox)
        return None if text is None else _last_login_adapter().validate_json(text)

    @override
    def put_troubled(self, mailbox: str, messages: Sequence[TroubledMessage]) -> None:
        if messages:
            self._connection.call(
                "HSET", self._names.troubled, mailbox, _troubled_adapter().dump_json(list(messages))
            )
        else:
            self._connection.call("HDEL", self._names.troubled, mailbox)

    @override
    def troubled(self, mailbox: str) -> list[TroubledMessage]:
        text = self._connection.call("HGET", self._names.troubled, mailbox)
        return [] if text is None else _troubled_adapter().validate_json(text)

    @override
    def all_troubled(self) -> dict[str, list[TroubledMessage]]:
        texts = self._connection.call("HGETALL", self._names.troubled)
        return {mailbox.decode(): _troubled_adapter().validate_json(text) for mailbox, text in texts.items()}

    @override
    def open_messages(self, keys: Sequence[str]) -> list[OpenMessage | None]:
        if not keys:
            return []
        texts = self._connection.call("HMGET", self._names.open, *keys)
        return [None if text is None else OpenMessage.model_validate_json(text) for text in texts]

    @override
    def begin(self, claim: Claim) -> OpenMessage | None:
        keys = [self._messages.fences, self._messages.tries, self._names.open]
        text = self._fenced("begin_message", keys, (claim.id, claim.fence, claim.tries))
        return None if text is None else OpenMessage.model_validate_json(text)

    @override
    def complete(
        self, claim: Claim, message: OpenMessage, event: Event | None, following: Claim | None = None
    ) -> OpenMessage | None:
        text = self._close(claim, message, event, "", following)
        return OpenMessage.model_validate_json(text) if isinstance(text, bytes) else None

    @override
    def fail(self, claim: Claim, failed: FailedMessage, event: Event | None) -> None:
        self._close(claim, failed.message, event, failed.model_dump_json(exclude_none=True))

    @override
    def failed_messages(self) -> list[FailedMessage]:
        failed = [
            FailedMessage.model_validate_json(text) for text in self._connection.call("HVALS", self._names.failed)
        ]
        return sorted(failed, key=lambda failure: failure.failed_at)

    @override
    def retry_failed(self, failed: FailedMessage) -> bool:
        message = failed.message
        keys = [*self._messages.keys, self._names.open, self._names.open_since, self._names.failed]
        keys += [self._names.counts]
        arguments = (message.key, message.model_dump_json(exclude_none=True), _milliseconds(message.first_seen))
        return bool(self._connection.run("retry_failed", keys, arguments))

    @override
    def drop_failed(self, failed: FailedMessage) -> bool:
        message = failed.message
        keys = [self._names.failed, self._names.unprocessed(message.mailbox), self._names.changes]
        keys += [self._names.counts, self._names.unprocessed_counts]
        return bool(self._connection.run("drop_failed", keys, (message.key, message.mailbox)))

    @override
    def drop_purged(self, claim: Claim, keys: Sequence[str]) -> int:
        names = self._names
        used = [self._mailboxes.fences, *self._messages.keys, names.open, names.open_since, names.failed]
        used += [names.unprocessed(claim.id), names.changes, names.counts, names.unprocessed_counts]
        return int(self._fenced("drop_purged", used, (claim.id, claim.fence, *keys)))

    @override
    def put_status(self, mailbox: str, status: MailboxStatus, login: LastLogin | None = None) -> None:
        """The last success has a key of its own, so that a failed poll does not overwrite it."""
        commands: list[tuple[str | bytes, ...]] = [
            ("HSET", self._names.status, mailbox, _status_adapter().dump_json(status))
        ]
        if status.last_success is not None:
            commands.append(("HSET", self._names.last_success, mailbox, repr(status.last_success)))
        if login is not None:
            commands.append(("HSET", self._names.last_logins, mailbox, _last_login_adapter().dump_json(login)))
        self._connection.atomically(*commands)

    @override
    def statuses(self, mailboxes: Collection[str] | None = None) -> dict[str, MailboxStatus]:
        if mailboxes is not None:
            return {box: status for part in _batches(mailboxes) for box, status in self._statuses_of(part)}
        texts, successes = self._connection.read(
            ("HGETALL", self._names.status),
            ("HGETALL", self._names.last_success),
        )
        return {mailbox.decode(): _status(text, successes.get(mailbox)) for mailbox, text in texts.items()}

    def _statuses_of(self, mailboxes: Sequence[str]) -> Iterator[tuple[str, MailboxStatus]]:
        texts, successes = self._connection.read(
            ("HMGET", self._names.status, *mailboxes),
            ("HMGET", self._names.last_success, *mailboxes),
        )
        for mailbox, text, success in zip(mailboxes, texts, successes, strict=True):
            if text is not None:
                yield mailbox, _status(text, success)

    @override
    def oldest_open(self) -> float | None:
        first = self._connection.run("oldest", [self._names.open_since])
        return None if first is None else int(first) / 1000

    @override
    def counts(self) -> dict[str, int]:
        opened, failed, events, held, sinks = self._connection.read(
            ("HLEN", self._names.open),
            ("HLEN", self._names.failed),
            ("XLEN", self._names.events),
            ("ZCARD", self._names.quarantined),
            ("SMEMBERS", self._names.rejecting_sinks),
        )
        rejected = sum(self._connection.call("HLEN", self._names.rejected(sink.decode())) for sink in sinks)
        counts = {"open": opened, "failed": failed, "events": events, "dead_letters": rejected}
        return counts | {"quarantined": held}

    @override
    def memory(self) -> Memory | None:
        """None if the user may not call INFO, as is common on shared servers."""
        info = self._connection.info("memory")
        return None if info is None else Memory(int(info["used_memory"]), int(info.get("maxmemory", 0)) or None)

    def _close(
        self, claim: Claim, message: OpenMessage, event: Event | None, failed: str, following: Claim | None = None
    ) -> bytes | int:
        keys = [
            *self._messages.keys,
            self._names.open,
            self._names.open_since,
            self._names.failed,
            self._names.unprocessed(message.mailbox),
            self._names.events,
            self._names.changes,
            self._names.counts,
            self._names.unprocessed_counts,
            self._names.seen(message.mailbox),
        ]
        about = ("", "", b"") if event is None else (event.id, event.type, event.body)
        parts = (*about, message.mailbox, _milliseconds(message.first_seen), failed, message.store_id or "")
        then = ("", "", "") if following is None else (following.id, following.fence, following.tries)
        answer: bytes | int = self._fenced("complete", keys, (claim.id, claim.fence, *parts, *then))
        return answer

    def _fenced(self, script: str, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Any:
        answer = self._connection.run(script, keys, arguments)
        if answer == _STALE:
            raise StaleClaimError("the claim is stale; nothing was changed")
        return answer


def _batches(mailboxes: Collection[str]) -> Iterator[list[str]]:
    ids = list(mailboxes)
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _status(text: bytes, last_success: bytes | None) -> MailboxStatus:
    values = _status_adapter().validate_json(text)
    if last_success is None:
        return values
    return dataclasses.replace(values, last_success=float(last_success))
