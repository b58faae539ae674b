"""Retention: erase messages, or their raw mail alone, whose time is over by the rules of the configuration.

Erasing cannot be undone, so each step needs proof. The time counts from when the store wrote the raw mail, by the
store's own clock: not from a date in the mail, which its sender chose. The clocks of store and machine have to agree.
A message needs a manifest that can be read and says that it is this message. Raw mail is erased alone only if
everything in it was read, and every object that the manifest names is there; right before, they and the raw mail are
read back and compared with the hashes in the manifest. What cannot be proven stays, and is reported. Each message is
judged again, from a fresh listing, while its mailbox is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError
from structlog import get_logger

from ingest.admin.audit.messages import hash_object
from ingest.admin.erase import NotPurgedError, Reason
from ingest.admin.mailbox_claim import MailboxBusyError, StopRequestedError
from ingest.admin.purge_report import PurgeReport
from ingest.domain import keys
from ingest.domain.differences import objects_of
from ingest.domain.manifest import Manifest
from ingest.domain.retention import FOREVER, term_of
from ingest.domain.tombstone import MOST_BYTES, RawErased
from ingest.errors import MailhaulError, ObjectMissingError, StaleClaimError
from ingest.usecases.batches import batches
from ingest.usecases.store_probe import write_probe
from ingest.usecases.tombstones import read_raw_erased, read_tombstone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ingest.admin.holds import HeldNames
    from ingest.admin.purge import Purge
    from ingest.admin.stored_messages import StoredMessage
    from ingest.domain.message import FailedMessage
    from ingest.domain.retention import RetentionRule
    from ingest.ports.store import Store

log = get_logger()

# Seconds by which the clocks of the store and of this machine may differ. The periods are days at least.
CLOCK_TOLERANCE = 300.0
_NEVER = datetime.min.replace(tzinfo=UTC)
# Messages that are looked at together, several at once.
_LOOK_BATCH = 100
# Messages for which a mailbox is claimed at a time: polls wait meanwhile.
_CLAIM_BATCH = 500

# What is to be done with a message. The last four stay although their time is over, or may be.
Outcome = Literal["kept", "message", "raw", "held", "locked", "unread", "unprocessed"]
DUE: tuple[Outcome, ...] = ("message", "raw")


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with one message.

    Attributes:
        outcome: `kept`: its time is not over. `message`, `raw`: what to erase. `unread`: its raw mail stays, as not
            everything in it is stored elsewhere. `unprocessed`: it stays, as it has no manifest that can be
            read.
        mailbox: its id.
        rule: the rule that decides.
        stored_at: when the store wrote its raw mail.
        size: bytes that would be erased.
        record: what is left of its raw mail.
    """

    outcome: Outcome
    mailbox: str = ""
    rule: str = ""
    stored_at: datetime = FOREVER
    objects: int = 0
    size: int = 0
    record: RawErased | None = None


@dataclass(slots=True)
class RetentionRow:
    """One line of the report: messages of a mailbox with the same outcome by the same rule.

    Attributes:
        size: bytes that are erased, or would be.
        first, last: when the oldest and the newest of them was stored.
        locked_until: when the last lock of the store on them ends.
    """

    outcome: Outcome
    mailbox: str
    rule: str
    messages: int = 0
    objects: int = 0
    size: int = 0
    first: datetime = FOREVER
    last: datetime = _NEVER
    locked_until: datetime | None = None

    def add(self, decision: Decision, locked_until: datetime | None = None) -> None:
        """Count a message."""
        self.messages += 1
        self.objects += decision.objects
        self.size += decision.size
        self.first, self.last = min(self.first, decision.stored_at), max(self.last, decision.stored_at)
        self.locked_until = max(filter(None, (self.locked_until, locked_until)), default=None)


@dataclass(slots=True)
class RetentionSurvey:
    """What retention would erase, and what stays although its time is over.

    Attributes:
        now: the time by which it was decided.
        stored: how many messages were looked at.
    """

    now: datetime
    stored: int = 0
    rows: dict[tuple[Outcome, str, str], RetentionRow] = field(default_factory=dict)

    def add(self, outcome: Outcome, decision: Decision, locked_until: datetime | None = None) -> None:
        """Count a message."""
        key = outcome, decision.mailbox, decision.rule
        self.rows.setdefault(key, RetentionRow(*key)).add(decision, locked_until)

    def count(self, *outcomes: Outcome) -> int:
        """Return how many messages have one of these outcomes."""
        return sum(row.messages for row in self.rows.values() if row.outcome in outcomes)


