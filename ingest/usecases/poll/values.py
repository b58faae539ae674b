"""What a poll is given, and the messages that it finds done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.domain.keys import DIGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ingest.domain.mailbox import Mailbox
    from ingest.domain.seen import SeenRecord, StoredAt
    from ingest.ports.maildrop import Listed
    from ingest.ports.tracing import Span
    from ingest.ports.troubled import TroubledMessage
    from ingest.usecases.claims import Lease


@dataclass(frozen=True, slots=True)
class PollInput:
    """The input of a poll; it does not change while the poll runs.

    Attributes:
        mailbox: the mailbox to poll.
        lease: our claim on it.
        stop: asked between messages; True ends the poll early.
        seen: the records of messages registered in earlier polls, by digest.
        republished: ids of events that were republished when the mailbox was rebuilt, just before this poll.
        span: the poll's span.
        troubled: messages that earlier polls could not fetch.
        now: when the poll began (seconds since 1970).
        deleted: records of messages that the server was asked to delete, by digest; none of them is in `seen`.
        may_have_lost_events: whether the ledger may have lost events without anybody noticing.
        tries: which poll in a row this is that has not succeeded yet.
    """

    mailbox: Mailbox
    lease: Lease
    stop: Callable[[], bool]
    seen: Mapping[bytes, SeenRecord]
    republished: frozenset[str]
    span: Span
    troubled: Sequence[TroubledMessage] = ()
    now: float = 0.0
    deleted: Mapping[bytes, SeenRecord] = field(default_factory=dict)
    may_have_lost_events: bool = False
    tries: int = 1


@dataclass(frozen=True, slots=True)
class DoneMessage:
    """A listed message whose processing is complete.

    Attributes:
        listed: its row.
        digest: of its record in the seen set.
        stored_at: where the store has to hold it.
        is_restored: see `SeenRecord`.
        is_compared: whether this session has compared its header with the stored one.
    """

    listed: Listed
    digest: bytes
    stored_at: StoredAt
    is_restored: bool = False
    is_compared: bool = False


def registered_among(
    recognised: Sequence[DoneMessage], seen: Mapping[bytes, SeenRecord], done: Collection[bytes]
) -> list[DoneMessage]:
    """Return the messages, recognised by the content just fetched, that are done by what earlier polls registered.

    They may have been registered under another digest: what identifies a message can change between sessions.
    """
    if not recognised:
        return []
    known = {record.stored_at[:DIGEST_BYTES] for digest, record in seen.items() if digest in done}
    return [message for message in recognised if bytes.fromhex(message.stored_at.key) in known]
