"""Process claimed messages: process each and publish its event, or decide when to try again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.domain.cloudevents import event_of, failed_event, updated_event
from ingest.domain.message import FailedMessage
from ingest.domain.retry import MESSAGE_TRIES, Fail, after_message_error
from ingest.domain.seen import StoredAt
from ingest.errors import (
    MailhaulError,
    MessageError,
    ObjectMissingError,
    StaleClaimError,
    StoreCorruptError,
    StoreError,
    WorkerDiedError,
)
from ingest.ports.claims import Renewal
from ingest.ports.tracing import NO_TRACING, Attributes, Span, Step, Tracer
from ingest.ports.wakeups import Queue, Wakeups
from ingest.usecases.claims import MESSAGES_PER_CLAIM, work_off
from ingest.usecases.process.reprocessing import Reprocessor

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ingest.domain.events import Event
    from ingest.domain.manifest import Manifest
    from ingest.domain.message import OpenMessage
    from ingest.metrics import Metrics
    from ingest.ports.claims import Claim
    from ingest.ports.ledger import Ledger
    from ingest.usecases.backpressure import MemoryPressure
    from ingest.usecases.claims import LeaseKeeper
    from ingest.usecases.process.processor import Processor
    from ingest.usecases.process.retraction import Retraction

log = get_logger()

# Seconds after which another worker may try a message, whatever this one still does with it. The largest takes
# minutes.
LONGEST = 3600.0
# Seconds until a purged message is closed whose mailbox is being polled or purged.
MAILBOX_BUSY_SECONDS = 10.0


@dataclass(slots=True)
class _Ahead:
    """What one loop handles next, begun in the step that closed the message before, which saves a round trip.

    Attributes:
        following: the claim that is handled next.
        begun: its message, once its attempt has begun.
    """

    following: Claim | None = None
    begun: OpenMessage | None = None

    def announce(self, following: Claim | None) -> None:
        """Set the claim that is handled after the next one."""
        self.following = following

    def take(self, claim: Claim) -> OpenMessage | None:
        """Return the message of a claim if its attempt has begun, and forget it."""
        begun, self.begun = self.begun, None
        return begun if begun is not None and begun.key == claim.id else None


@dataclass(frozen=True, slots=True)
class ProcessStage:
    """Processes due messages. A message that cannot be processed is tried again, and fails after the last try.

    Attributes:
        store_id: returns the id that this process's store carries. A message may be open for another store: one of
            two processes has an older configuration.
    """

    processor: Processor
    retraction: Retraction
    ledger: Ledger
    store_id: Callable[[], bytes]
    wakeups: Wakeups
    metrics: Metrics
    keeper: LeaseKeeper
    now: Callable[[], datetime]
    random: Callable[[], float]
    pressure: MemoryPressure
    tracer: Tracer = NO_TRACING

    def run(self, stop: Callable[[], bool]) -> int:
        """Claim due messages in small batches until none is due, or the ledger's memory is nearly full.

        Returns how many were handled.

        Raises:
            LedgerError: the ledger is unavailable; claims that are held expire.
        """

        def stop_now() -> bool:
            return stop() or self.pressure.high()

        ahead = _Ahead()
        return work_off(
            self.ledger.messages,
            lambda claim: self.handle(claim, ahead),
            lease=self.keeper.seconds,
            stop=stop_now,
            batch=MESSAGES_PER_CLAIM,
            announce=ahead.announce,
        )

    def handle(self, claim: Claim, ahead: _Ahead | None = None) -> None:
        """Process one claimed message, and complete it, release it for another try, or fail it."""
        ahead = ahead or _Ahead()
        try:
            message = ahead.take(claim) or self.ledger.begin(claim)
        except StaleClaimError:
            return  # it was claimed too long ago, and is another worker's now
        if message is None:
            self.ledger.messages.drop([claim.id])
            return
        about: Attributes = {"mailbox": message.mailbox, "message": message.key, "tries": claim.tries}
        with self.tracer.start(Step.PROCESS, message.traceparent, **about) as span:
            self._handle(claim, message, span, ahead)

    def _handle(self, claim: Claim, message: OpenMessage, span: Span, ahead: _Ahead) -> None:
        if claim.tries > MESSAGE_TRIES:
            # Each attempt began and did not end: the process died or was killed.
            self._retry_or_fail(claim, message, WorkerDiedError("its worker died"), span)
            return
        manifest = None
        try:
            with self.keeper.hold(self.ledger.messages, claim, LONGEST) as lease:
                manifest, content = self._processed(
                    message, lambda: self.keeper.confirm(lease), Renewal(claim, self.keeper.seconds)
                )
                lease.check()
                if manifest is not None:
                    self._count_quarantine(message, manifest)
                event = self._event(message, manifest, content, span)
                ahead.begun = self.ledger.complete(claim, self._here(message), event, ahead.following)
        except MailhaulError as error:
            self._retry_or_fail(claim, message, error, span, written=manifest is not None)
        except Exception:  # one message must not stop the others, not even through a bug
            log.exception("message.bug", mailbox=message.mailbox, message=message.key)
            self._retry_or_fail(claim, message, MessageError("unexpected error"), span)
        else:
            if manifest is not None:
                self._report(message, manifest, span)

    def _processed(
        self, message: OpenMessage, confirm: Callable[[], None], renewal: Renewal
    ) -> tuple[Manifest | None, bytes | None]:
        """Process a message, or update it; returns its manifest, None if there is nothing to update, and its JSON."""
        if message.update is None:
            return self.processor.process(message, confirm, renewal)
        return Reprocessor(self.processor, self.now).update(message, confirm), None

    def _event(
        self, message: OpenMessage, manifest: Manifest | None, content: bytes | None, span: Span
    ) -> Event | None:
        if manifest is None or not message.publish:
            return None
        if message.update is not None:
            return updated_event(manifest, self.now(), span.traceparent)
        return event_of(manifest, self.now(), span.traceparent, content)

    def _count_quarantine(self, message: OpenMessage, manifest: Manifest) -> None:
        if manifest.quarantine is not None:
            self.ledger.record_quarantined(message.key)
        elif message.update is not None:
            self.ledger.release_quarantined([message.key])

    def _here(self, message: OpenMessage) -> OpenMessage:
        """Return the message as one that was handled in this process's store."""
        store_id = self.store_id().hex()
        return message if message.store_id == store_id else message.model_copy(update={"store_id": store_id})

    def _report(self, message: OpenMessage, manifest: Manifest, span: Span) -> None:
        self.metrics.count("messages_total", "processed" if message.update is None else "updated")
        if manifest.quarantine is not None:
            self.metrics.count("messages_total", "quarantined")
            log.warning(
                "message.quarantined",
                mailbox=message.mailbox,
                message=message.key,
                rule=manifest.quarantine.rule,
            )
        self._log_done(message, len(manifest.attachments), manifest.parse.defects, span)
        self.wakeups.send(Queue.RELAY)

    def _retry_or_fail(
        self, claim: Claim, message: OpenMessage, error: MailhaulError, span: Span, *, written: bool = False
    ) -> None:
        span.fail(error.code)
        may_be_purged = isinstance(error, StaleClaimError | StoreCorruptError | ObjectMissingError)
        if may_be_purged and self._retracted(message, written=written):
            self._close_purged(claim, message)
            return
        if isinstance(error, StoreCorruptError):
            self.metrics.count("store_requests_total", "get", "corrupt")  # raises the alert
        elif isinstance(error, ObjectMissingError) and message.update is None:
            self._fetch_again(message)
        decision = after_message_error(error, claim.tries, self.random())
        if isinstance(decision, Fail):
            self._fail(claim, message, error, span)
            return
        tries = claim.tries if decision.counted else claim.tries - 1
        self.ledger.messages.release(claim, decision.pause, tries)
        log.warning(
            "message.retrying",
            mailbox=message.mailbox,
            message=message.key,
            error=error.code,
            tries=claim.tries,
            seconds=round(decision.pause, 1),
        )

    def _retracted(self, message: OpenMessage, *, written: bool) -> bool:
        """Remove what was written of a message after it was purged; returns whether it was purged."""
        try:
            purged = self.retraction.retract(message, self.now(), written=written)
        except StoreError as error:
            log.warning("message.not_retracted", mailbox=message.mailbox, message=message.key, error=error.code)
            return False
        if purged:
            log.warning("message.retracted", mailbox=message.mailbox, message=message.key)
        return purged

    def _close_purged(self, claim: Claim, message: OpenMessage) -> None:
        """Close a message that was purged.

        The purge has done so. But a ledger that was restored, or a process that was stopped and had another store,
        may have opened the message again. While the mailbox is being polled, another attempt is made later.
        """
        if not self._in_mailbox(message, lambda mailbox: self.ledger.drop_purged(mailbox, [message.key])):
            self.ledger.messages.release(claim, MAILBOX_BUSY_SECONDS, claim.tries - 1)

    def _fetch_again(self, message: OpenMessage) -> None:
        """Let the next poll fetch a message whose raw object is gone, so that the next attempt may find it again.

        While the mailbox is being polled nothing is done; the next attempt tries it again.
        """

        def forget(mailbox: Claim) -> None:
            records = self.ledger.seen(message.mailbox).records.items()
            stored = ((digest, StoredAt.unpack(record.stored_at)) for digest, record in records)
            gone = {digest for digest, at in stored if at is not None and at.key == message.key}
            if self.ledger.forget(mailbox, gone):
                log.warning("message.forgotten", mailbox=message.mailbox, message=message.key)

        self._in_mailbox(message, forget)

    def _in_mailbox(self, message: OpenMessage, act: Callable[[Claim], object]) -> bool:
        """Do something with a claim on the mailbox of a message; return False if the mailbox is being polled."""
        ledger = self.ledger
        claim = ledger.mailboxes.claim_one(message.mailbox, self.keeper.seconds)
        if claim is None:
            return False
        with suppress(StaleClaimError):
            act(claim)
        if not ledger.unschedule(claim):
            ledger.mailboxes.release(claim, max(0.0, -claim.late), claim.tries - 1)
        return True

    def _fail(self, claim: Claim, message: OpenMessage, error: MailhaulError, span: Span) -> None:
        now = self.now()
        with suppress(StoreError):
            message = self._here(message)
        if message.update is not None:
            # It stays as it was processed before.
            self.ledger.complete(claim, message, None)
            log.error("message.not_updated", mailbox=message.mailbox, message=message.key, error=error.code)
            return
        failed = FailedMessage(message=message, reason=error.code, tries=claim.tries, failed_at=now)
        event = failed_event(message, error.code, now, span.traceparent) if message.publish else None
        self.ledger.fail(claim, failed, event)
        self.metrics.count("messages_total", "failed")
        log.error("message.failed", mailbox=message.mailbox, message=message.key, error=error.code)
        self.wakeups.send(Queue.RELAY)

    def _log_done(self, message: OpenMessage, attachments: int, defects: list[str], span: Span) -> None:
        span.note(size_bytes=message.source.size, attachments=attachments, defects=len(defects))
        log.info(
            "message.done",
            mailbox=message.mailbox,
            message=message.key,
            size_bytes=message.source.size,
            attachments=attachments,
            defects=len(defects),
        )
