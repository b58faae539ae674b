"""Tell again of messages that are done: their events, made from their manifests, with the same ids.

For consumers that lost what they had, and for those that come later than the stream remembers. Events go out in the
order in which their manifests were written, a batch at a time; whatever ends it early says from when to go on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ingest.admin.mailbox_claim import StopRequestedError
from ingest.admin.stored_messages import stored_messages
from ingest.errors import MailhaulError, ObjectMissingError, SinkUnavailableError, StoreError
from ingest.ports.sink import Outcome, Verdict
from ingest.usecases.batches import batches
from ingest.usecases.recover.republish import event_from_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from concurrent.futures import Executor

    from ingest.domain.events import Event
    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Mailbox
    from ingest.ports.eventlog import EventLog
    from ingest.ports.sink import Sink
    from ingest.ports.status import StatusRecords
    from ingest.ports.store import Store, Stored

BATCH = 100
# The stream lies in memory, 60 KiB an event at most: no more than so many are in it while they wait for sinks.
MOST_IN_STREAM = 5_000
# Seconds between two looks whether it has shrunk, and for how long it may not.
LOOK_AGAIN, PATIENCE = 1.0, 300.0
# Seconds between the tries of a sink that is away.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
_UNAVAILABLE = frozenset({Verdict.UNAVAILABLE, Verdict.GONE})


class NotPublishedError(MailhaulError):
    """Events cannot go out now; the text says why, and what to do."""

    code = "not_told"


@dataclass(slots=True)
class Replayed:
    """What went out.

    Attributes:
        told: events.
        skipped: messages without an event to tell: purged, or their manifest is none.
        rejected: ids of events that the sink rejected.
        resume_at: from when to go on (seconds since 1970), where it ended early. Some of then may be out.
        error: why it ended early; None where it was asked to, or did not.
    """

    told: int = 0
    skipped: int = 0
    rejected: list[str] = field(default_factory=list)
    resume_at: float | None = None
    error: MailhaulError | None = None


class Patience(Protocol):
    """How a command waits."""

    @property
    def asked(self) -> bool:
        """Whether it is to end."""
        ...

    def wait(self, seconds: float) -> None:
        """Until asked, or until the time is over."""
        ...


@dataclass(frozen=True, slots=True)
class Replay:
    """Everything that telling again needs, passed in.

    Attributes:
        configured: mailboxes by id; another may be named by its folder.
        sinks: by name.
        workers: read manifests, many at once.
        clock: monotonic, in seconds.
    """

    store: Store
    layout: Layout
    ledger: StatusRecords
    events: EventLog
    configured: Mapping[str, Mailbox]
    sinks: Mapping[str, Sink]
    workers: Executor
    clock: Callable[[], float] = time.monotonic

    def find(self, mailboxes: Collection[str], since: float, until: float) -> list[Stored]:
        """Manifests that were written in a time, the oldest first; read from listings alone.

        Args:
            mailboxes: ids, or names of folders of mailboxes that are not configured any more; none means all.
            since: seconds since 1970.
            until: seconds since 1970, itself not included.

        Raises:
            StoreError: the store is away.
        """
        named = {folder for mailbox in mailboxes for folder in self._folders(mailbox)}
        folders: list[str | None] = [*sorted(named)] or [None]
        found = [
            stored.manifest
            for folder in folders
            for stored in stored_messages(self.store, self.layout.everything(), folder)
            if stored.manifest is not None and since <= stored.manifest.modified < until
        ]
        return sorted(found, key=lambda manifest: (manifest.modified, manifest.key))

    def run(
        self,
        manifests: Sequence[Stored],
        sink: str | None,
        patience: Patience,
        listen: Callable[[int], None] = lambda _: None,
    ) -> Replayed:
        """Tell of them, in this order.

        Args:
            manifests: as `find` gives them.
            sink: the name of the only one to tell; without, the stream, and so everybody.
            patience: asked between batches, and while something is waited for.
            listen: told how many messages are done.
        """
        done = Replayed()
        tell = self._stream(done, patience) if sink is None else _one_sink(self.sinks[sink], done, patience)
        finished = 0
        try:
            for batch in batches(manifests, BATCH):
                _go_on(patience)
                events = list(self.workers.map(self._recalled, batch))
                there = [event for event in events if event is not None]
                tell(there)
                done.skipped += len(events) - len(there)
                finished += len(batch)
                listen(finished)
        except (StopRequestedError, NotPublishedError, StoreError) as error:
            done.resume_at = manifests[finished].modified
            done.error = None if isinstance(error, StopRequestedError) else error
        return done

    def _folders(self, mailbox: str) -> list[str]:
        """One that has a prefix has not always had it: then its mail lay under its id."""
        configured = self.configured.get(mailbox)
        return sorted({mailbox, configured.folder}) if configured else [mailbox]

    def _recalled(self, manifest: Stored) -> Event | None:
        try:
            return event_from_manifest(self.store, manifest)
        except ObjectMissingError:
            return None

    def _stream(self, done: Replayed, patience: Patience) -> Callable[[Sequence[Event]], None]:
        def tell(events: Sequence[Event]) -> None:
            self._wait_for_room(patience)
            self.events.republish(events)
            done.told += len(events)

        return tell

    def _wait_for_room(self, patience: Patience) -> None:
        fewest, since = self.ledger.counts()["events"], self.clock()
        while (waiting := self.ledger.counts()["events"]) > MOST_IN_STREAM:
            if waiting < fewest:
                fewest, since = waiting, self.clock()
            if self.clock() - since > PATIENCE:
                raise NotPublishedError(
                    f"the event stream holds {waiting:,} events that nobody takes: is the service running, is a sink "
                    "away? `mailhaul status` tells"
                )
            patience.wait(LOOK_AGAIN)
            _go_on(patience)


def _one_sink(sink: Sink, done: Replayed, patience: Patience) -> Callable[[Sequence[Event]], None]:
    """Hands events over to one sink, and tries again while it is away."""

    def tell(events: Sequence[Event]) -> None:
        left = list(events)
        for pause in (*PAUSES, None):
            outcomes = _handed_over(sink, left)
            told = list(zip(left, outcomes, strict=True))
            done.told += sum(outcome.verdict is Verdict.DELIVERED for outcome in outcomes)
            done.rejected += [event.id for event, outcome in told if outcome.verdict is Verdict.REJECTED]
            left = [event for event, outcome in told if outcome.verdict in _UNAVAILABLE]
            if not left:
                return
            away = next(outcome for outcome in outcomes if outcome.verdict in _UNAVAILABLE)
            if pause is None or away.verdict is Verdict.GONE:
                raise NotPublishedError(
                    f"{sink.name} takes no events now ({away.reason}); `mailhaul check` may say more"
                )
            patience.wait(pause)
            _go_on(patience)

    return tell


def _handed_over(sink: Sink, events: Sequence[Event]) -> list[Outcome]:
    try:
        return sink.deliver(events)
    except SinkUnavailableError as error:
        return [Outcome(Verdict.UNAVAILABLE, error.code)] * len(events)


def _go_on(patience: Patience) -> None:
    if patience.asked:
        raise StopRequestedError
