"""The port to the ledger (Redis or Valkey), on which all workers agree.

The ledger may be lost at any time, and is rebuilt from the store. Times are those of the ledger's clock, never of a
worker's. Use cases ask for the part that they need; what implements the ledger implements all of it.
"""

from __future__ import annotations

from typing import Protocol

from ingest.ports.messages import Messages
from ingest.ports.schedule import Schedule, Throttle
from ingest.ports.seen import SeenMessages
from ingest.ports.slots import ConnectionSlots, Refusals
from ingest.ports.status import StatusRecords
from ingest.ports.troubled import TroubledMessages


class LedgerConnection(Protocol):
    """The connection to the ledger."""

    def ping(self) -> None:
        """Check that the ledger answers.

        Raises:
            LedgerUnavailableError: it does not; the text says what to do.
        """
        ...

    def close(self) -> None:
        """Close all connections, those of the event log too."""
        ...


class Ledger(
    LedgerConnection,
    Schedule,
    Throttle,
    ConnectionSlots,
    Refusals,
    SeenMessages,
    TroubledMessages,
    Messages,
    StatusRecords,
    Protocol,
):
    """Everything about mailboxes and messages that several workers must agree on."""
