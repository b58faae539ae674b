"""The options of sinks. The docstring below an option is what editors show of it."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, Field, model_validator

from ingest.config.fields import FilePath, HttpUrl, Line, Name, split_url
from ingest.config.secrets import SecretRef  # noqa: TC001 - pydantic resolves it at run time
from ingest.config.section import Section
from ingest.config.units import Deadline  # noqa: TC001 - as above

_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,251}(\.fifo)?")
_BUS = re.compile(r"arn:aws[a-z-]*:events:[a-z0-9-]+:[0-9]{12}:event-bus/[/.\w-]{1,256}|[/.\w-]{1,256}", re.ASCII)
_BROKER = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")
_LARGEST_PORT = 65_535
_PORTS = {"amqp": 5672, "amqps": 5671}


def _topic(value: str) -> str:
    if not _TOPIC.fullmatch(value):
        raise ValueError("write the ARN of the topic, as in arn:aws:sns:eu-central-1:123456789012:mail")
    return value


def _bus(value: str) -> str:
    if not _BUS.fullmatch(value):
        raise ValueError("write the name of the bus, as in `default`, or its ARN")
    return value


def _queue_url(value: str) -> str:
    if len([step for step in split_url(value).path.split("/") if step]) < 1:
        raise ValueError("write the URL of the queue, as in https://sqs.eu-central-1.amazonaws.com/123456789012/mail")
    return value


def _amqp_url(value: str) -> str:
    parts = split_url(value)
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("write amqps://host:5671/virtual-host, or amqp:// without TLS")
    if parts.username is not None or parts.password is not None:
        raise ValueError("write the user as `username`, and where its password is as `password`")
    return value


def _brokers(value: str) -> str:
    parts = value.split(",")
    if not all(_BROKER.fullmatch(part) and 1 <= int(part.rpartition(":")[2]) <= _LARGEST_PORT for part in parts):
        raise ValueError("write host:port of one broker or more, with commas between them")
    return value


class _Sink(Section):
    """What all sinks may have."""

    name: Name
    """Left out: the type, numbered from the second on. It names the sink's place in the stream, so keep it."""
    start: Literal["beginning", "now"] = "beginning"
    """For a sink that is added later: from the oldest event that the stream still has, or from now on."""


class JsonlSinkSection(_Sink):
    """A file to which each event is appended as one line."""

    type: Literal["jsonl"]
    path: FilePath


class WebhookSinkSection(_Sink):
    """An address to which each event is posted, signed as Standard Webhooks says."""

    type: Literal["webhook"]
    url: HttpUrl
    secret: SecretRef
    """`whsec_` and base64 of 24 to 64 bytes."""
    timeout: Deadline = 10.0
    """For one request as a whole."""
    ca: FilePath | None = None
    """PEM certificates to trust instead of the system's."""
    allow_private: bool = False
    """`true` lets the address lead into private networks or to this machine."""


class _AwsSink(_Sink):
    """What is needed to sign requests to Amazon."""

    access_key: SecretRef | None = None
    """Left out, credentials are taken from where the AWS tools take them."""
    secret_key: SecretRef | None = None
    """Belongs to the access key."""

    @model_validator(mode="after")
    def _both_keys(self) -> _AwsSink:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("write both access_key and secret_key, or neither")
        return self


class SqsSinkSection(_AwsSink):
    """A queue of SQS to which each event is sent as a message."""

    type: Literal["sqs"]
    url: Annotated[HttpUrl, AfterValidator(_queue_url)]
    """Of the queue, as SQS shows it. One that ends in `.fifo` keeps the order of each mailbox."""
    region: Line | None = None
    """Left out, the one in the address, else where the AWS tools take it from."""


class SnsSinkSection(_AwsSink):
    """A topic of SNS to which each event is published."""

    type: Literal["sns"]
    topic: Annotated[str, AfterValidator(_topic)]
    """Its ARN. One that ends in `.fifo` keeps the order of each mailbox."""
    endpoint: HttpUrl | None = None
    """Of a server other than Amazon's."""


class EventBridgeSinkSection(_AwsSink):
    """A bus of EventBridge on which each event is put."""

    type: Literal["eventbridge"]
    bus: Annotated[str, AfterValidator(_bus)] = "default"
    """Its name or ARN."""
    region: Line | None = None
    """Left out, the one in the ARN, else where the AWS tools take it from."""
    endpoint: HttpUrl | None = None
    """Of a server other than Amazon's."""


