"""Events as they are kept and sent. What makes them of manifests is in `ingest.domain.cloudevents`.

A repeated event has the same id, because the id follows from type and message key; consumers deduplicate by it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ingest.domain.keys import event_id

if TYPE_CHECKING:
    from collections.abc import Iterable

# SQS, SNS and EventBridge accept 64 or 256 KiB, including everything around the event; 60 KiB fits all of them.
MAX_EVENT_BYTES = 60 * 1024


class EventType(StrEnum):
    """What can happen to a message. The version is part of the type."""

    RECEIVED = "dev.mailhaul.message.received.v1"
    OVERSIZE = "dev.mailhaul.message.oversize.v1"
    FAILED = "dev.mailhaul.message.failed.v1"
    UPDATED = "dev.mailhaul.message.updated.v1"


@dataclass(frozen=True, slots=True)
class Event:
    """One event, ready to be sent: its id, its mailbox (events of one mailbox are ordered), and its JSON in UTF-8.

    `traceparent` is that of a traced hand-over to a sink in progress; the stream does not keep it.
    """

    id: str
    type: str
    mailbox: str
    body: bytes
    traceparent: str | None = None

    @property
    def trace_headers(self) -> dict[str, str]:
        """Return the headers to send with the body if the hand-over is traced (W3C Trace Context section 3.2)."""
        return {} if self.traceparent is None else {"traceparent": self.traceparent}


def event_ids(message_keys: Iterable[str], updates: int = 0) -> list[str]:
    """Return the ids of all events that these messages can have.

    Args:
        message_keys: the messages.
        updates: how many updates they had at the most. The id without a number stands for all updates where events
            are erased from the stream.
    """
    return [
        event_id(event_type, key, number)
        for key in message_keys
        for event_type in EventType
        for number in (None, *(range(1, updates + 1) if event_type is EventType.UPDATED else ()))
    ]


def traceparent_of(event: Event) -> str | None:
    """Return the traceparent that an event was made with, None if it has none."""
    try:
        found = json.loads(event.body).get("traceparent")
    except (ValueError, AttributeError):
        return None  # not an event of ours
    return found if isinstance(found, str) else None
