"""A consumer that never finishes its answer, and sends a byte now and then, is unavailable after its time."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.sinks.amqp import AmqpBroker, AmqpSink, Route
from ingest.adapters.sinks.aws import Access, AwsSink
from ingest.adapters.sinks.eventbridge import eventbridge_sink
from ingest.adapters.sinks.kafka import Cluster, KafkaSink
from ingest.adapters.sinks.sns import sns_sink
from ingest.adapters.sinks.sqs import Sqs
from ingest.ports.sink import Verdict
from tests.support.aws import KEYS, REGION
from tests.support.dripping import dripping_servers
from tests.support.http import event

if TYPE_CHECKING:
    from ingest.ports.sink import Sink

# More bytes follow than come within the patience of any sink, and none but the deadline ends the answer.
_HTTP_HEAD = b"HTTP/1.1 200 OK\r\nX-Padding: "
_HTTP_BODY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n"
# A method frame of 64 KiB, a handshake record of TLS of 16 KiB, and a Kafka response of 16 MiB.
_AMQP_FRAME = b"\x01\x00\x00\x00\x01\x00\x00"
_TLS_RECORD = b"\x16\x03\x03\x40\x00"
_KAFKA_RESPONSE = b"\x01\x00\x00\x00"


def aws(kind: str, port: int) -> Sink:
    endpoint = f"http://127.0.1.1:{port}"
    access = Access(REGION, endpoint, lambda: KEYS, connect_timeout=0.5, read_timeout=0.5, attempts=1)
    if kind == "sqs":
        return AwsSink("sink", Sqs(f"{endpoint}/1/mail"), access)
    if kind == "sns":
        return sns_sink("sink", f"arn:aws:sns:{REGION}:1:mail", access)
    return eventbridge_sink("sink", "mail", access, time.monotonic)


def amqp(port: int, *, tls: bool) -> Sink:
    broker = AmqpBroker("127.0.1.1", port, tls=tls)
    return AmqpSink("sink", broker, Route("", "mail"), lambda: "guest", timeout=1, monotonic=time.monotonic)


def kafka(port: int, *, tls: bool) -> Sink:
    cluster = Cluster(f"127.0.1.1:{port}", tls=tls)
    return KafkaSink("sink", cluster, "mail", lambda: "", timeout=1, monotonic=time.monotonic)


@pytest.mark.parametrize("beginning", [_HTTP_HEAD, _HTTP_BODY], ids=["head", "body"])
@pytest.mark.parametrize("kind", ["sqs", "sns", "eventbridge"])
def test_service_of_amazon_that_drips_is_unavailable(kind: str, beginning: bytes) -> None:
    with dripping_servers(1, 0.1, beginning, greets=False) as (server,), closing(aws(kind, server.port)) as sink:
        (outcome,) = sink.deliver([event("e1")])
        assert (outcome.verdict, outcome.reason) == (Verdict.UNAVAILABLE, "timeout")


@pytest.mark.parametrize("tls", [False, True])
def test_amqp_broker_that_drips_is_unavailable(*, tls: bool) -> None:
    with dripping_servers(1, 0.1, _TLS_RECORD if tls else _AMQP_FRAME, greets=False) as (server,):
        with closing(amqp(server.port, tls=tls)) as sink:
            (outcome,) = sink.deliver([event("e1")])
        assert (outcome.verdict, outcome.reason) == (Verdict.UNAVAILABLE, "timeout")


@pytest.mark.parametrize("tls", [False, True])
def test_kafka_broker_that_drips_is_unavailable(*, tls: bool) -> None:
    with dripping_servers(1, 0.1, _TLS_RECORD if tls else _KAFKA_RESPONSE, greets=False) as (server,):
        with closing(kafka(server.port, tls=tls)) as sink:
            (outcome,) = sink.deliver([event("e1")])
        assert outcome.verdict is Verdict.UNAVAILABLE
