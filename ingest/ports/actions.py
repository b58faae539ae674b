"""The port to what people did: a list of the last actions in the console and its API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

# Actions that are kept at the most, of a few hundred bytes each. A server may keep some hundred more.
ACTIONS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody did. It holds nothing that was in a mail.

    Attributes:
        what: the action, such as `poll`.
        user: who did it: the name of a token, of a user of the proxy, or of a user of the identity provider.
        result: `done`, or the code of the error that stopped it.
        mailbox: on which mailbox; empty if it was on none, or on several.
        message: on which message, by its key.
        sink: on which consumer.
        event_id: on which event.
        count: on how many messages or events, where it was on many.
    """

    what: str
    user: str
    result: str = "done"
    mailbox: str = ""
    message: str = ""
    sink: str = ""
    event_id: str = ""
    count: int | None = None


@dataclass(frozen=True, slots=True)
class RecordedAction:
    """An action, with its position in the list and when it was recorded, in seconds since 1970."""

    position: str
    at: float
    action: Action


class ActionRecords(Protocol):
    """Keeps what people did. Every method raises `LedgerUnavailableError`."""

    def record_action(self, action: Action) -> None:
        """Append an action. Only the last 10,000 are kept."""
        ...

    def actions(self, before: str, limit: int) -> list[RecordedAction]:
        """Return actions, the latest first.

        Args:
            before: the position of the last action that is known; empty for the latest ones.
            limit: the most that are returned.
        """
        ...
