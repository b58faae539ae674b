"""The AsyncAPI document names every channel, and describes messages as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ingest.adapters.sinks.aws import attributes_of
from ingest.adapters.sinks.signature import signature_headers
from ingest.config import config_schema
from ingest.domain.events import Event, EventType
from tools.documents.asyncapi import CHANNELS, PAGE, asyncapi
from tools.documents.event_schema import event_schema

if TYPE_CHECKING:
    from collections.abc import Iterator


DOCUMENT = asyncapi()
TRACED = Event("1", "t", "a", b"{}", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def headers(name: str) -> dict[str, Any]:
    """What the document says of the headers of a channel."""
    found: dict[str, Any] = DOCUMENT["channels"][name]["messages"]["MessageReceived"]["headers"]
    return found


def test_every_sink_there_can_be_has_a_channel() -> None:
    sinks = json.dumps(config_schema())
    types = {channel.name for channel in CHANNELS if f'"const": "{channel.name}"' in sinks}
    assert types == {channel.name for channel in CHANNELS} - {"stream"}
    assert len(types) == sinks.count('SinkSection": {')


def test_whatever_it_refers_to_is_there() -> None:
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        file, _, path = reference.partition("#/")
        place: Any = json.loads((PAGE.parent / file).read_text()) if file else DOCUMENT
        for step in path.split("/"):
            place = place[step]


def test_what_asyncapi_asks_for_is_there() -> None:
    """The members that are required, and none that it does not know (its specification, version 3.0.0)."""
    assert DOCUMENT.keys() == {"asyncapi", "info", "defaultContentType", "channels", "operations"}
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    for channel in DOCUMENT["channels"].values():
        assert channel.keys() == {"address", "title", "description", "messages"}
        for message in channel["messages"].values():
            assert message.keys() - {"headers"} == {"name", "title", "summary", "contentType", "payload"}
    for operation in DOCUMENT["operations"].values():
        assert operation.keys() - {"bindings"} == {"action", "channel", "summary"}
        assert operation["action"] == "send"


def test_each_type_of_event_is_a_message_of_each_channel() -> None:
    for channel in DOCUMENT["channels"].values():
        assert [message["name"] for message in channel["messages"].values()] == list(EventType)


def test_messages_are_described_by_the_schema_of_events() -> None:
    definitions = event_schema()["$defs"]
    for channel in DOCUMENT["channels"].values():
        for message in channel["messages"].values():
            name = message["payload"]["$ref"].rpartition("/")[2]
            assert definitions[name]["properties"]["type"] == {"const": message["name"]}


@pytest.mark.parametrize("name", ["sqs", "sns"])
def test_attributes_are_those_that_are_sent(name: str) -> None:
    assert headers(name)["properties"].keys() == attributes_of(TRACED).keys()


def test_headers_of_webhooks_are_those_that_are_sent() -> None:
    sent = {*signature_headers(b"k" * 32, "1", 1, b"{}"), *TRACED.trace_headers}
    assert headers("webhook")["properties"].keys() == sent
    assert set(headers("webhook")["required"]) == sent - {"traceparent"}
