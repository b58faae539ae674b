"""A sink that receives only selected events: by a condition (`where`), and by whether they are quarantined."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from structlog import get_logger

from ingest.domain.events import EventType
from ingest.ports.sink import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ingest.domain.events import Event
    from ingest.expressions import Expression
    from ingest.ports.sink import Sink

log = get_logger()

# No JSON string contains these bytes, because quotes are escaped in it.
_QUARANTINED = b'"quarantine":{'
_SKIPPED = Outcome(Verdict.SKIPPED)
_KINDS = {kind.value: kind.name.lower() for kind in EventType}


@dataclass
class FilteredSink:
    """Passes the selected events to a sink, and skips the others.

    An event is also passed on if the condition cannot be evaluated, or if it is not met by an event that holds only a
    part of its manifest: the whole manifest may meet it.

    Attributes:
        where: the condition that an event has to meet.
        quarantined: whether events of quarantined messages are skipped, passed on too, or the only ones passed on.
        name: the sink's name.
    """

    sink: Sink
    where: Expression | None = None
    quarantined: Literal["skip", "include", "only"] = "skip"
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.sink.name

    def deliver(self, events: Sequence[Event]) -> list[Outcome]:
        """Deliver the events that meet the condition; see `Sink.deliver`.

        Raises:
            SinkUnavailableError: no event was delivered.
        """
        wanted = [self._wants(event) for event in events]
        handed_on = [event for event, wants in zip(events, wanted, strict=True) if wants]
        outcomes = iter(self.sink.deliver(handed_on) if handed_on else ())
        return [next(outcomes) if wants else _SKIPPED for wants in wanted]

    def matches(self, manifest: Mapping[str, Any], event: str) -> bool | None:
        """Return whether the sink wants a message; arguments and result as for `Expression.matches`."""
        if not self._takes(manifest):
            return False
        return True if self.where is None else self.where.matches(manifest, event)

    def failure(self, manifest: Mapping[str, Any], event: str) -> str | None:
        """Return why its condition cannot be evaluated; see `Expression.failure`."""
        return None if self.where is None else self.where.failure(manifest, event)

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
        """Return whether the sink gets an event; only a condition, or a quarantine, makes it necessary to read it."""
        if self.where is None and _QUARANTINED not in event.body:
            return self.quarantined != "only"
        manifest = json.loads(event.body)["data"]
        matches = self.matches(manifest, _KINDS.get(event.type, ""))
        if matches is None:
            log.warning("sink.where_failed", sink=self.name, event_id=event.id)
        if matches is False and manifest["attachments_truncated"]:
            return self._takes(manifest)
        return matches is not False

    def _takes(self, manifest: Mapping[str, Any]) -> bool:
        if manifest.get("quarantine") is None:
            return self.quarantined != "only"
        return self.quarantined != "skip"
