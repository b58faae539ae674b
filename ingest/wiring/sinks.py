"""Sinks as the configuration describes them.

Each adapter is imported where a sink of its type is configured: boto3 takes 40 MB and half a second, kombu a tenth of
a second, and confluent-kafka is an extra that may not be installed.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.adapters.sinks.filtered import FilteredSink
from ingest.config.secrets import is_reference
from ingest.config.sinks import (
    AmqpSinkSection,
    EventBridgeSinkSection,
    JsonlSinkSection,
    KafkaSinkSection,
    SnsSinkSection,
    SqsSinkSection,
    WebhookSinkSection,
)
from ingest.errors import ConfigError
from ingest.expressions import Expression

if TYPE_CHECKING:
    from ingest.config import Secrets, SinkSection
    from ingest.ports.sink import Sink


def open_sink(section: SinkSection, secrets: Secrets) -> Sink:
    """Return one sink, which gets only the events that it is to get; see `_open`."""
    where = None if section.where is None else Expression(section.where)
    return FilteredSink(_open(section, secrets), where, section.quarantined)


def _open(section: SinkSection, secrets: Secrets) -> Sink:
    """One sink. Nothing is connected to yet; secrets are read when they are needed, so that new ones are used."""
    match section:
        case JsonlSinkSection():
            from ingest.adapters.sinks.jsonl import JsonLinesSink

            return JsonLinesSink(section.name, section.path)
        case WebhookSinkSection():
            return _webhook(section, secrets)
        case AmqpSinkSection():
            return _amqp(section, secrets)
        case KafkaSinkSection():
            return _kafka(section, secrets)
        case _:
            return _aws(section, secrets)


def sink_fingerprint(section: SinkSection, secrets: Secrets) -> bytes:
    """Return a digest that changes when the options of a sink, one of its secrets, or its CA file changes."""
    digest = hashlib.sha256()
    for name, value in sorted(section.model_dump(mode="json").items()):
        digest.update(json.dumps([name, value]).encode())
        if is_reference(value):
            with suppress(ConfigError):
                digest.update(secrets.read(value).encode())
        elif name == "ca" and value is not None:
            with suppress(OSError):
                digest.update(Path(value).read_bytes())
    return digest.digest()


def _webhook(section: WebhookSinkSection, secrets: Secrets) -> Sink:
    from ingest.adapters.sinks.webhook import WebhookSink

    return WebhookSink(
        section.name,
        section.url,
        lambda: secrets.read(section.secret),
        timeout=section.timeout,
        ca_file=section.ca,
        allow_private=section.allow_private,
        clock=time.time,
    )


def _amqp(section: AmqpSinkSection, secrets: Secrets) -> Sink:
    from ingest.adapters.sinks.amqp import AmqpBroker, AmqpSink, Route

    reference = section.password
    broker = AmqpBroker(
        section.host,
        section.port,
        tls=section.tls,
        virtual_host=section.virtual_host,
        username=section.username or "guest",
        ca_file=section.ca,
    )
    return AmqpSink(
        section.name,
        broker,
        Route(section.exchange or "", section.routing_key if section.exchange else section.queue),
        lambda: secrets.read(reference) if reference else "guest",
        timeout=section.timeout,
        monotonic=time.monotonic,
    )


def _kafka(section: KafkaSinkSection, secrets: Secrets) -> Sink:
    from ingest.adapters.sinks.kafka import Cluster, KafkaSink

    reference = section.password
    cluster = Cluster(
        section.brokers,
        tls=section.tls,
        ca_file=section.ca,
        username=section.username,
        mechanism=section.mechanism.upper(),
    )
    return KafkaSink(
        section.name,
        cluster,
        section.topic,
        lambda: secrets.read(reference) if reference else "",
        timeout=section.timeout,
        monotonic=time.monotonic,
    )


def _aws(section: SqsSinkSection | SnsSinkSection | EventBridgeSinkSection, secrets: Secrets) -> Sink:
    from ingest.adapters.sinks import aws, eventbridge, sns, sqs

    access_key, secret_key = section.access_key, section.secret_key

    def keys() -> aws.Keys | None:
        if access_key is None or secret_key is None:
            return None
        return aws.Keys(secrets.read(access_key), secrets.read(secret_key))

    match section:
        case SqsSinkSection():
            return sqs.sqs_sink(section.name, section.url, region=section.region, keys=keys)
        case SnsSinkSection():
            return sns.sns_sink(section.name, section.topic, aws.Access(endpoint=section.endpoint, keys=keys))
        case EventBridgeSinkSection():
            access = aws.Access(section.region, section.endpoint, keys)
            return eventbridge.eventbridge_sink(section.name, section.bus, access, time.monotonic)
