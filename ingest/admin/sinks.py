"""Sinks that are disabled, and the dead-letter queues: `mailhaul sinks`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.config.names import require_configured
from ingest.domain.retry import DISABLED_PAUSE
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ingest.ports.claims import WorkSet
    from ingest.ports.eventlog import EventLog
    from ingest.ports.rejected import RejectedEvent

# Each event may be 60 KiB, and nobody reads more than this many.
LISTED = 1_000


def disabled(schedule: WorkSet, sinks: Iterable[str]) -> list[str]:
    """The sinks that answered 410 Gone and that nobody has resumed.

    Args:
        schedule: the work set of sinks.
        sinks: the names to look at.

    Raises:
        LedgerUnavailableError: the ledger does not answer.
    """
    # Any other pause is shorter than half of this one.
    return [sink for sink in sinks if (schedule.due_in(sink) or 0.0) > DISABLED_PAUSE / 2]


@dataclass(frozen=True, slots=True)
class SinkAdmin:
    """What an operator may do about sinks.

    Every method but `remove` raises `ConfigError` if a sink is not configured; all raise `LedgerUnavailableError`.

    Attributes:
        schedule: the work set of sinks.
        events: their positions and their dead-letter queues.
        configured: the names of all sinks.
    """

    schedule: WorkSet
    events: EventLog
    configured: Collection[str]

    def resume(self, sinks: Collection[str]) -> list[str]:
        """Make sinks due now, whether they are disabled or backing off; return those that were waiting."""
        self._require(sinks)
        return [sink for sink in sinks if self.schedule.run_now(sink)]

    def rejected(self, sink: str) -> list[RejectedEvent]:
        """Up to `LISTED` events that the sink rejected and has not taken since, oldest first."""
        self._require([sink])
        return self.events.rejected(sink, LISTED)

    def retry(self, sink: str, events: Sequence[str]) -> int:
        """Retry rejected events now, with a fresh attempt budget; return how many of them there were."""
        self._require([sink])
        return self.events.retry_rejected(sink, events)

    def drop(self, sink: str, events: Sequence[str]) -> int:
        """Remove rejected events, which the sink will never receive; return how many of them there were."""
        self._require([sink])
        return self.events.drop_rejected(sink, events)

    def remove(self, sink: str) -> bool:
        """Retire a sink that left the configuration now, not after a day: forget its position and its dead letters.

        Returns:
            Whether there was anything to remove.

        Raises:
            ConfigError: the sink is configured, or the running service still delivers to it.
        """
        if sink in self.configured:
            raise ConfigError([f"the sink {sink} is configured; remove it from the configuration first"])
        if sink in self.schedule.members():
            raise ConfigError([f"the service still delivers to {sink}; restart it with the new configuration first"])
        return self.events.remove(sink)

    def _require(self, sinks: Collection[str]) -> None:
        require_configured("sink", sinks, self.configured)
