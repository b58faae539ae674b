"""Events in batches: how many go together, what order asks for, and finding the one that spoils its batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.ports.sink import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.domain.events import Event

DELIVERED = Outcome(Verdict.DELIVERED)
TOO_LARGE = Outcome(Verdict.REJECTED, "too_large")


class UnavailableError(Exception):
    """The sink takes nothing now. `reason` is a short code; the text is for the person who mends it."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class SpoiltError(Exception):
    """An event of this batch will never be taken as it is, and the answer does not say which. `reason` is a code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Limits:
    """What one batch may hold.

    Attributes:
        count: events.
        bytes: of all its events together, as the sink weighs them; one event above it is refused as `too_large`.
        ordered: the sink keeps order, so that of each mailbox one event is under way at a time; otherwise one that
            fails would be overtaken by the next in its batch.
    """

    count: int
    max_bytes: int
    ordered: bool


def hand_over(
    events: Sequence[Event],
    send: Callable[[Sequence[Event]], Sequence[Outcome]],
    weigh: Callable[[Event], int],
    limits: Limits,
) -> list[Outcome]:
    """Send events batch by batch; one outcome for each, as `Sink.deliver` promises them.

    Args:
        events: to be sent.
        send: one batch; returns an outcome for each of its events, or raises `UnavailableError` or `SpoiltError`.
        weigh: bytes of an event, with all that goes along with it.
        limits: of a batch.
    """
    delivery = _Delivery(events, send, limits)
    for place, event in enumerate(events):
        delivery.sizes[place] = weigh(event)
    return delivery.run()


class _Delivery:
    """One call of `hand_over`; events are known by their places."""

    def __init__(
        self, events: Sequence[Event], send: Callable[[Sequence[Event]], Sequence[Outcome]], limits: Limits
    ) -> None:
        self.sizes = [0] * len(events)
        self._events, self._send, self._limits = events, send, limits
        self._outcomes: list[Outcome | None] = [None] * len(events)
        self._unavailable: Outcome | None = None
        # By mailbox, why nothing more of it is tried; only where there is an order to keep.
        self._stopped: dict[str, Outcome] = {}

    def run(self) -> list[Outcome]:
        rest = list(range(len(self._events)))
        while rest and self._unavailable is None:
            batch = self._next(rest)
            if batch:
                self._try(batch)
            rest = [place for place in rest if self._outcomes[place] is None]
        away = self._unavailable or Outcome(Verdict.UNAVAILABLE)
        return [outcome or away for outcome in self._outcomes]

    def _next(self, rest: Sequence[int]) -> list[int]:
        """The places of the next batch; those that cannot be sent at all get their outcome."""
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
            return
        except SpoiltError as error:
            if len(batch) > 1:
                self._one_by_one(batch)
                return
            outcomes = [Outcome(Verdict.REJECTED, error.reason)]
        for place, outcome in zip(batch, outcomes, strict=True):
            self._outcomes[place] = outcome
            if self._limits.ordered and outcome.verdict is Verdict.UNAVAILABLE:
                self._stopped[self._events[place].mailbox] = outcome

    def _one_by_one(self, batch: Sequence[int]) -> None:
        for place in batch:
            if self._unavailable is None:
                self._try([place])
