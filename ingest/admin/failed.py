"""Messages that were given up: a person looks at them, and lets them be tried again or drops them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.errors import MailhaulError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.domain.message import FailedMessage
    from ingest.ports import messages


class UnknownMessageError(MailhaulError):
    """No message that was given up has this key, or several begin so; the text says which."""

    code = "unknown_message"


@dataclass(frozen=True, slots=True)
class FailedMessages:
    """What a person may do with messages that were given up."""

    ledger: messages.FailedMessages

    def all(self, mailbox: str | None = None) -> list[FailedMessage]:
        """All of them, or those of one mailbox, the oldest first."""
        failed = self.ledger.failed_messages()
        return [one for one in failed if mailbox is None or one.message.mailbox == mailbox]

    def find(self, keys: Sequence[str]) -> list[FailedMessage]:
        """Those with these keys, each given whole or by a beginning that no other has.

        Raises:
            UnknownMessageError: one of them is not there, or stands for several.
        """
        failed = self.all()
        return [_only(key, [one for one in failed if one.message.key.startswith(key)]) for key in keys]

    def retry(self, failed: Sequence[FailedMessage]) -> int:
        """Process them again, with a fresh attempt budget; return how many of them there were."""
        return sum(self.ledger.retry_failed(one) for one in failed)

    def drop(self, failed: Sequence[FailedMessage]) -> int:
        """Forget them; their raw mail stays in the store. Returns how many."""
        return sum(self.ledger.drop_failed(one) for one in failed)


def _only(key: str, found: Sequence[FailedMessage]) -> FailedMessage:
    if len(found) != 1:
        what = f"{len(found)} messages that were given up begin with" if found else "no message was given up under"
        raise UnknownMessageError(f"{what} {key}; `mailhaul failed list` shows them all")
    return found[0]
