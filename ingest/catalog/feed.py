"""Follow the event stream, so that the catalog knows each message soon after it was processed.

An event only says that there is something to read: the manifest in the store has the truth, and the fields of
invoices, which events leave out. Position and rows are written in one transaction.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ingest.catalog.answers import listings_of, rows_of
from ingest.catalog.catalog import REMOVALS, Batch, Catalog
from ingest.catalog.indexed import CarriedEvent, FailedEvent
from ingest.catalog.reading import PARALLEL, Unreadable, read_all, read_indexed
from ingest.catalog.rows import Entry, entry_of
from ingest.ports.eventlog import order_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.ports import eventlog
    from ingest.ports.store import Store

# Events and purged messages of one step.
BATCH = 250
# Steps of consumers whose answers are read at once, each with up to 100.
_ANSWERS_STEP = 20


@dataclass
class Feeder:
    """Reads what is new into the catalog.

    Attributes:
        sinks: the names of all sinks.
        now: seconds since 1970.
    """

    catalog: Catalog
    store: Store
    events: eventlog.EventStream
    sinks: Sequence[str]
    now: Callable[[], float]
    _readers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(PARALLEL, "catalog"))
    _confirmed: dict[str, str] = field(default_factory=dict)

    def step(self) -> int:
        """Read a batch of events, of purged messages, and what the sinks have confirmed; return how many there were.

        If events may have been removed before they were read, or a manifest cannot be read now, a rebuild is asked
        for (`Rebuild.wanted`).

        Raises:
            CatalogError, LedgerUnavailableError, StoreError: the step is done again.
        """
        count = self._follow() + self._purged() + self._answered()
        confirmed = self.events.confirmed(self.sinks)
        if confirmed != self._confirmed:
            self.catalog.record_confirmed(confirmed, self.now())
            self._confirmed = confirmed
        return count

    def wait(self, seconds: float) -> None:
        """Wait for the next event, at most so long."""
        self.events.wait(self.catalog.state("position"), seconds)

    def close(self) -> None:
        """End the threads that read."""
        self._readers.shutdown()

    def _follow(self) -> int:
        known = self.catalog.states()  # before anything is read: what is removed later is not brought back
        followed = self.events.follow(known.get("position", ""), BATCH)
        if followed.lost:
            # Also while one is running: it may have passed the messages of the lost events already.
            self.catalog.write(Batch(state={"rebuild": "wanted"}))
        if not followed.entries:
            if followed.lost:
                self.catalog.write(Batch(state={"position": followed.position}))
            return 0
        run, removals = int(known.get("run", 0)), int(known.get(REMOVALS, 0))
        found = read_all(self._readers, lambda entry: self._read(entry, run), followed.entries)
        state = {"position": followed.position}
        if any(isinstance(one, Unreadable) for one in found):
            state["rebuild"] = "wanted"
        self.catalog.write(
            Batch(
                entries=[one for one in found if isinstance(one, Entry)],
                removals=removals,
                gone=[one for one in found if isinstance(one, str)],
                state=state,
                answers=listings_of(followed.entries),
            )
        )
        return len(found)

    def _read(self, entry: eventlog.Entry, run: int) -> Entry | Unreadable | str | None:
        """Return the rows of an event's message, its key if it was purged, None for an event that is not ours."""
        body = entry.event.body
        try:
            carried = CarriedEvent.model_validate_json(body).data
            failed = FailedEvent.model_validate_json(body).data if carried.manifest is None else None
        except ValidationError:
            return None
        key, where = carried.message_key, carried.manifest
        manifest = failed if where is None else read_indexed(self.store, where, key)
        if manifest is None:
            return key
        if isinstance(manifest, Unreadable):
            return manifest
        return entry_of(manifest, self.now(), entry.position, run, entry.appended)

    def _purged(self) -> int:
        behind = self.catalog.state("purged")
        found = self.events.purged(behind, BATCH)
        if found:
            state = {"purged": found[-1][0], **({"rebuild": "wanted"} if self._misses_purges(behind) else {})}
            self.catalog.write(Batch(gone=[key for _, key in found], state=state))
        return len(found)

    def _answered(self) -> int:
        found = self.events.answers(self.catalog.state("answers"), _ANSWERS_STEP)
        if found:
            rows = [row for one in found for row in rows_of(one)]
            self.catalog.write(Batch(state={"answers": found[-1].position}, answers=rows))
        return len(found)

    def _misses_purges(self, behind: str) -> bool:
        """Whether the ledger may have forgotten purges that were not read: it no longer has the last one that was."""
        oldest, _ = self.events.purged("", 1)[0]
        return behind != "" and order_of(oldest) > order_of(behind)
