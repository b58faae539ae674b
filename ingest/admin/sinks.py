"""Sinks that are disabled, and events that a sink has refused: `mailhaul sinks`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.domain.retry import DISABLED_PAUSE
from ingest.errors import require_configured

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ingest.ports.eventlog import DeadLetter, EventLog
    from ingest.ports.ledger import Ledger

# Events quote mail and may have 60 KiB each; a person looks at some of them.
SHOWN = 1_000


def disabled(ledger: Ledger, sinks: Iterable[str]) -> list[str]:
    """Those of these sinks that have said that they want nothing any more, and that nobody has resumed.

    Raises:
        LedgerUnavailableError: the ledger is away.
    """
    # No other pause comes near half of this one.
    return [sink for sink in sinks if (ledger.sinks.due_in(sink) or 0.0) > DISABLED_PAUSE / 2]


@dataclass(frozen=True, slots=True)
class SinkTroubles:
    """What a person may do about sinks. Every method may raise `LedgerUnavailableError`.

    Attributes:
        ledger: knows when sinks are tried.
        events: knows what they refused.
        configured: the names of all sinks.
    """

    ledger: Ledger
    events: EventLog
    configured: Collection[str]

    def resume(self, sinks: Collection[str]) -> list[str]:
        """Let sinks be tried at once, whether they are disabled or wait for their pause; returns those that waited.

        Raises:
            ConfigError: there is no sink of such a name.
        """
        for sink in sinks:
            self._require(sink)
        return [sink for sink in sinks if self.ledger.sinks.run_now(sink)]

    def retrying(self, sink: str) -> list[DeadLetter]:
        """Events that a sink refused and has not taken since, the oldest first; no more than `SHOWN` of them.

        Raises:
            ConfigError: there is no sink of this name.
        """
        self._require(sink)
        return self.events.dead_letters(sink, SHOWN)

    def retry(self, sink: str, events: Sequence[str]) -> int:
        """Try refused events again, now and with all tries before them; returns how many there were.

        Raises:
            ConfigError: there is no sink of this name.
        """
        self._require(sink)
        return self.events.retry_dead_letters(sink, events)

    def drop(self, sink: str, events: Sequence[str]) -> int:
        """Forget refused events, which the sink will never get then; returns how many there were.

        Raises:
            ConfigError: there is no sink of this name.
        """
        self._require(sink)
        return self.events.drop_dead_letters(sink, events)

    def _require(self, sink: str) -> None:
        require_configured("sink", [sink], self.configured)
