"""A sink that remembers: the public twin of the real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.errors import SinkUnavailableError
from ingest.ports.sink import Outcome, Sink, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.domain.events import Event


def _delivered(_event: Event) -> Outcome:
    return Outcome(Verdict.DELIVERED)


class MemorySink(Sink):
    """A `Sink` whose answers can be set.

    Attributes:
        delivered: what was confirmed, in that order.
        verdict: asked about each event that is tried.
        unavailable: while it is set, nothing can be handed over at all.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.delivered: list[Event] = []
        self.verdict: Callable[[Event], Outcome] = _delivered
        self.unavailable = False

    @override
    def deliver(self, events: Sequence[Event]) -> list[Outcome]:
        self.check()
        stopped: dict[str, Outcome] = {}
        outcomes = []
        for event in events:
            outcome = stopped.get(event.mailbox) or self.verdict(event)
            if outcome.verdict in {Verdict.UNAVAILABLE, Verdict.GONE}:
                stopped[event.mailbox] = outcome
            if outcome.verdict is Verdict.DELIVERED:
                self.delivered.append(event)
            outcomes.append(outcome)
        return outcomes

    @override
    def check(self) -> None:
        if self.unavailable:
            raise SinkUnavailableError("The sink is unavailable; set `away` to False.")

    @override
    def close(self) -> None:
        pass
