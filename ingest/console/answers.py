"""The models of the API's answers. Manifests and events are as everywhere else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from ingest.console.desk import at

if TYPE_CHECKING:
    from ingest.admin.timeline import Step
    from ingest.catalog.queries import Found
    from ingest.console.desk import LetterView, MailboxView, SinkView
    from ingest.console.events import EventPage
    from ingest.domain.message import FailedMessage
    from ingest.ports.actions import RecordedAction


class Answer(BaseModel):
    """Frozen, as everything that crosses a border."""

    model_config = ConfigDict(frozen=True)


class Problem(Answer):
    """RFC 9457."""

    type: str = Field(default="about:blank", description="Always about:blank; `code` names the problem")
    title: str = Field(description="The status in words")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="What is wrong, for people")
    code: str = Field(description="What is wrong, for programs")


class ListedDocument(Answer):
    """A document of a message, as in a list."""

    part: str
    kind: str
    filename: str
    media_type: str
    size: int


class ListedInvoice(Answer):
    """An e-invoice of a message, as in a list."""

    part: str
    format: str
    number: str | None
    issue_date: str | None
    seller: str | None
    buyer: str | None
    currency: str | None
    gross: float | None = Field(description="For comparisons; the manifest has the exact amount")


class ListedMessage(Answer):
    """A message, as in a list."""

    key: str
    mailbox: str
    date: datetime = Field(description="When it was received, else when it was processed")
    subject: str
    sender_name: str
    sender: str
    status: str
    automatic: str | None
    quarantined: bool
    size: int = Field(description="Bytes of the raw message")
    attachments: int
    labels: list[str]
    documents: list[ListedDocument]
    invoices: list[ListedInvoice]


class MessageList(Answer):
    """A page of messages, the newest first."""

    messages: list[ListedMessage]
    next: str | None = Field(description="The `cursor` of the next page; null on the last one")


class MailboxAnswer(Answer):
    """A mailbox at a glance."""

    id: str
    state: str = Field(description="ok, failing, late, paused, disabled or new")
    advice: str = Field(description="What to do; empty if nothing")
    labels: dict[str, str]
    last_success: datetime | None
    last_poll: datetime | None
    result: str = Field(description="Of the last poll, as in the metrics")
    backlog_messages: int
    backlog_bytes: int
    troubled: int
    failed: int
    messages: int = Field(description="In the catalog")
    recent: int = Field(description="In the catalog, of the last 24 hours")


class SinkAnswer(Answer):
    """A consumer at a glance."""

    name: str
    state: str = Field(description="ok, unavailable or disabled")
    words: str
    waiting: int = Field(description="Events that it has not confirmed")
    oldest_age: float = Field(description="Seconds")
    delivered_at: datetime | None
    dead_letters: int


class FailureAnswer(Answer):
    """A failed message."""

    key: str
    mailbox: str
    reason: str
    tries: int
    failed_at: datetime
    received_at: datetime | None


class DeadLetterAnswer(Answer):
    """An event that a consumer rejected."""

    id: str
    type: str
    mailbox: str
    appended: datetime
    retrying: bool = Field(description="false: a person has to retry or drop it")
    message: str = Field(description="The message key")
    answer: str = Field(description="Code of the last answer, such as http_400; empty if not known")
    tries: int | None = Field(description="How many times it was sent; null if not known")


class ListedEvent(Answer):
    """An event of the stream."""

    position: str
    published: datetime
    event: dict[str, Any] = Field(description="CloudEvents 1.0")


class EventList(Answer):
    """Events of the stream, the oldest first."""

    events: list[ListedEvent]
    next: str = Field(description="The `cursor` to go on from, also where there are no events yet")
    lost: bool = Field(description="Whether events may have been removed before they were read")


class StepAnswer(Answer):
    """A step of a message's way."""

    what: str = Field(description="listed, stored, raw_erased, processed, updated, failed, published or delivered")
    at: datetime | None = Field(
        description="When; of a delivery, when it was answered, or when the catalog first saw it if `tries` is null"
    )
    state: str = Field(description="done, waiting, retrying, dead_lettered, failed or unknown")
    sink: str | None
    note: str
    answer: str = Field(description="Code of the consumer's last answer, such as http_204; empty if not known")
    tries: int | None = Field(description="How many times it was sent until then; null if not known")


