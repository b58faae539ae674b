"""Events: CloudEvents 1.0 around a manifest.

A repeated event has the same id, because the id follows from type and message key; consumers deduplicate by it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ingest.domain.keys import event_id

if TYPE_CHECKING:
    from datetime import datetime

    from ingest.domain.manifest import Manifest

# SQS, SNS and EventBridge end at 64 or 256 KiB with everything around the event; 60 KiB fits all of them.
MAX_EVENT_OCTETS = 60 * 1024
MAX_EVENT_ATTACHMENTS = 32
# Kept free for a traceparent, so that what an event carries does not depend on whether it is traced.
_TRACEPARENT_OCTETS = 128
_ROOM = MAX_EVENT_OCTETS - _TRACEPARENT_OCTETS


class EventType(StrEnum):
    """What can have happened to a message. The version is part of the type."""

    RECEIVED = "dev.mailhaul.message.received.v1"
    OVERSIZE = "dev.mailhaul.message.oversize.v1"
    FAILED = "dev.mailhaul.message.failed.v1"


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
            `attachments_truncated` set: the whole is the object named by `manifest`.
        time: when it happened (timezone-aware).
        traceparent: of the step that made it, for CloudEvents' distributed tracing extension; it tells nothing of the
            message, and a repeat may have another one or none.
    """
    keep = min(len(manifest.attachments), MAX_EVENT_ATTACHMENTS)
    while True:
        body = _encode(event_type, manifest, time, keep)
        if len(body) <= _ROOM or keep == 0:
            break
        keep //= 2
    if len(body) > _ROOM:
        body = _encode(event_type, _without_long_headers(manifest), time, 0)
    if traceparent is not None:
        # All the rest is octet for octet what it would be without.
        body = b'{"traceparent":%b,%b' % (json.dumps(traceparent).encode(), body[1:])
    return Event(event_id(event_type, manifest.message_key), event_type, manifest.mailbox.id, body)


def traceparent_of(event: Event) -> str | None:
    """The traceparent that an event was made with, None without."""
    try:
        found = json.loads(event.body).get("traceparent")
    except (ValueError, AttributeError):
        return None  # none that we have made; that is its sinks' business
    return found if isinstance(found, str) else None


def _encode(event_type: EventType, manifest: Manifest, time: datetime, keep: int) -> bytes:
    data: dict[str, Any] = manifest.model_dump(mode="json", by_alias=True)
    if keep < len(manifest.attachments):
        data["attachments"] = data["attachments"][:keep]
        data["attachments_truncated"] = True
    envelope = {
        "specversion": "1.0",
        "id": event_id(event_type, manifest.message_key),
        "type": str(event_type),
        "source": f"/mailboxes/{manifest.mailbox.id}",
        "subject": manifest.message_key,
        "time": time.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": data,
    }
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _without_long_headers(manifest: Manifest) -> Manifest:
    """The last resort for labels and headers that fill an event by themselves."""
    headers = manifest.headers.model_copy(update={"to": [], "cc": [], "reply_to": [], "references": []})
    return manifest.model_copy(update={"headers": headers, "bodies": []})
