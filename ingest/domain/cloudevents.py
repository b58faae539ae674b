"""CloudEvents 1.0 around a manifest, cut to the size that every sink can carry."""

from __future__ import annotations

import json
from datetime import datetime  # noqa: TC003 - pydantic resolves it at run time
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from pydantic_core import PydanticSerializationError

from ingest.domain.events import MAX_EVENT_BYTES, Event, EventType
from ingest.domain.keys import event_id
from ingest.domain.mail import Headers
from ingest.domain.manifest import Manifest, Parse, manifest_of
from ingest.domain.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.domain.message import OpenMessage

MAX_EVENT_ATTACHMENTS = 32
MAX_EVENT_CHANGES = 32
# Reserved for a traceparent, so that the content of an event does not depend on whether it is traced.
_TRACEPARENT_BYTES = 128
_ROOM = MAX_EVENT_BYTES - _TRACEPARENT_BYTES
# Header fields that an event loses when it is too large without its attachments, those that say least first.
_FIRST_FIELDS_TO_GO: dict[str, Any] = {
    **{name: [] for name in ("to", "cc", "bcc", "reply_to", "references", "list_unsubscribe")},
    "resent": None,
    "extra": {},
}
_INVOICE_FIELDS = ".invoice.fields"
_NEXT_FIELDS_TO_GO = dict.fromkeys(
    ("in_reply_to", "list_id", "auto_submitted", "sender", "precedence", "thread_index"), None
)


class _Head(Record):
    """What CloudEvents asks for besides `data`, which follows behind it."""

    specversion: Literal["1.0"] = Field(default="1.0", description="Of CloudEvents")
    id: str = Field(
        description="32 hex digits that follow from type and message key, with the number of an update behind them; "
        "the same on every repeat"
    )
    type: EventType = Field(description="What happened; the version is part of it")
    source: str = Field(description="/mailboxes/{mailbox id}")
    subject: str = Field(description="The message key")
    time: datetime = Field(description="When the event was made")
    datacontenttype: Literal["application/json"] = Field(default="application/json", description="Of `data`")


class Envelope(_Head):
    """CloudEvents 1.0 in JSON, as every sink gets it; a `traceparent` may be added to these fields."""

    data: Manifest = Field(description="The manifest, without the fields of e-invoices")


def make_event(
    event_type: EventType,
    manifest: Manifest,
    time: datetime,
    traceparent: str | None = None,
    content: bytes | None = None,
) -> Event:
    """Return the event of a manifest, cut to the size that every sink can carry.

    Args:
        event_type: what happened.
        manifest: becomes `data`, without the fields of e-invoices. Above 32 attachments, or 60 KiB in all, only the
            first attachments are kept, and `attachments_truncated` is set; the object named by `manifest` has all of
            them. An event that is still too large loses recipients, references, extra fields, bodies, `rules` and
            the changes of an update, then all authors but the first, the envelope, the authentication results and
            what made it automatic, then the labels of the mailbox.
        time: when it happened (timezone-aware).
        traceparent: of the step that made the event, for CloudEvents' distributed tracing extension. It says nothing
            about the message; a repeated event may have another one or none.
        content: the manifest's JSON, where it was written just now. Most events have all of it, and it need not be
            made again.
    """
    head = _Head(
        id=_id(event_type, manifest),
        type=event_type,
        source=f"/mailboxes/{manifest.mailbox.id}",
        subject=manifest.message_key,
        time=time,
    )
    body = b""
    for cut in _cuts(_without_fields(manifest)):
        body = _encode(head, cut, content if cut is manifest else None)
        if len(body) <= _ROOM:
            break
    if traceparent is not None:
        # The rest is byte for byte the same as without it.
        body = b'{"traceparent":%b,%b' % (json.dumps(traceparent).encode(), body[1:])
    return Event(head.id, event_type, manifest.mailbox.id, body)


def event_of(
    manifest: Manifest, time: datetime, traceparent: str | None = None, content: bytes | None = None
) -> Event:
    """Return the event of a manifest that was written; the other arguments are as for `make_event`."""
    oversize = manifest.parse.status == "oversize"
    return make_event(EventType.OVERSIZE if oversize else EventType.RECEIVED, manifest, time, traceparent, content)


