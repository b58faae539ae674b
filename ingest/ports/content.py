"""The port to what messages had in them: which of two messages with the same content came first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ingest.ports.claims import Renewal

# Digests are kept in so many generations. The oldest is dropped as a whole, when it is too old or there are too many.
GENERATIONS = 8
# How many messages in quarantine are counted, and for how long (seconds).
QUARANTINE_RECORDS, QUARANTINE_SECONDS = 10_000, 30 * 86_400.0


@dataclass(frozen=True)
class ContentLimits:
    """How much is remembered.

    Attributes:
        window: seconds for which a digest is remembered at the least, unless there are too many.
        entries: how many digests are remembered at the most.
    """

    window: float = 90 * 86_400.0
    entries: int = 200_000

    @cached_property
    def span(self) -> float:
        """Seconds after which a new generation begins."""
        return self.window / (GENERATIONS - 1)

    @cached_property
    def per_generation(self) -> int:
        """Digests after which a new generation begins."""
        return max(1, self.entries // GENERATIONS)


class ContentRecords(Protocol):
    """Remembers digests of content, each with the first message that had it.

    Of what is lost, no duplicate is reported; nothing else follows. Every method raises `LedgerUnavailableError`.
    """

    def first_messages(
        self, found: Sequence[tuple[bytes, str]], limits: ContentLimits, renewal: Renewal | None = None
    ) -> list[str]:
        """Return the key of the first message for each digest; it is this message if nobody had the digest before.

        In one step, so that of two messages that are processed at the same time one is the first, whenever one of
        them is processed again.

        Args:
            found: digests of 16 bytes, each with a message key.
            limits: how much is remembered.
            renewal: of the claim on the message, in the same step.

        Raises:
            StaleClaimError: the claim to renew is stale; nothing was remembered.
        """
        ...

    def forget_messages(self, keys: Collection[str]) -> int:
        """Remove all that is remembered of messages with these keys; return how many digests were removed."""
        ...

    def is_content_restored(self, mailbox: str) -> bool:
        """Return whether the digests of a mailbox were restored since the ledger lost all digests."""
        ...

    def mark_content_restored(self, mailbox: str) -> None:
        """Record that the digests of a mailbox were restored."""
        ...

    def record_quarantined(self, key: str) -> None:
        """Count a message in quarantine, once however often it is processed; for 30 days, and at most 10,000."""
        ...

    def release_quarantined(self, keys: Collection[str]) -> None:
        """Stop counting messages as in quarantine, since a person has handed them on."""
        ...
