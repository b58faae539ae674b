"""Failed messages: list them, retry them, or drop them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.admin.mailbox_claim import PATIENCE, claim_mailbox
from ingest.domain.seen import StoredAt
from ingest.errors import MailhaulError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.domain.message import FailedMessage
    from ingest.ports import messages
    from ingest.ports.ledger import Ledger
    from ingest.ports.store import Store
    from ingest.usecases.claims import LeaseKeeper


# By the reason of a failure: what happened, and what to do about it.
FAILURE_REMEDIES = {
    "object_missing": (
        "its raw mail is not in the store",
        (
            "find out what removes objects from the bucket; a retry then fetches the message again, if its "
            "server still has it"
        ),
    ),
    "store_corrupt": (
        "its raw mail in the store is not what was stored",
        (
            "find out what else writes into the bucket, and move `raw.eml` of the message away; a retry then fetches "
            "it again. If its server no longer has it, restore an earlier version of the object, and retry it"
        ),
    ),
    "worker_died": (
        "processors died while they read it",
        (
            "look at the log and the memory limit of the processors, and retry it with more memory; if they die "
            "again, report it with its `raw.eml`, and drop it"
        ),
    ),
    "message": (
        "an unexpected error occurred while it was read",
        (
            "look for `message.bug` in the log of the processors, and report it with its `raw.eml`; retry it with a "
            "version in which that is fixed"
        ),
    ),
}
_OTHER_REMEDY = "look at the log of the processors; retry it when the cause is gone"


def failure_remedy(reason: str) -> tuple[str, str]:
    """Return what happened to a message that failed, and what to do about it; code is in backticks."""
    return FAILURE_REMEDIES.get(reason, (reason.replace("_", " "), _OTHER_REMEDY))


class UnknownMessageError(MailhaulError):
    """No failed message has this key, or several begin with it; the text says which."""

    code = "unknown_message"


@dataclass(frozen=True, slots=True)
class FailedMessages:
    """What a person may do with failed messages. Every method may raise `LedgerUnavailableError`."""

    ledger: messages.FailedMessages

    def all(self, mailbox: str | None = None) -> list[FailedMessage]:
        """Return the failed messages, of one mailbox or of all, the oldest first."""
        failed = self.ledger.failed_messages()
        return [one for one in failed if mailbox is None or one.message.mailbox == mailbox]

    def find(self, keys: Sequence[str]) -> list[FailedMessage]:
        """Return the failed messages with these keys, each given in full or by an unambiguous beginning.

        Raises:
            UnknownMessageError: no failed message has this key, or several begin with it.
        """
        failed = self.all()
        return [_only(key, [one for one in failed if one.message.key.startswith(key)]) for key in keys]

    def drop(self, failed: Sequence[FailedMessage]) -> int:
        """Drop their records, and keep their raw mail in the store; returns how many."""
        return sum(self.ledger.drop_failed(one) for one in failed)


@dataclass(slots=True)
class Retried:
    """How many messages will be processed again, and how many fetched again because the store does not hold them."""

    processed: int = 0
    fetched: int = 0


@dataclass(frozen=True, slots=True)
class Retry:
    """Retries failed messages.

    A store may have acknowledged raw mail and not stored it, or lost it. Such a message can only be fetched again, if
    the server still has it; so it must not count as seen any longer.

    Attributes:
        patience: seconds to wait for a poll in progress.
    """

    store: Store
    ledger: Ledger
    keeper: LeaseKeeper
    patience: float = PATIENCE

    def run(self, failed: Sequence[FailedMessage], stop: Callable[[], bool] = lambda: False) -> Retried:
        """Let each be processed again, with a fresh attempt budget, or fetched again.

        Args:
            failed: from `FailedMessages`.
            stop: asked while a poll of their mailbox is in progress.

        Raises:
            MailboxBusyError: a poll of their mailbox takes longer than the patience.
            StoreError, LedgerError: the store or the ledger is unavailable. Retrying continues from there.
        """
        done = Retried()
        for one in failed:
            if self.store.stat(one.message.source.key) is not None:
                done.processed += self.ledger.retry_failed(one)
            else:
                done.fetched += self._fetch_again(one, stop)
        return done

    def _fetch_again(self, failed: FailedMessage, stop: Callable[[], bool]) -> bool:
        key, mailbox = failed.message.key, failed.message.mailbox
        with claim_mailbox(self.ledger, self.keeper, mailbox, stop, self.patience) as lease:
            records = self.ledger.seen(mailbox).records.items()
            stored = ((digest, StoredAt.unpack(record.stored_at)) for digest, record in records)
            lease.check()
            self.ledger.forget(lease.claim, {digest for digest, at in stored if at is not None and at.key == key})
            return self.ledger.drop_failed(failed)


def _only(key: str, found: Sequence[FailedMessage]) -> FailedMessage:
    if len(found) != 1:
        what = f"{len(found)} failed messages begin with" if found else "no failed message begins with"
        raise UnknownMessageError(f"{what} {key}; `mailhaul failed list` lists them")
    return found[0]