class ActionAnswer(Answer):
    """What somebody did. Empty fields are those that it was not about."""

    at: datetime
    user: str = Field(description="Who did it: the name of a token or a user; `local` on this machine")
    what: str = Field(description="Such as poll, pause, retry or drop")
    result: str = Field(description="done, or the code of the problem that stopped it")
    mailbox: str
    message: str = Field(description="Its key")
    sink: str
    event_id: str
    count: int | None = Field(description="Of messages or events, where it was about many")


class ActionList(Answer):
    """A page of actions, the latest first."""

    actions: list[ActionAnswer]
    next: str | None = Field(description="The `cursor` of the next page; null on the last one")


class StatusAnswer(Answer):
    """The state of the system."""

    mailboxes: int
    counts: dict[str, int]
    polling_stopped: bool
    last_tick: datetime | None
    catalog_rebuilding: bool


def listed(found: Found) -> ListedMessage:
    """Return a message as in a list."""
    row: dict[str, Any] = {**found.row, "date": at(found.row["date"])}
    return ListedMessage(
        **row,
        labels=found.labels,
        documents=[ListedDocument(**one) for one in found.documents],
        invoices=[ListedInvoice(**one) for one in found.invoices],
    )


def mailbox_answer(view: MailboxView) -> MailboxAnswer:
    """Return a mailbox."""
    times = {"last_success": at(view.last_success), "last_poll": at(view.last_poll)}
    return MailboxAnswer(**{**_fields(view), **times})


def sink_answer(view: SinkView) -> SinkAnswer:
    """Return a consumer."""
    return SinkAnswer(**{**_fields(view), "delivered_at": at(view.delivered_at)})


def failure_answer(one: FailedMessage) -> FailureAnswer:
    """Return a failed message."""
    message = one.message
    return FailureAnswer(
        key=message.key,
        mailbox=message.mailbox,
        reason=one.reason,
        tries=one.tries,
        failed_at=one.failed_at,
        received_at=message.received_at,
    )


def dead_letter_answer(view: LetterView) -> DeadLetterAnswer:
    """Return a rejected event."""
    event, appended = view.rejected.entry.event, at(view.rejected.entry.appended)
    assert appended is not None
    return DeadLetterAnswer(
        id=event.id,
        type=event.type,
        mailbox=event.mailbox,
        appended=appended,
        retrying=view.rejected.retrying,
        message=view.message,
        answer=view.last.failure if view.last else "",
        tries=view.last.tries if view.last else None,
    )


def event_list(page: EventPage) -> EventList:
    """Return events of the stream."""
    events = [
        ListedEvent(position=entry.position, published=datetime.fromtimestamp(entry.appended, UTC), event=event)
        for entry, event in page.entries
    ]
    return EventList(events=events, next=page.next, lost=page.lost)


def step_answer(step: Step) -> StepAnswer:
    """Return a step of a message's way."""
    return StepAnswer(**{**_fields(step), "at": at(step.at)})


def action_list(found: list[RecordedAction], limit: int) -> ActionList:
    """Return a page of actions.

    Args:
        found: the actions, one more than fit if there is another page.
        limit: how many fit.
    """
    actions = [ActionAnswer(at=at(one.at), **_fields(one.action)) for one in found[:limit]]
    return ActionList(actions=actions, next=found[limit - 1].position if len(found) > limit else None)


def _fields(view: Any) -> dict[str, Any]:
    return {name: getattr(view, name) for name in view.__dataclass_fields__}
