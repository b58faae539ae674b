"""The port to the ledger (Redis or Valkey), on which all workers agree.

The ledger may be lost at any time, and is rebuilt from the store. Times are those of the ledger's clock, never of a
worker's. Use cases ask for the part that they need; what implements the ledger implements all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ingest.ports.actions import ActionRecords
from ingest.ports.content import ContentRecords
from ingest.ports.jobs import Jobs
from ingest.ports.messages import Messages
from ingest.ports.schedule import Schedule, Throttle
from ingest.ports.seen import SeenMessages
from ingest.ports.sessions import Sessions
from ingest.ports.slots import ConnectionSlots, Refusals
from ingest.ports.status import StatusRecords, TaskRecords
from ingest.ports.troubled import TroubledMessages


class Severity(Enum):
    """How bad a problem of the ledger is.

    Attributes:
        WARNING: it works, with less safety.
        FAILURE: it does not work now.
        FATAL: it must not be used like this; processes do not start.
    """

    WARNING = "warning"
    FAILURE = "failure"
    FATAL = "fatal"


@dataclass(frozen=True, slots=True)
class LedgerProblem:
    """A precondition that the ledger does not meet.

    Attributes:
        severity: what follows from it.
        code: names it in logs.
        text: what is wrong and what to do.
    """

    severity: Severity
    code: str
    text: str


class LedgerConnection(Protocol):
    """The connection to the ledger."""

    def problems(self) -> list[LedgerProblem]:
        """Check what the ledger must be set to, and that it can be written to; return what is wrong.

        Raises:
            LedgerUnavailableError: it does not answer.
        """
        ...

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
    TaskRecords,
    ContentRecords,
    ActionRecords,
    Jobs,
    Sessions,
    Protocol,
):
    """Everything about mailboxes and messages that several workers must agree on."""
