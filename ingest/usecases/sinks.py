"""Sinks that are disabled, and setting them going again: `mailhaul sinks`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.domain.retry import DISABLED_PAUSE
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ingest.ports.ledger import Ledger


def disabled(ledger: Ledger, sinks: Iterable[str]) -> list[str]:
    """Those of these sinks that have said that they want nothing any more, and that nobody has resumed.

    Raises:
        LedgerUnavailableError: the ledger is away.
    """
    # No other pause comes near half of this one.
    return [sink for sink in sinks if (ledger.sinks.due_in(sink) or 0.0) > DISABLED_PAUSE / 2]


def resume(ledger: Ledger, sinks: Collection[str], configured: Collection[str]) -> list[str]:
    """Let sinks be tried at once, whether they are disabled or wait for their pause; returns those that waited.

    Raises:
        ConfigError: there is no sink of such a name.
        LedgerUnavailableError: the ledger is away.
    """
    unknown = sorted(set(sinks) - set(configured))
    if unknown:
        raise ConfigError([f"there is no sink {name} in the configuration" for name in unknown])
    return [sink for sink in sinks if ledger.sinks.hasten(sink)]