@dataclass(frozen=True)
class Retention:
    """Finds and erases messages whose time is over.

    Attributes:
        purge: claims mailboxes and erases.
        now: the clock of this machine, in UTC.
    """

    store: Store
    purge: Purge
    rules: Sequence[RetentionRule]
    now: Callable[[], datetime]

    def agreed_time(self) -> datetime:
        """Return the time on which the clocks of the store and of this machine agree: the earlier one.

        Raises:
            NotPurgedError: they differ too much.
            StoreError: the store is unavailable.
        """
        before = self.now()
        key = write_probe(self.store, self.purge.layout)
        written = next((found.modified for found in self.store.stored(key) if found.key == key), None)
        after = self.now()
        self.store.delete(key)
        if written is None:
            raise NotPurgedError("the store does not list what was just written to it: nothing is erased")
        found, tolerance = datetime.fromtimestamp(written, UTC), timedelta(seconds=CLOCK_TOLERANCE)
        if not before - tolerance <= found <= after + tolerance:
            raise NotPurgedError(
                f"the store's clock shows {found:%Y-%m-%d %H:%M} UTC and this machine's {after:%Y-%m-%d %H:%M} UTC:"
                " set the wrong one; nothing is erased"
            )
        return min(before, found)

    def survey(
        self, now: datetime, mailbox: str | None = None, listen: Callable[[int], None] = lambda _: None
    ) -> RetentionSurvey:
        """Return what would be erased.

        Args:
            now: from `agreed_time`.
            mailbox: look at this mailbox only.
            listen: called now and then with the number of messages looked at.

        Raises:
            StoreError: the store is unavailable, or does not say what is locked.
        """
        survey, names = RetentionSurvey(now), self.purge.eraser.holds.names()
        for batch in batches(self.purge.stored(mailbox), _LOOK_BATCH):
            survey.stored += len(batch)
            listen(survey.stored)
            for outcome, decision, until in self.purge.workers.map(partial(self._look, now, names), batch):
                if outcome != "kept":
                    survey.add(outcome, decision, until)
        return survey

    def _look(
        self, now: datetime, names: HeldNames, stored: StoredMessage
    ) -> tuple[Outcome, Decision, datetime | None]:
        """Judge a message, and look whether it is held or locked; return until when it is locked, too."""
        decision = self.judge(stored, now)
        if decision.outcome not in DUE:
            return decision.outcome, decision, None
        only = _raw(stored) if decision.outcome == "raw" else None
        blocked = self.purge.eraser.blocked(stored, decision.mailbox, names, only)
        if blocked is None:
            return decision.outcome, decision, None
        return "held" if blocked.held else "locked", decision, blocked.locked_until

    def run(
        self,
        now: datetime,
        stop: Callable[[], bool],
        mailbox: str | None = None,
        listen: Callable[[int], None] = lambda _: None,
    ) -> PurgeReport:
        """Erase what is due; arguments as for `survey`, with the same `now`.

        Args:
            now: from `agreed_time`.
            stop: asked between batches of messages.
            mailbox: only this mailbox.
            listen: called now and then with the number of messages handled.

        Returns:
            What was done, with the error that ended it early, if any; another run does the rest. A mailbox that
            somebody else holds, or whose claim is lost, is left out, and the others are done.
        """
        report = PurgeReport()
        left_out: MailhaulError | None = None
        try:
            for id_, of_one in groupby(self._due(now, mailbox), key=itemgetter(0)):
                try:
                    for found in batches((stored for _, stored in of_one), _CLAIM_BATCH):
                        erase = partial(self._erase, mailbox=id_, now=now, failed=self.purge.failed())
                        self.purge.apply(id_, found, erase, stop, report)
                        listen(report.done)
                except (MailboxBusyError, StaleClaimError) as error:
                    log.warning("retention.left_out", mailbox=id_, error=error.code)
                    left_out = left_out or error
            report.error = left_out
        except StopRequestedError:
            report.stopped = True
        except MailhaulError as error:
            report.error = error
        return report

    def judge(self, stored: StoredMessage, now: datetime) -> Decision:
        """Return what is to be done with a message, apart from holds and locks.

        Raises:
            StoreError: the store is unavailable.
        """
        if (begun := self._begun(stored)) is not None:
            return begun
        record = self._record(stored)
        stored_at = record.stored_at if record is not None else _stored_at(stored)
        if stored_at is None or not self._may_be_due(stored_at, now):
            return Decision("kept")
        manifest = None if stored.manifest is None else self._manifest(stored)
        if manifest is None or manifest.message_key != stored.key:
            return Decision("unprocessed", self.purge.owner(stored), "", stored_at, len(stored.objects), stored.size)
        return self._by_rules(stored, manifest, record, stored_at, now)

    def _by_rules(
        self, stored: StoredMessage, manifest: Manifest, record: RawErased | None, stored_at: datetime, now: datetime
    ) -> Decision:
        mailbox = manifest.mailbox.id
        labels = {*manifest.labels, *(f"{name}={value}" for name, value in manifest.mailbox.labels.items())}
        term = term_of(self.rules, mailbox, labels, stored_at)
        if term.keep_until <= now:
            return Decision("message", mailbox, term.keep_rule, stored_at, len(stored.objects), stored.size)
        raw = next((one for one in stored.sources if one.key == _raw(stored)), None)
        if term.raw_until > now or raw is None or manifest.raw is None or (record is not None and record.complete):
            return Decision("kept")
        if record is None and not _is_stored_elsewhere(manifest, stored):
            return Decision("unread", mailbox, term.raw_rule, stored_at, 1, raw.size)
        left = record or RawErased(
            message_key=stored.key,
            mailbox=mailbox,
            erased_at=now,
            rule=term.raw_rule,
            stored_at=stored_at,
            size=manifest.raw.size,
            sha256=manifest.raw.sha256,
        )
        return Decision("raw", mailbox, left.rule, stored_at, 1, raw.size, left)

    def _due(self, now: datetime, mailbox: str | None) -> Iterator[tuple[str, StoredMessage]]:
        """Yield what is due, with the id of its mailbox: by the manifest, as the folder may be another one's now."""
        for batch in batches(self.purge.stored(mailbox), _LOOK_BATCH):
            decisions = list(self.purge.workers.map(lambda stored: self.judge(stored, now), batch))
            for stored, decision in zip(batch, decisions, strict=True):
                if decision.outcome in DUE:
                    yield decision.mailbox, stored

    def _erase(
        self, stored: StoredMessage, mailbox: str, now: datetime, failed: Mapping[str, FailedMessage]
    ) -> PurgeReport:
        """Judge a message again while its mailbox is claimed, and erase it."""
        eraser = self.purge.eraser
        objects = tuple(self.store.stored(f"{stored.folder}/"))
        if not objects or self.purge.ledger.open_messages([stored.key])[0] is not None:
            return PurgeReport()  # gone, or being processed again
        fresh = replace(stored, objects=objects)
        decision = self.judge(fresh, now)
        if decision.mailbox != mailbox:
            return PurgeReport()  # not the one that is claimed
        if decision.outcome == "message":
            return eraser.erase(fresh, mailbox, failed.get(stored.folder), Reason("retention", decision.rule))
        if decision.outcome != "raw" or decision.record is None or stored.folder in failed:
            return PurgeReport()  # to retry what failed takes the raw mail
        if not self._is_proven(fresh):
            log.error("message.raw_kept", mailbox=mailbox, message=stored.key, rule=decision.rule)
            return PurgeReport(unproven=1)
        return eraser.erase_raw(fresh, mailbox, decision.record)

    def _is_proven(self, stored: StoredMessage) -> bool:
        """Read back the raw mail and all that was found in it; return whether these are the bytes of the manifest.

        What is read is compared chunk by chunk, and nothing of it is kept. Where an interrupted run has emptied the
        raw mail already, there is nothing left to keep.
        """
        if not any(one.size for one in stored.objects if one.key == _raw(stored)):
            return True
        manifest = self._manifest(stored)
        if manifest is None or manifest.raw is None:
            return False
        named = {ref.key: ref for ref in (manifest.raw, *objects_of(manifest))}
        for key, ref in named.items():
            found = hash_object(self.store, key)
            if found is None or (found.size, found.sha256) != (ref.size, ref.sha256):
                return False
        return self._manifest(stored) == manifest

    def _begun(self, stored: StoredMessage) -> Decision | None:
        """Return the decision for a message of which an interrupted purge left something; None for all others."""
        manifest = stored.manifest
        if manifest is None or manifest.size > MOST_BYTES:
            return None
        sources = {one.key for one in stored.sources if not one.size}
        left = [one for one in stored.objects if one.key != manifest.key and one.key not in sources]
        tombstone = read_tombstone(self.store, manifest.key) if left else None
        if tombstone is None:
            return None
        size = sum(one.size for one in left)
        return Decision("message", tombstone.mailbox, tombstone.rule or "", tombstone.purged_at, len(left), size)

    def _may_be_due(self, stored_at: datetime, now: datetime) -> bool:
        """Return whether any rule could be over: most messages are decided here, without reading them."""
        return any(min(rule.keep_until(stored_at), rule.raw_until(stored_at)) <= now for rule in self.rules)

    def _record(self, stored: StoredMessage) -> RawErased | None:
        key = f"{stored.folder}/{keys.RAW_ERASED}"
        if not any(one.key == key for one in stored.objects):
            return None
        return read_raw_erased(self.store, stored.folder)

    def _manifest(self, stored: StoredMessage) -> Manifest | None:
        """Return the manifest; None for a tombstone, and what is damaged or gone."""
        assert stored.manifest is not None
        try:
            with self.store.open(stored.manifest.key) as body:
                return Manifest.model_validate_json(body.read())
        except (ObjectMissingError, ValidationError):
            return None


def _raw(stored: StoredMessage) -> str:
    return f"{stored.folder}/{keys.RAW}"


def _stored_at(stored: StoredMessage) -> datetime | None:
    """Return when the store wrote the raw mail; None if it is gone, or empty: then nothing proves it."""
    times = [one.modified for one in stored.sources if one.size]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def _is_stored_elsewhere(manifest: Manifest, stored: StoredMessage) -> bool:
    """Return whether the raw mail was read as a whole, and all that was found in it is listed with its size.

    That is enough to report it. `_is_proven` reads it back before anything is erased.
    """
    if manifest.parse.status != "complete":
        return False
    sizes = {one.key: one.size for one in stored.objects}
    return all(sizes.get(ref.key) == ref.size for ref in objects_of(manifest))
