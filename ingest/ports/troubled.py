"""The port to the messages that a server lists and does not hand out as it does the others."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Trouble(StrEnum):
    """What happens when the message is fetched."""

    ENDS_SESSION = "ends_session"
    LARGER_THAN_LISTED = "larger_than_listed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class TroubledMessage:
    """A message on a server that could not be fetched.

    Attributes:
        digest: hexadecimal, its `listing_digest`.
        number: in the session that tried it last.
        unique_id: printable, cut at 100 characters; empty if the server has no UIDL.
        trouble: what happened last.
        code: of the error, fit for logs.
        words: what the server answered, or the error's text, cut at 300 characters. It is shown to people only,
            never logged.
        times: how many times it happened.
        retry_at: when it is tried next (seconds since 1970); 0 if at the next poll.
        postponed: whether polls no longer try it each time.
    """

    digest: str
    number: int
    unique_id: str
    trouble: Trouble
    code: str
    words: str
    times: int = 1
    retry_at: float = 0.0
    postponed: bool = False


class TroubledMessages(Protocol):
    """Remembers troubled messages, by mailbox. Every method raises `LedgerUnavailableError`.

    A mailbox's messages are written by whoever holds the claim on it. If the ledger is lost, they are tried anew.
    """

    def put_troubled(self, mailbox: str, messages: Sequence[TroubledMessage]) -> None:
        """Replace the troubled messages of a mailbox; none removes them."""
        ...

    def troubled(self, mailbox: str) -> list[TroubledMessage]:
        """The troubled messages of a mailbox."""
        ...

    def all_troubled(self) -> dict[str, list[TroubledMessage]]:
        """The troubled messages of all mailboxes that have any."""
        ...
