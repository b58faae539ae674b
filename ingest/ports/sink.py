"""The seam to whoever consumes events."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.domain.events import Event


class Verdict(StrEnum):
    """What a sink said of one event."""

    DELIVERED = "delivered"  # confirmed: it may be acknowledged
    REJECTED = "rejected"  # this event by itself; the others may pass
    UNAVAILABLE = "unavailable"  # the sink as a whole; nothing after this one was tried in its mailbox
    GONE = "gone"  # as UNAVAILABLE, and the sink has said that it wants nothing any more


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one event, and a short code why (`http_503`, `timeout`); no text of the consumer's."""

    verdict: Verdict
    reason: str = ""


class Sink(Protocol):
    """Takes events at least once each. `name` is unique among the configured sinks and names its consumer group."""

    name: str

    def deliver(self, events: Sequence[Event]) -> list[Outcome]:
        """Hand over events and wait until each is confirmed or not; one outcome per event, in the same order.

        Where the sink keeps order, events of one mailbox are handed over in the order given, and none after one that
        was UNAVAILABLE.

        Raises:
            SinkUnavailableError: nothing was handed over at all; the text says what to do.
        """
        ...

    def check(self) -> None:
        """Try the sink without delivering an event.

        Raises:
            SinkUnavailableError: it would not take events now; the text says what to do.
        """
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...
