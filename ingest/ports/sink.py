"""The port to a consumer of events."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.domain.events import Event


class Verdict(StrEnum):
    """The outcome of delivering one event."""

    DELIVERED = "delivered"  # the receiver confirmed it: it may be acknowledged
    SKIPPED = "skipped"  # not sent, as the sink's condition does not hold: it may be acknowledged
    REJECTED = "rejected"  # the receiver will not take this event; others may pass
    UNAVAILABLE = "unavailable"  # the receiver does not work; no later event of this mailbox was tried
    GONE = "gone"  # as UNAVAILABLE, and the receiver wants no more events (410 Gone)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict and its reason, a short code such as `http_503` or `timeout`, never the receiver's text.

    Attributes:
        verdict: what happened.
        reason: the code.
        retry_after: seconds after which the receiver wants to be tried again, as it said with UNAVAILABLE; None if it
            did not say.
        attempted: whether the event was sent. It is not, if an earlier one showed that the sink is unavailable. Says
            nothing about a SKIPPED one.
        answer: the code of the answer that confirmed it, such as `http_204`; empty if there is none.
    """

    verdict: Verdict
    reason: str = ""
    retry_after: float | None = None
    attempted: bool = field(default=True, compare=False)
    answer: str = field(default="", compare=False)


class Sink(Protocol):
    """Delivers events, at least once each; threads may share it.

    Attributes:
        name: unique among the configured sinks; names the consumer group.
    """

    name: str

    def deliver(self, events: Sequence[Event]) -> list[Outcome]:
        """Deliver events and wait for their confirmations; return one outcome per event, in the same order.

        If the sink keeps order, the events of a mailbox are delivered in the order given, and none after one that is
        UNAVAILABLE.

        Raises:
            SinkUnavailableError: no event was delivered; the text says what to do.
        """
        ...

    def check(self) -> None:
        """Test the sink without delivering an event.

        Raises:
            SinkUnavailableError: it does not accept events; the text says what to do.
        """
        ...

    def close(self) -> None:
        """Close connections and files."""
        ...
