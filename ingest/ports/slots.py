"""The ports to what limits logins: connection slots, and credentials that a server refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ingest.ports.claims import Claim


class ConnectionSlots(Protocol):
    """How many polls may be connected to one server, and to one network address, at a time."""

    def acquire_slot(self, claim: Claim, server: str, address: str, limit: int) -> bool:
        """Take a slot for both the server and the address; return False if `limit` others have one for either.

        A slot lasts as long as the claim, so it is never released. Taking it again under the same claim changes
        nothing.

        Raises:
            StaleClaimError: the claim on the mailbox is stale.
            LedgerUnavailableError: the ledger does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """Credentials that a server refused, and that are not tried again for a while.

    Attributes:
        salt: random, so that equal credentials of two mailboxes look different.
        check: 16 bits of a digest of salt and credentials. Enough to notice that they changed (except once in 65,536
            times, when the pause has to pass), and too little to learn anything about them.
    """

    salt: str
    check: str


class Refusals(Protocol):
    """Remembers refused credentials. Every method raises `LedgerUnavailableError`."""

    def put_refusal(self, mailbox: str, refusal: Refusal, seconds: float) -> None:
        """Remember for this many seconds that a server refused a mailbox's credentials."""
        ...

    def refusal(self, mailbox: str) -> Refusal | None:
        """The refusal remembered for a mailbox; None if there is none, or it has expired."""
        ...