def updated_event(manifest: Manifest, time: datetime, traceparent: str | None = None) -> Event:
    """Return the event of a manifest's last update; `time` and `traceparent` as for `make_event`."""
    return make_event(EventType.UPDATED, manifest, time, traceparent)


def events_of(manifest: Manifest, time: datetime) -> list[Event]:
    """Return the events of a manifest as they were published: its own, and that of its last update."""
    return [event_of(manifest, time), *([updated_event(manifest, time)] if manifest.update is not None else [])]


def failed_event(message: OpenMessage, reason: str, time: datetime, traceparent: str | None = None) -> Event:
    """Return the event of a message that failed; its raw mail is stored, a manifest is not.

    Args:
        message: the message.
        reason: the code of its last error.
        time: when it failed (timezone-aware).
        traceparent: as for `make_event`.
    """
    manifest = manifest_of(message, Headers(), Parse(status="failed", reason=reason))
    return make_event(EventType.FAILED, manifest.model_copy(update={"manifest": None}), time, traceparent)


def _encode(head: _Head, manifest: Manifest, content: bytes | None) -> bytes:
    try:
        return b'%b,"data":%b}' % (head.model_dump_json().encode()[:-1], content or manifest.to_json())
    except PydanticSerializationError:  # a lone surrogate, which UTF-8 cannot hold
        written = head.model_dump(mode="json") | {"data": manifest.model_dump(mode="json", by_alias=True)}
        return json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _id(event_type: EventType, manifest: Manifest) -> str:
    number = manifest.update.number if manifest.update is not None and event_type is EventType.UPDATED else None
    return event_id(event_type, manifest.message_key, number)


def _with_changes(manifest: Manifest, count: int) -> Manifest:
    """Keep so many changes of the last update, without values of e-invoices, and no superseded objects."""
    if manifest.update is None:
        return manifest
    changes = [
        change.model_copy(update={"before": None, "after": None}) if _INVOICE_FIELDS in change.path else change
        for change in manifest.update.changes[:count]
    ]
    return manifest.model_copy(
        update={"update": manifest.update.model_copy(update={"changes": changes, "superseded": []})}
    )


def _without_fields(manifest: Manifest) -> Manifest:
    """Leave out what e-invoices say: amounts, accounts and tax ids go to those who may read the store."""
    manifest = _with_changes(manifest, MAX_EVENT_CHANGES)
    if all(attachment.invoice is None or attachment.invoice.fields is None for attachment in manifest.attachments):
        return manifest
    attachments = [
        attachment
        if attachment.invoice is None
        else attachment.model_copy(update={"invoice": attachment.invoice.model_copy(update={"fields": None})})
        for attachment in manifest.attachments
    ]
    return manifest.model_copy(update={"attachments": attachments})


def _cuts(manifest: Manifest) -> Iterator[Manifest]:
    """Yield the manifest, then ever smaller versions of it; the last one always fits, since its fields are capped."""
    keep = min(len(manifest.attachments), MAX_EVENT_ATTACHMENTS)
    yield _with_attachments(manifest, keep)
    # A nested message has headers of its own; its attachments say more, and the manifest keeps them all.
    plain = [each.model_copy(update={"message": None}) for each in manifest.attachments]
    manifest = manifest.model_copy(update={"attachments": plain})
    while True:
        yield _with_attachments(manifest, keep)
        if keep == 0:
            break
        keep //= 2
    headers = manifest.headers.model_copy(update=_FIRST_FIELDS_TO_GO)
    automatic = manifest.automatic and manifest.automatic.model_copy(update={"recipients": []})
    least = manifest.model_copy(update={"headers": headers, "automatic": automatic, "bodies": [], "rules": []})
    least = _with_changes(_with_attachments(least, 0), 0)
    yield least
    headers = headers.model_copy(update={"from_": headers.from_[:1], **_NEXT_FIELDS_TO_GO})
    least = least.model_copy(update={"headers": headers, "envelope": None, "authentication": None, "automatic": None})
    yield least
    yield least.model_copy(update={"mailbox": least.mailbox.model_copy(update={"labels": {}})})


def _with_attachments(manifest: Manifest, count: int) -> Manifest:
    if count == len(manifest.attachments):
        return manifest
    kept = manifest.attachments[:count]
    paths = {attachment.part for attachment in kept}
    documents = [document for document in manifest.documents if document.main in paths]
    return manifest.model_copy(update={"attachments": kept, "attachments_truncated": True, "documents": documents})
