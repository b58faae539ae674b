"""The in-memory twin of the sinks."""

from __future__ import annotations

from dataclasses import replace
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
    """A `Sink` whose outcomes a test decides.

    Attributes:
        delivered: the confirmed events, in order.
        verdict: decides about each event.
        unavailable: whether `deliver` and `check` raise; may be changed at any time.
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
                stopped[event.mailbox] = replace(outcome, attempted=False)
            if outcome.verdict is Verdict.DELIVERED:
                self.delivered.append(event)
            outcomes.append(outcome)
        return outcomes

    @override
    def check(self) -> None:
        if self.unavailable:
            raise SinkUnavailableError("the sink is unavailable; set `unavailable` to False")

    @override
    def close(self) -> None:
        pass