class AmqpSinkSection(_Sink):
    """An AMQP 0-9-1 broker, as RabbitMQ, to which each event is published as a persistent message."""

    type: Literal["amqp"]
    url: Annotated[str, AfterValidator(_amqp_url)]
    """`amqps://host:5671/virtual-host`; `amqp://` sends mail and password in the clear."""
    queue: Annotated[Line, Field(max_length=255)] | None = None
    """Publish to this queue; it has to exist."""
    exchange: Annotated[Line, Field(max_length=127)] | None = None
    """Publish to this exchange instead; it has to exist, and a queue has to be bound to it."""
    routing_key: Annotated[Line, Field(max_length=255)] | None = None
    """With `exchange`: of every message. Left out, the id of its mailbox."""
    username: Line | None = None
    """Left out: guest, which RabbitMQ lets in from its own machine only."""
    password: SecretRef | None = None
    timeout: Deadline = 10.0
    """For connecting, and for the confirmation of a batch."""
    ca: FilePath | None = None
    """PEM certificates to trust instead of the system's."""

    @model_validator(mode="after")
    def _fits(self) -> AmqpSinkSection:
        if (self.queue is None) == (self.exchange is None):
            raise ValueError("write either `queue` or `exchange`")
        if self.exchange is None and self.routing_key is not None:
            raise ValueError("routing_key goes with `exchange`; a queue needs none")
        if (self.username is None) != (self.password is None):
            raise ValueError("write both username and password, or neither")
        if self.ca is not None and not self.tls:
            raise ValueError("`ca` has no effect without TLS; leave it out, or write amqps://")
        return self

    @property
    def tls(self) -> bool:
        """Whether to speak TLS."""
        return split_url(self.url).scheme == "amqps"

    @property
    def host(self) -> str:
        """Of the broker."""
        return split_url(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Of the broker."""
        parts = split_url(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def virtual_host(self) -> str:
        """`/` where the address names none."""
        return unquote(split_url(self.url).path[1:]) or "/"


class KafkaSinkSection(_Sink):
    """A topic of Kafka to which each event is written as a record. Needs the extra: pip install 'mailhaul[kafka]'."""

    type: Literal["kafka"]
    brokers: Annotated[str, AfterValidator(_brokers)]
    """`host:port` of one or more, with commas between them; any of them tells of the others."""
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
    """It has to exist."""
    tls: bool = True
    """`false` sends mail and password in the clear."""
    ca: FilePath | None = None
    """PEM certificates to trust instead of the system's."""
    mechanism: Literal["plain", "scram-sha-256", "scram-sha-512"] = "plain"
    """How to log in, with a username."""
    username: Line | None = None
    """Left out: nobody logs in."""
    password: SecretRef | None = None
    timeout: Annotated[Deadline, Field(ge=1, le=300)] = 10.0
    """Until an event that is not confirmed is given up; from 1s to 5m."""

    @model_validator(mode="after")
    def _fits(self) -> KafkaSinkSection:
        if (self.username is None) != (self.password is None):
            raise ValueError("write both username and password, or neither")
        if self.username is None and "mechanism" in self.model_fields_set:
            raise ValueError("mechanism goes with username and password")
        if self.ca is not None and not self.tls:
            raise ValueError("`ca` has no effect without TLS; leave it out, or write `tls: true`")
        return self


SECTIONS = (
    JsonlSinkSection,
    WebhookSinkSection,
    SqsSinkSection,
    SnsSinkSection,
    EventBridgeSinkSection,
    AmqpSinkSection,
    KafkaSinkSection,
)
SinkSection = Annotated[
    JsonlSinkSection
    | WebhookSinkSection
    | SqsSinkSection
    | SnsSinkSection
    | EventBridgeSinkSection
    | AmqpSinkSection
    | KafkaSinkSection,
    Field(discriminator="type"),
]


def named(sinks: object) -> object:
    """Sinks as they were written, with a name each, `webhook`, `webhook-2`, where they were given none."""
    if not isinstance(sinks, list):
        return sinks
    taken = {sink.get("name") for sink in sinks if isinstance(sink, dict) and isinstance(sink.get("name"), str)}
    result: list[object] = []
    for sink in sinks:
        if not isinstance(sink, dict) or "name" in sink or not isinstance(sink.get("type"), str):
            result.append(sink)
            continue
        kind, number = sink["type"], 1
        while (name := kind if number == 1 else f"{kind}-{number}") in taken:
            number += 1
        taken.add(name)
        result.append({**sink, "name": name})
    return result
