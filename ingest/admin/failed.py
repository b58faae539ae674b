"""Failed messages: list them, retry them, or drop them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.errors import MailhaulError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.domain.message import FailedMessage
    from ingest.ports import messages


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

    def retry(self, failed: Sequence[FailedMessage]) -> int:
        """Process them again, with a fresh attempt budget; return how many of them there were."""
        return sum(self.ledger.retry_failed(one) for one in failed)

    def drop(self, failed: Sequence[FailedMessage]) -> int:
        """Drop their records, and keep their raw mail in the store; returns how many."""
        return sum(self.ledger.drop_failed(one) for one in failed)


def _only(key: str, found: Sequence[FailedMessage]) -> FailedMessage:
    if len(found) != 1:
        what = f"{len(found)} failed messages begin with" if found else "no failed message begins with"
        raise UnknownMessageError(f"{what} {key}; `mailhaul failed list` lists them")
    return found[0]
