"""The AsyncAPI 3.0 document: every channel of events, and the messages in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tools.documents.event_schema import FOLDER, KINDS

if TYPE_CHECKING:
    from pathlib import Path

    from tools.documents.event_schema import Kind, Schema

# The version of the events, whose minor versions only add fields; not that of the program.
VERSION = "1.1.0"
PAGE = FOLDER.parent / "asyncapi.json"

_ID = "The event's id; the same on every repeat"
_TYPE = "The event's type"
_MAILBOX = "The mailbox's id"
_TRACE = "W3C Trace Context; only if tracing is enabled"


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of events.

    Attributes:
        name: the type of the sink in a configuration, or `stream`.
        headers: the meaning of each header beside the event, by name.
        bindings: bindings of the protocol, for the operation.
        content_type: the content type of the event.
    """

    name: str
    title: str
    description: str
    headers: dict[str, str] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    bindings: dict[str, Any] = field(default_factory=dict)
    content_type: str = "application/cloudevents+json"


_ATTRIBUTES = {"type": _TYPE, "mailbox": _MAILBOX, "traceparent": _TRACE}
_TRACED = frozenset({"traceparent"})

CHANNELS = (
    Channel(
        "stream",
        "The Redis stream {mailhaul}:events",
        "Always present: it is the outbox. Read it with a consumer group of your own (XREADGROUP, XACK); the field "
        "`body` of an entry is the event, the others are listed here as headers. It is trimmed only behind the "
        "slowest group.",
        {
            "id": _ID,
            "type": _TYPE,
            "mailbox": _MAILBOX,
            "first_seen": "Milliseconds since 1970; missing in a republished event",
            "only": "The sink that the event was republished for; missing if it is for all",
        },
        frozenset({"first_seen", "only"}),
    ),
    Channel(
        "jsonl",
        "A file of JSON Lines",
        "Each event is a line. The file may be rotated.",
    ),
    Channel(
        "webhook",
        "A signed POST to your URL",
        "Signed by Standard Webhooks (https://www.standardwebhooks.com). Any 2xx response acknowledges; 400, 413, "
        "415 and 422 reject the event; 410 disables the sink; everything else is retried, with delays of up to five "
        "minutes.",
        {
            "webhook-id": _ID,
            "webhook-timestamp": "Seconds since 1970, of this attempt; reject what is older than some minutes",
            "webhook-signature": "v1, and base64 of HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`",
            "traceparent": _TRACE,
        },
        _TRACED,
        {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
    ),
    Channel(
        "sqs",
        "A queue of SQS",
        "In a FIFO queue the mailbox is the message group and the event's id the deduplication id.",
        _ATTRIBUTES,
        _TRACED,
    ),
    Channel(
        "sns",
        "A topic of SNS",
        "The attributes serve filter policies. In a FIFO topic the mailbox is the message group.",
        _ATTRIBUTES,
        _TRACED,
    ),
    Channel(
        "eventbridge",
        "A bus of EventBridge",
        "The event is `detail`; `source` is dev.mailhaul, `detail-type` the event's type.",
        content_type="application/json",
    ),
    Channel(
        "amqp",
        "A queue or an exchange of an AMQP 0-9-1 broker",
        "Persistent and mandatory, with publisher confirms; `message_id` is the event's id, `type` its type.",
        {"mailbox": _MAILBOX, "traceparent": _TRACE},
        _TRACED,
        {"amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": "0.3.0"}},
    ),
    Channel(
        "kafka",
        "A topic of Kafka",
        "The mailbox is the record's key, so that all events of a mailbox are in one partition, in order.",
        {"content-type": "application/cloudevents+json", "id": _ID, "type": _TYPE, "traceparent": _TRACE},
        _TRACED,
    ),
)


def asyncapi() -> dict[str, Any]:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Mailhaul",
            "version": VERSION,
            "description": "An event for each message that was fetched from a mailbox, delivered at least once to "
            "every sink. A repeated event has the same id, which is the idempotency key. Within `v1` of a type, "
            "fields are only added.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {f"to_{channel.name}": _operation(channel) for channel in CHANNELS},
    }


def asyncapi_page() -> dict[Path, str]:
    """The generated file and its content."""
    return {PAGE: json.dumps(asyncapi(), indent=2, ensure_ascii=False) + "\n"}


def _channel(channel: Channel) -> dict[str, Any]:
    # Addresses are part of the configuration: none of them is known here.
    about = {"address": None, "title": channel.title, "description": channel.description}
    return {**about, "messages": {kind.name: _message(kind, channel) for kind in KINDS}}


def _message(kind: Kind, channel: Channel) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": kind.type.value,
        "title": kind.name,
        "summary": kind.meaning,
        "contentType": channel.content_type,
        "payload": {"$ref": f"./{FOLDER.name}/event.json#/$defs/{kind.name}"},
    }
    if channel.headers:
        message["headers"] = _headers(channel)
    return message


def _headers(channel: Channel) -> Schema:
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": what} for name, what in channel.headers.items()},
        "required": [name for name in channel.headers if name not in channel.optional],
    }


def _operation(channel: Channel) -> dict[str, Any]:
    reference = {"$ref": f"#/channels/{channel.name}"}
    summary = f"Publish an event: {channel.title}"
    operation: dict[str, Any] = {"action": "send", "channel": reference, "summary": summary}
    return {**operation, "bindings": channel.bindings} if channel.bindings else operation
