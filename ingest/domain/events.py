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


class EventType(StrEnum):
    """What can have happened to a message. The version is part of the type."""

    RECEIVED = "dev.mailhaul.message.received.v1"
    OVERSIZE = "dev.mailhaul.message.oversize.v1"
    FAILED = "dev.mailhaul.message.failed.v1"


@dataclass(frozen=True, slots=True)
class Event:
    """One event, ready to be sent: its id, the mailbox that orders it, and its JSON text in UTF-8."""

    id: str
    type: str
    mailbox: str
    body: bytes


def make_event(event_type: EventType, manifest: Manifest, time: datetime) -> Event:
    """The event that tells of a manifest, cut to what every sink can carry.

    Args:
        event_type: what happened.
        manifest: becomes `data`; above 32 attachments, or 60 KiB in all, only its beginning does, with
            `attachments_truncated` set: the whole is the object named by `manifest`.
        time: when it happened (timezone-aware).
    """
    keep = min(len(manifest.attachments), MAX_EVENT_ATTACHMENTS)
    while True:
        body = _encode(event_type, manifest, time, keep)
        if len(body) <= MAX_EVENT_OCTETS or keep == 0:
            break
        keep //= 2
    if len(body) > MAX_EVENT_OCTETS:
        body = _encode(event_type, _without_long_headers(manifest), time, 0)
    return Event(event_id(event_type, manifest.message_key), event_type, manifest.mailbox.id, body)


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
