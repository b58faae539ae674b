"""How far the event stream is known to be confirmed: a time, kept in the store for the day the ledger is lost.

Every manifest written before it belongs to an event that each sink has confirmed. Whoever heals a lost ledger need
only tell of younger manifests again.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError
from structlog import get_logger

from ingest.errors import ObjectMissingError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ingest.domain.keys import Layout
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger
    from ingest.ports.store import Store

log = get_logger()

# Seconds by which the clocks of the ledger, the store and the workers may differ.
SKEW = 300.0
# Seconds between two writes, and between two reads.
EVERY = 60.0


class _Record(BaseModel):
    """What the object holds: seconds since 1970."""

    published_until: float


@dataclass(frozen=True, slots=True)
class DeliveryWatermark:
    """Writes and reads the time up to which everything was published."""

    store: Store
    layout: Layout
    ledger: Ledger
    events: EventLog

    def write_in_turn(self, mailboxes: Collection[str], sinks: Collection[str], now: float) -> None:
        """`write`, if nobody has tried in the last minute; a store that is away is tried again in the next one.

        Raises:
            LedgerUnavailableError: the ledger is away.
        """
        if not self.ledger.throttle("published", EVERY):
            return
        try:
            self.write(mailboxes, sinks, now)
        except StoreError as error:
            log.warning("watermark.not_written", error=error.code)

    def write(self, mailboxes: Collection[str], sinks: Collection[str], now: float) -> bool:
        """Write how far all these sinks have come; False while the ledger does not know all mailboxes.

        Such a ledger may have lost events that nobody has told again yet, so that the last time that was written
        must stay.

        Args:
            mailboxes: the ids of all that are configured.
            sinks: the names of all that are configured.
            now: seconds since 1970.

        Raises:
            LedgerUnavailableError: the ledger is away.
            StoreError: the store does not take it.
        """
        if self.ledger.unknown(mailboxes):
            return False
        body = _Record(published_until=self._until(sinks, now)).model_dump_json().encode()
        self.store.put(
            self.layout.published(),
            io.BytesIO(body),
            size=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            content_type="application/json",
        )
        return True

    def read(self) -> float:
        """The time that was written last (seconds since 1970); 0 when there is none, or none that can be read.

        Raises:
            StoreError: the store is away.
        """
        try:
            with self.store.open(self.layout.published()) as body:
                return _Record.model_validate_json(body.read()).published_until
        except ObjectMissingError:
            return 0.0
        except ValidationError:
            log.warning("watermark.unreadable")
            return 0.0

    def recently(self, clock: Callable[[], float]) -> Callable[[], float]:
        """What `read` returns, asked of the store at most once a minute.

        Args:
            clock: monotonic, in seconds.
        """
        last: tuple[float, float] | None = None

        def read() -> float:
            nonlocal last
            if last is None or clock() - last[0] >= EVERY:
                last = clock(), self.read()
            return last[1]

        return read

    def _until(self, sinks: Collection[str], now: float) -> float:
        """A manifest is younger than its message's first sight, and older than its event in the stream."""
        times = [now, self.ledger.oldest_open()]
        for sink in sinks:
            times += [now - self.events.lag(sink).oldest_age, self.events.oldest_retrying(sink)]
        return min(time for time in times if time is not None) - SKEW
