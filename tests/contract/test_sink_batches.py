"""Handing events over in batches: whatever a service says, nothing is lost, overtaken or sent where it may not be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from ingest.adapters.sinks.batches import (
    DELIVERED,
    TOO_LARGE,
    BatchLimits,
    BatchRefusedError,
    UnavailableError,
    deliver_in_batches,
)
from ingest.domain.events import Event
from ingest.ports.sink import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

BYTES = 10
SAID = {
    "takes": DELIVERED,
    "refuses": Outcome(Verdict.REJECTED, "no_good"),
    "cannot": Outcome(Verdict.UNAVAILABLE, "busy"),
}

# Mailbox, bytes, and what the service makes of the event; one that spoils makes its whole batch fail.
EVENTS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(1, BYTES + 2),
        st.sampled_from(["takes", "takes", "takes", "refuses", "cannot", "spoils"]),
    ),
    max_size=25,
)


@dataclass
class Service:
    """Takes batches, and goes away at the given request; `taken` and `asked` are ids."""

    limits: BatchLimits
    makes: dict[str, str]
    unavailable_at: int
    taken: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    requests: int = 0

    def send(self, batch: Sequence[Event]) -> Sequence[Outcome]:
        assert 1 <= len(batch) <= self.limits.count
        assert sum(len(event.body) for event in batch) <= self.limits.max_bytes
        if self.limits.ordered:
            assert len({event.mailbox for event in batch}) == len(batch)
        self.requests += 1
        assert self.requests <= self.unavailable_at, "nobody asks once it is unavailable"
        if self.requests == self.unavailable_at:
            raise UnavailableError("away", "it went away")
        self.asked += [event.id for event in batch]
        made = [self.makes[event.id] for event in batch]
        if "spoils" in made:
            raise BatchRefusedError("spoilt")
        self.taken += [event.id for event, what in zip(batch, made, strict=True) if what == "takes"]
        return [SAID[what] for what in made]


@given(
    rows=EVENTS,
    limits=st.builds(BatchLimits, count=st.integers(1, 5), max_bytes=st.just(BYTES), ordered=st.booleans()),
    unavailable_at=st.one_of(st.just(10_000), st.integers(1, 8)),
)
def test_every_event_has_the_outcome_that_the_service_gave_it(
    rows: list[tuple[str, int, str]], limits: BatchLimits, unavailable_at: int
) -> None:
    events = [Event(str(n), "t", mailbox, b"x" * size) for n, (mailbox, size, _) in enumerate(rows)]
    makes = {str(n): what for n, (_, _, what) in enumerate(rows)}
    service = Service(limits, makes, unavailable_at)
    outcomes = deliver_in_batches(events, service.send, lambda event: len(event.body), limits)

    assert len(outcomes) == len(events)
    confirmed = [event.id for event, outcome in zip(events, outcomes, strict=True) if outcome == DELIVERED]
    assert sorted(confirmed) == sorted(service.taken), "confirmed is what was taken, and that once"
    for event, outcome in zip(events, outcomes, strict=True):
        if outcome == Outcome(Verdict.UNAVAILABLE, "away"):
            assert service.requests == unavailable_at
        elif outcome.verdict is Verdict.REJECTED:
            assert outcome in {TOO_LARGE, SAID["refuses"], Outcome(Verdict.REJECTED, "spoilt")}
            assert (outcome == TOO_LARGE) == (len(event.body) > BYTES)
            assert (outcome.reason == "spoilt") == (makes[event.id] == "spoils" and outcome != TOO_LARGE)
        elif outcome == SAID["cannot"] and limits.ordered:
            assert any(
                makes[other.id] == "cannot" and other.mailbox == event.mailbox and int(other.id) <= int(event.id)
                for other in events
            )
        else:
            assert outcome == SAID[makes[event.id]]
    if limits.ordered:
        _nothing_overtakes(events, outcomes, service)


def _nothing_overtakes(events: Sequence[Event], outcomes: Sequence[Outcome], service: Service) -> None:
    for mailbox in "abc":
        mine = [(event, outcome) for event, outcome in zip(events, outcomes, strict=True) if event.mailbox == mailbox]
        ids = {event.id for event, _ in mine}
        taken = [int(name) for name in service.taken if name in ids]
        assert taken == sorted(taken)
        first = next(
            (place for place, (_, outcome) in enumerate(mine) if outcome.verdict is Verdict.UNAVAILABLE), None
        )
        if first is not None:
            assert all(outcome.verdict is Verdict.UNAVAILABLE for _, outcome in mine[first:] if outcome != TOO_LARGE)
            assert not {event.id for event, _ in mine[first + 1 :]} & set(service.asked)
