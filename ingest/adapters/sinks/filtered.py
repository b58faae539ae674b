"""A sink that gets only the events which fulfil its condition (`where`)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.domain.events import EventType
from ingest.ports.sink import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.domain.events import Event
    from ingest.expressions import Expression
    from ingest.ports.sink import Sink

log = get_logger()

_SKIPPED = Outcome(Verdict.SKIPPED)
_KINDS = {kind.value: kind.name.lower() for kind in EventType}


@dataclass
class FilteredSink:
    """Hands on what fulfils a condition, and skips the rest.

    An event is handed on as well if the condition cannot be evaluated, or if it does not hold for an event that lacks
    parts of its manifest: it may hold for the whole.

    Attributes:
        name: that of the sink.
    """

    sink: Sink
    where: Expression
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.sink.name

    def deliver(self, events: Sequence[Event]) -> list[Outcome]:
        """Deliver the events that fulfil the condition; see `Sink.deliver`.

        Raises:
            SinkUnavailableError: no event was delivered.
        """
        wanted = [self._wants(event) for event in events]
        handed_on = [event for event, wants in zip(events, wanted, strict=True) if wants]
        outcomes = iter(self.sink.deliver(handed_on) if handed_on else ())
        return [next(outcomes) if wants else _SKIPPED for wants in wanted]

    def check(self) -> None:
        """Test the sink without delivering an event.

        Raises:
            SinkUnavailableError: it does not accept events.
        """
        self.sink.check()

    def close(self) -> None:
        """Close connections and files."""
        self.sink.close()

    def _wants(self, event: Event) -> bool:
        manifest = json.loads(event.body)["data"]
        matches = self.where.matches(manifest, _KINDS.get(event.type, ""))
        if matches is None:
            log.warning("sink.where_failed", sink=self.name, event_id=event.id)
        return matches is not False or manifest["attachments_truncated"]
