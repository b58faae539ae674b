"""Events: CloudEvents 1.0 around a manifest.

A repeated event has the same id, because the id follows from type and message key; consumers deduplicate by it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - pydantic resolves it at run time
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ingest.domain.keys import event_id
from ingest.domain.manifest import Manifest, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

# SQS, SNS and EventBridge end at 64 or 256 KiB with everything around the event; 60 KiB fits all of them.
MAX_EVENT_BYTES = 60 * 1024
MAX_EVENT_ATTACHMENTS = 32
# Kept free for a traceparent, so that what an event carries does not depend on whether it is traced.
_TRACEPARENT_BYTES = 128
_ROOM = MAX_EVENT_BYTES - _TRACEPARENT_BYTES


class EventType(StrEnum):
    """What can have happened to a message. The version is part of the type."""

    RECEIVED = "dev.mailhaul.message.received.v1"
    OVERSIZE = "dev.mailhaul.message.oversize.v1"
    FAILED = "dev.mailhaul.message.failed.v1"


class Envelope(Record):
    """CloudEvents 1.0 in JSON, as every sink gets it; a `traceparent` may stand beside these fields."""

    specversion: Literal["1.0"] = Field(default="1.0", description="Of CloudEvents")
    id: str = Field(description="32 hex digits that follow from type and message key; the same on every repeat")
    type: EventType = Field(description="What happened; the version is part of it")
    source: str = Field(description="/mailboxes/{mailbox id}")
    subject: str = Field(description="The message key")
    time: datetime = Field(description="When the event was made")
    datacontenttype: Literal["application/json"] = Field(default="application/json", description="Of `data`")
    data: Manifest = Field(description="The manifest; the same as message.json in the store")


@dataclass(frozen=True, slots=True)
class Event:
    """One event, ready to be sent: its id, the mailbox that orders it, and its JSON text in UTF-8.

    `traceparent` is that of its hand-over to a sink, while that is under way and traced; the stream does not keep it.
    """

    id: str
    type: str
    mailbox: str
    body: bytes
    traceparent: str | None = None

    @property
    def trace_headers(self) -> dict[str, str]:
        """What goes along with its body where it is traced (W3C Trace Context section 3.2), by name."""
        return {} if self.traceparent is None else {"traceparent": self.traceparent}


def make_event(event_type: EventType, manifest: Manifest, time: datetime, traceparent: str | None = None) -> Event:
    """The event that tells of a manifest, cut to what every sink can carry.

    Args:
        event_type: what happened.
        manifest: becomes `data`; above 32 attachments, or 60 KiB in all, only its beginning does, with
            `attachments_truncated` set: the whole is the object named by `manifest`. What is still too large loses
            recipients, references and bodies, then all authors but one and what others said of it, then labels.
        time: when it happened (timezone-aware).
        traceparent: of the step that made it, for CloudEvents' distributed tracing extension; it tells nothing of the
            message, and a repeat may have another one or none.
    """
    bodies = (_encode(event_type, cut, time) for cut in _cuts(manifest))
    body = next(body for body in bodies if len(body) <= _ROOM)
    if traceparent is not None:
        # All the rest is byte for byte what it would be without.
        body = b'{"traceparent":%b,%b' % (json.dumps(traceparent).encode(), body[1:])
    return Event(event_id(event_type, manifest.message_key), event_type, manifest.mailbox.id, body)


def traceparent_of(event: Event) -> str | None:
    """The traceparent that an event was made with, None without."""
    try:
        found = json.loads(event.body).get("traceparent")
    except (ValueError, AttributeError):
        return None  # none that we have made; that is its sinks' business
    return found if isinstance(found, str) else None


def _encode(event_type: EventType, manifest: Manifest, time: datetime) -> bytes:
    envelope = Envelope(
        id=event_id(event_type, manifest.message_key),
        type=event_type,
        source=f"/mailboxes/{manifest.mailbox.id}",
        subject=manifest.message_key,
        time=time,
        data=manifest,
    )
    content = envelope.model_dump(mode="json", by_alias=True)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _cuts(manifest: Manifest) -> Iterator[Manifest]:
    """The manifest, then less and less of it; all that can be long in the last is capped, and fits."""
    keep = min(len(manifest.attachments), MAX_EVENT_ATTACHMENTS)
    while True:
        yield _with_attachments(manifest, keep)
        if keep == 0:
            break
        keep //= 2
    headers = manifest.headers.model_copy(update={"to": [], "cc": [], "reply_to": [], "references": []})
    least = _with_attachments(manifest.model_copy(update={"headers": headers, "bodies": []}), 0)
    yield least
    headers = headers.model_copy(
        update={"from_": headers.from_[:1], "in_reply_to": None, "list_id": None, "auto_submitted": None}
    )
    least = least.model_copy(update={"headers": headers, "authentication": None})
    yield least
    yield least.model_copy(update={"mailbox": least.mailbox.model_copy(update={"labels": {}})})


def _with_attachments(manifest: Manifest, count: int) -> Manifest:
    if count == len(manifest.attachments):
        return manifest
    return manifest.model_copy(update={"attachments": manifest.attachments[:count], "attachments_truncated": True})
