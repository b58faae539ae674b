"""Sinks with a place beside the event put there what traces need, and nothing where nothing is traced."""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.sinks.amqp import AmqpBroker, AmqpSink, Route
from ingest.adapters.sinks.aws import Access, weigh_text
from ingest.adapters.sinks.sns import sns_sink
from ingest.adapters.sinks.sqs import sqs_sink
from ingest.adapters.sinks.webhook import WebhookSink
from tests.support.aws import KEYS, REGION, ScriptedAws
from tests.support.http import SECRET, Receiver, event
from tests.support.rabbitmq import AmqpQueue
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from tests.support.rabbitmq import RabbitMq

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACED = replace(event("e1"), traceparent=TRACEPARENT)


def test_webhook_gets_a_header_and_the_body_as_it_is() -> None:
    with Receiver() as receiver:
        sink = WebhookSink("s", receiver.url, lambda: SECRET, timeout=PATIENCE, clock=time.time, allow_private=True)
        with closing(sink):
            sink.deliver([TRACED, event("e2")])
        traced, plain = receiver.requests
    assert traced.headers["traceparent"] == TRACEPARENT
    assert traced.body == event("e1").body
    assert "traceparent" not in plain.headers


@pytest.mark.parametrize("kind", ["sqs", "sns"])
def test_queues_and_topics_get_an_attribute_which_counts_for_the_size(kind: str) -> None:
    with Receiver() as receiver:
        aws = ScriptedAws(receiver)
        access = Access(REGION, aws.endpoint, lambda: KEYS)
        sink = (
            sqs_sink("s", f"{aws.endpoint}/1/mail", region=REGION, keys=lambda: KEYS)
            if kind == "sqs"
            else sns_sink("s", f"arn:aws:sns:{REGION}:1:mail", access)
        )
        with closing(sink):
            sink.deliver([TRACED, event("e2")])
        traced, plain = (json.dumps(entry) for entry in aws.entries)
    assert TRACEPARENT in traced
    assert "traceparent" not in plain
    assert weigh_text(TRACED) - weigh_text(event("e1")) == len("traceparentString" + TRACEPARENT)


def test_message_of_a_broker_gets_a_header(rabbitmq: RabbitMq) -> None:
    queue = AmqpQueue(rabbitmq)
    broker = AmqpBroker("127.0.0.1", rabbitmq.port, tls=False)
    route = Route("", queue.name)
    with closing(AmqpSink("s", broker, route, lambda: "guest", timeout=PATIENCE, monotonic=time.monotonic)) as sink:
        sink.deliver([TRACED, event("e2")])
    traced, plain = queue.messages()
    queue.delete()
    assert traced.properties["traceparent"] == TRACEPARENT
    assert "traceparent" not in plain.properties
