"""The steps of a message: from the mail server through the store to each consumer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.domain import keys
from ingest.domain.events import event_ids
from ingest.ports.eventlog import order_of
from ingest.usecases.tombstones import read_raw_erased, read_tombstone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ingest.admin.stored_messages import StoredMessage
    from ingest.domain.manifest import Manifest
    from ingest.ports.eventlog import Entry, EventLog, EventStream
    from ingest.ports.ledger import Ledger
    from ingest.ports.store import Store, Stored

_AT_ONCE = 500  # entries of the stream


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a message's way. `at` is seconds since 1970, None if it is not known or has not come yet.

    Attributes:
        state: `done`, `waiting`, `retrying`, `dead_lettered`, `failed` or `unknown`.
        sink: the consumer, for steps of delivery.
        note: what else is known.
        answer: the code of a consumer's last answer, such as `http_204`; empty if it is not known.
        tries: how many times the event was sent to it until then; None if that is not known.
    """

    what: str
    at: float | None
    state: str = "done"
    sink: str | None = None
    note: str = ""
    answer: str = ""
    tries: int | None = None


def stored_steps(store: Store, folder: str, listed: Iterable[Stored]) -> Iterator[Step]:
    """Yield when the raw mail of a message was stored and erased, as far as the store knows it.

    Args:
        store: where it is.
        folder: the message's, without a trailing slash.
        listed: the objects of the message.
    """
    objects = {one.key.removeprefix(f"{folder}/"): one for one in listed}
    raw = objects.get(keys.RAW) or objects.get(keys.TOP)
    erased = read_raw_erased(store, folder) if keys.RAW_ERASED in objects else None
    stored_at = erased.stored_at.timestamp() if erased else raw.modified if raw else None
    yield Step("stored", stored_at, "unknown" if stored_at is None else "done")
    if erased:
        yield Step("raw_erased", erased.erased_at.timestamp(), note=f"by the rule {erased.rule}")


def delivery_step(
    events: EventLog, sink: str, ids: Sequence[str], *, confirmed: bool, at: float | None = None
) -> Step:
    """Return whether a consumer has a message.

    Args:
        events: the stream.
        sink: the consumer.
        ids: of the events of the message.
        confirmed: whether the consumer has confirmed all of them, unless it rejected one.
        at: when it did; None if that is not known.
    """
    entries = events.rejected_entries(sink, ids)
    rejected = next((id_ for id_, entry in zip(ids, entries, strict=True) if entry is not None), None)
    if rejected is not None:
        retrying = rejected in events.retrying(sink).members()
        return Step("delivered", None, "retrying" if retrying else "dead_lettered", sink, "rejected the event")
    if confirmed:
        return Step("delivered", at, sink=sink)
    return Step("delivered", None, "waiting", sink, events.sink_status(sink).words)


@dataclass(frozen=True, slots=True)
class Trace:
    """Traces messages without a catalog: from the store, the ledger and the delivery watermark.

    Attributes:
        sinks: the names of all sinks.
        watermark: the time (seconds since 1970) before which every event is confirmed.
    """

    store: Store
    ledger: Ledger
    events: EventLog
    sinks: Sequence[str]
    watermark: float

    def steps(self, stored: StoredMessage, manifest: Manifest | None) -> list[Step]:
        """Return the steps of a message, in their order.

        Args:
            stored: its objects.
            manifest: None if it has none.

        Raises:
            StoreError, LedgerUnavailableError: the store or the ledger is unavailable.
        """
        steps = [*_mailed(manifest), *stored_steps(self.store, stored.folder, stored.objects)]
        written = stored.manifest
        if manifest is None and written is not None:
            tombstone = read_tombstone(self.store, written.key)
            if tombstone is not None:
                return [Step("purged", tombstone.purged_at.timestamp())]
            return [*steps, Step("processed", written.modified, "unknown", note="its manifest cannot be read")]
        if manifest is not None and written is not None:
            if manifest.update is None:
                steps.append(Step("processed", written.modified))
            else:
                steps.append(Step("updated", manifest.update.at.timestamp(), note=f"update {manifest.update.number}"))
        steps += self._unfinished(stored.key)
        if manifest is None and steps[-1].state == "waiting":
            return steps
        return steps + self._events(stored)

    def _unfinished(self, key: str) -> Iterator[Step]:
        if self.ledger.open_messages([key])[0] is not None:
            yield Step("processed", None, "waiting", note="a processor has not read it yet")
        for failed in self.ledger.failed_messages():
            if failed.message.key == key:
                note = f"{failed.reason}, {failed.tries} tries; mailhaul failed retry {key}"
                yield Step("failed", failed.failed_at.timestamp(), "failed", note=note)

    def _events(self, stored: StoredMessage) -> list[Step]:
        ids = event_ids([stored.key], stored.updates)
        found = find_entries(self.events, frozenset(ids))
        if not found:
            written = stored.manifest.modified if stored.manifest else None
            if written is None or written >= self.watermark:
                return [Step("published", None, "unknown", note="its event is not in the stream"), *self._dead(ids)]
            everywhere = Step("delivered", None, note="by every sink of that time: before the delivery watermark")
            gone = Step("published", None, note="its event is not in the stream any more")
            return [gone, everywhere, *self._dead(ids)]
        floors = self.events.confirmed(self.sinks)
        last = order_of(found[-1].position)
        published = [Step("published", entry.appended, note=entry.event.type) for entry in found]
        return published + [
            delivery_step(self.events, sink, ids, confirmed=sink in floors and last < order_of(floors[sink]))
            for sink in self.sinks
        ]

    def _dead(self, ids: Sequence[str]) -> Iterator[Step]:
        """Yield a step for each sink that rejected an event."""
        steps = (delivery_step(self.events, sink, ids, confirmed=True) for sink in self.sinks)
        yield from (step for step in steps if step.state != "done")


def _mailed(manifest: Manifest | None) -> Iterator[Step]:
    if manifest is not None and manifest.headers.date is not None:
        yield Step("sent", manifest.headers.date.timestamp(), note="as its sender wrote it")
    if manifest is not None and manifest.received_at is not None:
        yield Step("received", manifest.received_at.timestamp(), note="by the mail server")


def find_entries(events: EventStream, ids: frozenset[str]) -> list[Entry]:
    """Return the entries of the stream with these event ids, the oldest first; reads the whole stream.

    Raises:
        LedgerUnavailableError: the ledger is unavailable.
    """
    found: list[Entry] = []
    position = ""
    while (batch := events.follow(position, _AT_ONCE)).entries:
        found += [entry for entry in batch.entries if entry.event.id in ids]
        position = batch.position
    return found
