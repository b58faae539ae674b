"""The delivery watermark: a time up to which every event is confirmed, kept in the store in case the ledger is lost.

Every manifest written before it belongs to an event that each sink has confirmed. After a loss of the ledger, only
younger manifests have to be republished.
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
    from ingest.ports.schedule import ClockStep
    from ingest.ports.store import Store

log = get_logger()

# Seconds by which the clocks of the ledger, the store and the workers may differ.
SKEW = 300.0
# Seconds by which the clock of the store seems to be behind because writing takes time, and some stores cut seconds.
CLOSE = 2.0
# Seconds between two writes, and between two reads.
EVERY = 60.0


class _Record(BaseModel):
    """The content of the object: seconds since 1970, by the clock of the writer."""

    published_until: float
    written_at: float | None = None


@dataclass(frozen=True, slots=True)
class DeliveryWatermark:
    """Writes and reads the delivery watermark.

    Attributes:
        clock: returns seconds since 1970.
    """

    store: Store
    layout: Layout
    ledger: Ledger
    events: EventLog
    clock: Callable[[], float]

    def write_if_due(self, mailboxes: Collection[str], sinks: Collection[str], now: float) -> None:
        """Do what `try_to_write` does if it is `due`."""
        if self.due():
            self.try_to_write(mailboxes, sinks, now)

    def due(self) -> bool:
        """Whether no process has tried to write it within the last minute; if so, the caller does.

        Raises:
            LedgerUnavailableError: the ledger is unavailable.
        """
        return self.ledger.throttle("published", EVERY)

    def try_to_write(self, mailboxes: Collection[str], sinks: Collection[str], now: float) -> None:
        """Do what `write` does; if the store is unavailable, the next minute's call tries again."""
        try:
            self.write(mailboxes, sinks, now)
        except StoreError as error:
            log.warning("watermark.not_written", error=error.code)

    def write(self, mailboxes: Collection[str], sinks: Collection[str], now: float) -> bool:
        """Write the watermark; returns False, and leaves the last one, while the ledger does not know all mailboxes.

        Such a ledger may have lost events that nobody has republished yet.

        Args:
            mailboxes: the ids of all configured mailboxes.
            sinks: the names of all configured sinks.
            now: seconds since 1970.

        Raises:
            LedgerUnavailableError: the ledger is unavailable.
            StoreError: the store did not take the object.
        """
        step = self.ledger.clock_step()
        until = self._until(sinks, now, step)
        # A process with an older configuration does not know every mailbox. Asked last: what was lost before would
        # make the time too late.
        if self.ledger.unknown({*mailboxes, *self.ledger.mailboxes.members()}):
            return False
        self._put(until)
        later = self.ledger.clock_step()
        if later is not None and later != step:  # the clock was set back, or events were republished, meanwhile
            self.lower(later.earliest)
        return True

    def lower(self, back_to: float) -> None:
        """Lower the stored watermark because the clock was set back: manifests will be written at times before it.

        Args:
            back_to: the time to which the clock was set back (seconds since 1970).

        Raises:
            StoreError: the store is unavailable.
        """
        until = self._stored()
        if until > back_to - SKEW:
            self._put(back_to - SKEW)

    def _put(self, until: float) -> None:
        body = _Record(published_until=until, written_at=self.clock()).model_dump_json().encode()
        self.store.put(
            self.layout.watermark(),
            io.BytesIO(body),
            size=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            content_type="application/json",
        )

    def read(self) -> float:
        """Return the watermark (seconds since 1970), or 0 if there is none, or it cannot be parsed or be true.

        It is compared with the times at which the store wrote manifests. If the clock of the writer was ahead of that
        of the store, the watermark is earlier by the difference.

        One that lies in the future was written before the clock was set back; manifests written since then are older,
        although nobody has confirmed their events.

        Raises:
            StoreError: the store is unavailable.
        """
        until = self._stored()
        if until > self.clock():
            log.warning("watermark.in_the_future")
            return 0.0
        return until

    def _stored(self) -> float:
        key = self.layout.watermark()
        try:
            with self.store.open(key) as body:
                record = _Record.model_validate_json(body.read())
        except ObjectMissingError:
            return 0.0
        except ValidationError:
            log.warning("watermark.unreadable")
            return 0.0
        written = next((found.modified for found in self.store.stored(key) if found.key == key), 0.0)
        ahead = 0.0 if record.written_at is None else max(0.0, record.written_at - written)
        return record.published_until - (ahead if ahead > CLOSE else 0.0)

    def cached(self, clock: Callable[[], float]) -> Callable[[], float]:
        """Return a function that returns what `read` does and asks the store at most once a minute.

        Args:
            clock: monotonic, in seconds.
        """
        last: tuple[float, float] | None = None

        def read() -> float:
            nonlocal last
            if last is None or clock() - last[0] >= EVERY:
                last = clock(), self.read()
            return last[1] if last[1] <= self.clock() else 0.0

        return read

    def _until(self, sinks: Collection[str], now: float, step: ClockStep | None) -> float:
        """Return the time before which nothing is open, waiting for a sink, or retrying.

        A manifest is written after its message was first seen and before its event is in the stream. Where the clock
        was set back, or the event was republished, either time may be later than that of the manifest, so it counts
        as the earliest time that `clock_step` returns.
        """
        times = [self.ledger.oldest_open()]
        # A process with an older configuration does not know every sink.
        for sink in {*sinks, *self.ledger.sinks.members()}:
            lag = self.events.lag(sink)
            times += [now - lag.oldest_age if lag.entries else None, self.events.oldest_retrying(sink)]
        known = [time for time in times if time is not None]
        if step is not None:
            known = [step.not_before(time, SKEW) for time in known]
        return min([now, *known]) - SKEW
