"""Replay: publish the events of processed messages again, rebuilt from their manifests, with the same ids.

For consumers that lost data, and for those added after the stream was trimmed. Events are published in batches, in
the order in which their manifests were written; a replay that ends early reports from when to continue.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.admin.mailbox_claim import StopRequestedError, raise_if_stopped
from ingest.admin.stored_messages import mailbox_folders, stored_messages
from ingest.errors import LedgerError, MailhaulError, ObjectMissingError, SinkUnavailableError, StoreError
from ingest.ports.sink import Outcome, Verdict
from ingest.usecases.batches import batches
from ingest.usecases.recover.republish import events_from_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from ingest.admin.mailbox_claim import StopSignal
    from ingest.domain.events import Event
    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Mailbox
    from ingest.ports.eventlog import EventLog
    from ingest.ports.sink import Sink
    from ingest.ports.status import StatusRecords
    from ingest.ports.store import Store, Stored

    # Publishes the events of some manifests.
    _Publish = Callable[[Sequence[Event], Sequence[Stored]], None]

BATCH = 100
# The stream is in memory, with up to 60 KiB for each event: a replay keeps it below this many.
MOST_IN_STREAM = 5_000
# Seconds between two looks at its length, and seconds to wait while it does not shrink.
LOOK_EVERY, PATIENCE = 1.0, 300.0
# Seconds between the tries of an unavailable sink.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
_UNAVAILABLE = frozenset({Verdict.UNAVAILABLE, Verdict.GONE})


class NotPublishedError(MailhaulError):
    """Events cannot be published now; the text says why, and what to do."""

    code = "not_published"


@dataclass(slots=True)
class Replayed:
    """The result of a replay.

    Attributes:
        published: how many events were published, or delivered to the sink.
        skipped: how many messages have no event: they were purged, or their manifest cannot be read.
        unwanted: how many events the condition of the sink left out.
        rejected: ids of events that the sink rejected.
        resume_at: from when to continue (seconds since 1970) if it ended early; some events of that time may be
            published already.
        error: why it ended early; None if it was asked to stop, or did not end early.
    """

    published: int = 0
    skipped: int = 0
    unwanted: int = 0
    rejected: list[str] = field(default_factory=list)
    resume_at: float | None = None
    error: MailhaulError | None = None


def find_manifests(
    store: Store,
    layout: Layout,
    configured: Mapping[str, Mailbox],
    mailboxes: Collection[str],
    *,
    since: float,
    until: float,
) -> list[Stored]:
    """Return the manifests written in a period, the oldest first; see `listed_manifests`."""
    listed = listed_manifests(store, layout, configured, mailboxes, since=since, until=until)
    return sorted(listed, key=oldest_first)


def oldest_first(manifest: Stored) -> tuple[float, str]:
    """Return what manifests are sorted by."""
    return manifest.modified, manifest.key


def listed_manifests(
    store: Store,
    layout: Layout,
    configured: Mapping[str, Mailbox],
    mailboxes: Collection[str],
    *,
    since: float,
    until: float,
) -> Iterator[Stored]:
    """Yield the manifests written in a period, in the order of their keys; only listings are read.

    Args:
        store: where they are.
        layout: of its keys.
        configured: mailboxes by id.
        mailboxes: ids, or names of folders of mailboxes that are not configured any more; empty for all.
        since: seconds since 1970, inclusive.
        until: seconds since 1970, exclusive.

    Raises:
        StoreError: the store is unavailable.
    """
    named = {folder for mailbox in mailboxes for folder in mailbox_folders(configured, mailbox)}
    folders: list[str | None] = [*sorted(named)] or [None]
    for folder in folders:
        for stored in stored_messages(store, layout.everything(), folder):
            if stored.manifest is not None and since <= stored.manifest.modified < until:
                yield stored.manifest


@dataclass(frozen=True, slots=True)
class Replay:
    """Finds manifests and publishes their events.

    Attributes:
        configured: mailboxes by id; any other is named by its folder.
        sinks: by name.
        watermark: returns the delivery watermark.
        workers: read several manifests at once.
        clock: monotonic, in seconds.
        released: called with the keys of messages that were delivered to a sink; None if nobody wants to know.
        direct: whether a replay to one sink delivers from here, instead of by the stream and the relay.
        allows: whether events of a mailbox may be published, by its id; what it forbids counts as skipped.
    """

    store: Store
    layout: Layout
    ledger: StatusRecords
    events: EventLog
    configured: Mapping[str, Mailbox]
    sinks: Mapping[str, Sink]
    watermark: Callable[[], float]
    workers: Executor
    clock: Callable[[], float] = time.monotonic
    released: Callable[[Collection[str]], None] | None = None
    direct: bool = True
    allows: Callable[[str], bool] = lambda _: True

    def find(self, mailboxes: Collection[str], since: float, until: float) -> list[Stored]:
        """Return the manifests written in a period; see `find_manifests`."""
        return find_manifests(self.store, self.layout, self.configured, mailboxes, since=since, until=until)

    def run(
        self,
        manifests: Sequence[Stored],
        sink: str | None,
        stop: StopSignal,
        listen: Callable[[int], None] = lambda _: None,
    ) -> Replayed:
        """Publish the events of manifests, in this order.

        Args:
            manifests: from `find`.
            sink: the name of the only sink to deliver to; None for all sinks, by the stream.
            stop: asked between batches, and while waiting.
            listen: called with the number of messages handled.
        """
        done = Replayed()
        if not manifests:
            return done
        finished = 0
        try:
            if sink is not None and self.direct:
                publish = self._to_sink(self.sinks[sink], done, stop)
            else:
                publish = self._to_stream(done, stop, sink)
            for batch in batches(manifests, BATCH):
                raise_if_stopped(stop)
                found = list(self.workers.map(self._events, batch))
                publish([event for events in found for event in events], batch)
                done.skipped += found.count([])
                finished += len(batch)
                listen(finished)
        except (StopRequestedError, NotPublishedError, StoreError, LedgerError) as error:
            done.resume_at = manifests[finished].modified
            done.error = None if isinstance(error, StopRequestedError) else error
        return done

    def _events(self, manifest: Stored) -> list[Event]:
        try:
            events = events_from_manifest(self.store, manifest)
            # A folder may hold messages of another mailbox, which had it before.
            return [event for event in events if self.allows(event.mailbox)]
        except ObjectMissingError:
            return []

    def _to_stream(self, done: Replayed, stop: StopSignal, sink: str | None) -> _Publish:
        """Return a function that appends events, so that the delivery watermark waits for those it has not passed."""
        confirmed = self.watermark()

        def publish(events: Sequence[Event], manifests: Sequence[Stored]) -> None:
            self._wait_for_room(stop)
            unconfirmed = [stored.modified for stored in manifests if stored.modified >= confirmed]
            self.events.republish(events, min(unconfirmed, default=None), sink or "")
            done.published += len(events)

        return publish

    def _to_sink(self, sink: Sink, done: Replayed, stop: StopSignal) -> _Publish:
        """Return a function that delivers events to one sink, with several tries while it is unavailable."""

        def publish(events: Sequence[Event], _: Sequence[Stored]) -> None:
            left, pauses = list(events), iter(PAUSES)
            while True:
                outcomes = _deliver(sink, left)
                delivered = list(zip(left, outcomes, strict=True))
                if self.released is not None:
                    self.released([_key(event) for event, each in delivered if each.verdict is Verdict.DELIVERED])
                done.published += sum(outcome.verdict is Verdict.DELIVERED for outcome in outcomes)
                done.unwanted += sum(outcome.verdict is Verdict.SKIPPED for outcome in outcomes)
                done.rejected += [event.id for event, outcome in delivered if outcome.verdict is Verdict.REJECTED]
                left = [event for event, outcome in delivered if outcome.verdict in _UNAVAILABLE]
                if not left:
                    return
                unavailable = next(outcome for outcome in outcomes if outcome.verdict in _UNAVAILABLE)
                pause = next(pauses, None)
                if pause is None or unavailable.verdict is Verdict.GONE:
                    raise NotPublishedError(
                        f"{sink.name} does not take events now ({unavailable.reason}); `mailhaul check` may say more"
                    )
                stop.wait(pause)
                raise_if_stopped(stop)

        return publish

    def _wait_for_room(self, stop: StopSignal) -> None:
        fewest, since = self.ledger.counts()["events"], self.clock()
        while (waiting := self.ledger.counts()["events"]) > MOST_IN_STREAM:
            if waiting < fewest:
                fewest, since = waiting, self.clock()
            if self.clock() - since > PATIENCE:
                raise NotPublishedError(
                    f"the event stream holds {waiting:,} events and does not shrink: is the service running, is a "
                    "sink unavailable? See `mailhaul status`"
                )
            stop.wait(LOOK_EVERY)
            raise_if_stopped(stop)


def _key(event: Event) -> str:
    """Return the key of the message of an event."""
    return str(json.loads(event.body)["subject"])


def _deliver(sink: Sink, events: Sequence[Event]) -> list[Outcome]:
    try:
        return sink.deliver(events)
    except SinkUnavailableError as error:
        return [Outcome(Verdict.UNAVAILABLE, error.code)] * len(events)
