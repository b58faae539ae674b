"""The ports to messages that are stored and not processed yet, and to those that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.domain.events import Event
    from ingest.domain.message import FailedMessage, OpenMessage
    from ingest.ports.claims import Claim, WorkSet


class OpenMessages(Protocol):
    """Messages to process.

    Every method raises `LedgerUnavailableError` when the ledger does not answer. Methods that take a claim raise
    `StaleClaimError` if it is stale, and change nothing then.

    Attributes:
        messages: their due times, by message key.
    """

    messages: WorkSet

    def open_messages(self, keys: Sequence[str]) -> list[OpenMessage | None]:
        """The open messages with these keys, None for each that is not open."""
        ...

    def begin(self, claim: Claim) -> OpenMessage | None:
        """Begin an attempt on a claimed message: count it, as `WorkSet.begin_attempt` does, and return the message.

        None, and nothing counted, if the message is not open.

        Raises:
            StaleClaimError: the claim is stale; nothing was counted.
        """
        ...

    def complete(
        self, claim: Claim, message: OpenMessage, event: Event | None, following: Claim | None = None
    ) -> OpenMessage | None:
        """In one step: append the event to the stream, close the claimed message, and begin with the following one.

        If it is open for another store than that of `message.store_id`, it was not processed there: then its digests
        are removed from the seen set, so that the next poll fetches it again and opens it for that store.

        Args:
            claim: on the message.
            message: the message.
            event: its event; None to append none.
            following: what the caller handles next. An attempt is counted for it as by `begin`.

        Returns:
            The following message; None if there is none, if its claim is stale, or if it is not open.
        """
        ...

    def fail(self, claim: Claim, failed: FailedMessage, event: Event | None) -> None:
        """In one step: append the event to the stream, if there is one, and move the message from open to failed.

        If it is open for another store, digests are removed as by `complete`.
        """
        ...

    def oldest_open(self) -> float | None:
        """When the oldest open message was first seen (seconds since 1970), or None."""
        ...


class FailedMessages(Protocol):
    """Messages that could not be processed. Every method raises `LedgerUnavailableError`."""

    def failed_messages(self) -> list[FailedMessage]:
        """All failed messages, oldest failure first."""
        ...

    def retry_failed(self, failed: FailedMessage) -> bool:
        """Open a failed message again, due now, with a fresh attempt budget; return False if it is not there."""
        ...

    def drop_failed(self, failed: FailedMessage) -> bool:
        """Remove a failed message; return False if it is not there.

        It counts as processed from then on, so the mailbox's policy may delete it on the server.
        """
        ...


class Updates(Protocol):
    """Messages that were processed before and are to be updated."""

    def open_updates(self, claim: Claim, messages: Sequence[OpenMessage], lease: float) -> list[Claim | None]:
        """In one step: open messages of a mailbox and claim each; return the claims, None where nothing was changed.

        Nothing changes for a message that is open, failed or claimed already.

        Args:
            claim: on their mailbox.
            messages: to open; the seen set does not change.
            lease: seconds each claim holds without being renewed.

        Raises:
            StaleClaimError: the claim is stale; nothing was changed.
            LedgerUnavailableError: the ledger is unavailable.
        """
        ...


class Messages(OpenMessages, FailedMessages, Updates, Protocol):
    """Open and failed messages."""

    def drop_purged(self, claim: Claim, keys: Sequence[str]) -> int:
        """Remove purged messages that are open or failed, as a ledger has them that lost its last writes.

        Args:
            claim: on their mailbox.
            keys: of the messages.

        Returns:
            How many were open or failed.

        Raises:
            StaleClaimError: the claim is stale; nothing was changed.
        """
        ...
