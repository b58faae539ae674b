"""The ports to what limits logins: connection slots, and credentials that a server accepted or refused."""

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
        worked: when they last worked (seconds since 1970), if the refusal is doubted for that; else None.
        until: when they are tried again, if the refusal is doubted.
    """

    salt: str
    check: str
    worked: float | None = None
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class LastLogin:
    """The last login to a mailbox that worked.

    Attributes:
        salt, check: of the credentials, as in `Refusal`.
        at: when it worked (seconds since 1970).
        refused: how many refusals since have been doubted.
    """

    salt: str
    check: str
    at: float
    refused: int = 0


class Refusals(Protocol):
    """Remembers accepted and refused credentials. Every method raises `LedgerUnavailableError`."""

    def put_refusal(self, mailbox: str, refusal: Refusal, seconds: float) -> None:
        """Remember for this many seconds that a server refused a mailbox's credentials."""
        ...

    def refusal(self, mailbox: str) -> Refusal | None:
        """The refusal remembered for a mailbox; None if there is none, or it has expired."""
        ...

    def put_last_login(self, mailbox: str, login: LastLogin) -> None:
        """Replace the last login to a mailbox; `StatusRecords.put_status` does it too, with the status of a poll."""
        ...

    def last_login(self, mailbox: str) -> LastLogin | None:
        """The last login to a mailbox that worked; None if none is known."""
        ...
