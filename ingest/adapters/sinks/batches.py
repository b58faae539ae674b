"""Deliver events in batches: size limits, order per mailbox, and isolating the event that gets its batch refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ingest.ports.sink import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.domain.events import Event

DELIVERED = Outcome(Verdict.DELIVERED)
TOO_LARGE = Outcome(Verdict.REJECTED, "too_large")


class UnavailableError(Exception):
    """The sink accepts nothing now. `reason` is a short code; the message names the remedy."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class BatchRefusedError(Exception):
    """The sink will never accept some event of this batch, and does not say which. `reason` is a short code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Limits of one batch.

    Attributes:
        count: maximum number of events.
        max_bytes: maximum total size as the sink counts it; a single larger event is refused as `too_large`.
        ordered: the sink keeps order, so only one event per mailbox is in flight at a time; otherwise a failed event
            would be overtaken by the next one in its batch.
    """

    count: int
    max_bytes: int
    ordered: bool


def deliver_in_batches(
    events: Sequence[Event],
    send: Callable[[Sequence[Event]], Sequence[Outcome]],
    weigh: Callable[[Event], int],
    limits: BatchLimits,
) -> list[Outcome]:
    """Send events batch by batch; return one outcome for each, as `Sink.deliver` promises.

    Args:
        events: the events to send.
        send: sends one batch; returns an outcome per event, or raises `UnavailableError` or `BatchRefusedError`.
        weigh: returns the size of an event in bytes, its attributes included.
        limits: limits of a batch.
    """
    delivery = _Delivery(events, send, limits)
    for place, event in enumerate(events):
        delivery.sizes[place] = weigh(event)
    return delivery.run()


class _Delivery:
    """One call of `deliver_in_batches`; events are identified by their index."""

    def __init__(
        self, events: Sequence[Event], send: Callable[[Sequence[Event]], Sequence[Outcome]], limits: BatchLimits
    ) -> None:
        self.sizes = [0] * len(events)
        self._events, self._send, self._limits = events, send, limits
        self._outcomes: list[Outcome | None] = [None] * len(events)
        self._unavailable: Outcome | None = None
        # By mailbox, the outcome that stopped it; used only if order has to be kept.
        self._stopped: dict[str, Outcome] = {}

    def run(self) -> list[Outcome]:
        rest = list(range(len(self._events)))
        while rest and self._unavailable is None:
            batch = self._next(rest)
            if batch:
                self._try(batch)
            rest = [place for place in rest if self._outcomes[place] is None]
        unavailable = replace(self._unavailable or Outcome(Verdict.UNAVAILABLE), attempted=False)
        return [outcome or unavailable for outcome in self._outcomes]

    def _next(self, rest: Sequence[int]) -> list[int]:
        """Return the indexes of the next batch; events that cannot be sent at all get their outcome."""
        batch: list[int] = []
        size, taken = 0, set[str]()
        for place in rest:
            mailbox = self._events[place].mailbox
            if mailbox in self._stopped:
                self._outcomes[place] = self._stopped[mailbox]
            elif self.sizes[place] > self._limits.max_bytes:
                self._outcomes[place] = TOO_LARGE
            elif mailbox not in taken:
                if size + self.sizes[place] > self._limits.max_bytes:
                    break
                batch.append(place)
                size += self.sizes[place]
                if self._limits.ordered:
                    taken.add(mailbox)
            if len(batch) == self._limits.count:
                break
        return batch

    def _try(self, batch: Sequence[int]) -> None:
        try:
            outcomes = self._send([self._events[place] for place in batch])
        except UnavailableError as error:
            self._unavailable = Outcome(Verdict.UNAVAILABLE, error.reason)
            outcomes = [self._unavailable] * len(batch)
        except BatchRefusedError as error:
            if len(batch) > 1:
                self._one_by_one(batch)
                return
            outcomes = [Outcome(Verdict.REJECTED, error.reason)]
        for place, outcome in zip(batch, outcomes, strict=True):
            self._outcomes[place] = outcome
            if self._limits.ordered and outcome.verdict is Verdict.UNAVAILABLE:
                self._stopped[self._events[place].mailbox] = replace(outcome, attempted=False)

    def _one_by_one(self, batch: Sequence[int]) -> None:
        for place in batch:
            if self._unavailable is None:
                self._try([place])
