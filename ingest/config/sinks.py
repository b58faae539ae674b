"""The options of sinks. The docstring below an option is its documentation."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, Field, model_validator

from ingest.config.fields import Condition, FilePath, HttpUrl, Line, Name, Section, split_url
from ingest.config.secrets import SecretRef  # noqa: TC001 - pydantic resolves it at run time
from ingest.config.units import Duration  # noqa: TC001 - as above

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
        raise ValueError("write host:port of one or more brokers, separated by commas")
    return value


class _Sink(Section):
    """The options of every sink."""

    name: Name
    """Identifies the sink's position in the event stream, and the sink in metrics. Keep it: under a new name the sink
    starts over, as `start` says."""
    start: Literal["beginning", "now"] = "beginning"
    """Where a new sink starts: at the oldest event that the stream still holds, which loses nothing, or `now`."""
    where: Condition | None = None
    """Condition in CEL on the manifest, such as `documents.exists(d, d.kind == 'invoice')`: the sink gets only events
    that fulfil it. Needs an extra: `pip install 'mailhaul[rules]'`."""
    quarantined: Literal["skip", "include", "only"] = "skip"
    """Whether the sink gets the events of messages that a rule put in quarantine; `only`: it gets no others."""


class JsonlSinkSection(_Sink):
    """A file to which each event is appended as one line of JSON."""

    type: Literal["jsonl"]
    """Append to a file."""
    path: FilePath
    """The file. Its folder must exist."""


class WebhookSinkSection(_Sink):
    """An HTTP endpoint to which each event is posted, signed according to Standard Webhooks."""

    type: Literal["webhook"]
    """Post to an HTTP endpoint."""
    url: HttpUrl
    """The endpoint."""
    secret: SecretRef
    """Where the signing secret is: `env:NAME` or `file:/path`. The secret is `whsec_` and 24 to 64 bytes in
    base64."""
    timeout: Duration = 10.0
    """For one request. A receiver should store the event, answer, and work on it later."""
    ca: FilePath | None = None
    """PEM file of the CA certificates to trust instead of the system's: for a private CA."""
    allow_private: bool = False
    """Allow the endpoint to be in a private network or on this machine. Off, so that an address from outside cannot
    make Mailhaul send requests into your network."""


class _AwsSink(_Sink):
    """The options of every sink at Amazon."""

    access_key: SecretRef | None = None
    """Where the access key id is: `env:NAME` or `file:/path`. Goes with `secret_key`."""
    secret_key: SecretRef | None = None
    """Where the secret access key is: `env:NAME` or `file:/path`."""

    @model_validator(mode="after")
    def _both_keys(self) -> _AwsSink:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("write both access_key and secret_key, or neither")
        return self


class SqsSinkSection(_AwsSink):
    """A queue of SQS to which each event is sent as a message."""

    type: Literal["sqs"]
    """Send to an SQS queue."""
    url: Annotated[HttpUrl, AfterValidator(_queue_url)]
    """URL of the queue, as SQS shows it. A queue that ends in `.fifo` keeps the order of each mailbox's events."""
    region: Line | None = None
    """Region of the queue."""


class SnsSinkSection(_AwsSink):
    """A topic of SNS to which each event is published."""

    type: Literal["sns"]
    """Publish to an SNS topic."""
    topic: Annotated[str, AfterValidator(_topic)]
    """ARN of the topic. A topic that ends in `.fifo` keeps the order of each mailbox's events."""
    endpoint: HttpUrl | None = None
    """Address of a server other than Amazon's."""


class EventBridgeSinkSection(_AwsSink):
    """A bus of EventBridge on which each event is put."""

    type: Literal["eventbridge"]
    """Put on an EventBridge bus."""
    bus: Annotated[str, AfterValidator(_bus)] = "default"
    """Name or ARN of the bus. Every account has one named `default`."""
    region: Line | None = None
    """Region of the bus."""
    endpoint: HttpUrl | None = None
    """Address of a server other than Amazon's."""


class AmqpSinkSection(_Sink):
    """An AMQP 0-9-1 broker such as RabbitMQ, to which each event is published as a persistent message."""

    type: Literal["amqp"]
    """Publish to an AMQP broker."""
    url: Annotated[str, AfterValidator(_amqp_url)]
    """`amqps://host:5671/virtual-host`. `amqp://` sends mail and password in clear text. The port may be left out."""
    queue: Annotated[Line, Field(max_length=255)] | None = None
    """Existing queue to publish to. Write either `queue` or `exchange`."""
    exchange: Annotated[Line, Field(max_length=127)] | None = None
    """Existing exchange to publish to; a queue must be bound to it, or the broker returns the event as unroutable."""
    routing_key: Annotated[Line, Field(max_length=255)] | None = None
    """Routing key of every message; only with `exchange`."""
    username: Line | None = None
    """User name at the broker, with `password`. RabbitMQ accepts `guest` from its own machine only."""
    password: SecretRef | None = None
    """Where the password for the broker is: `env:NAME` or `file:/path`."""
    timeout: Duration = 10.0
    """For connecting, and for the broker's confirmation of a batch of events."""
    ca: FilePath | None = None
    """PEM file of the CA certificates to trust instead of the system's: for a private CA."""

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
        """Whether the connection uses TLS."""
        return split_url(self.url).scheme == "amqps"

    @property
    def host(self) -> str:
        """Name or address of the broker."""
        return split_url(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Port of the broker; the scheme's where the URL has none."""
        parts = split_url(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def virtual_host(self) -> str:
        """Virtual host in the URL; `/` where it has none."""
        return unquote(split_url(self.url).path[1:]) or "/"


class KafkaSinkSection(_Sink):
    """A Kafka topic to which each event is written as a record. Needs an extra: `pip install 'mailhaul[kafka]'`."""

    type: Literal["kafka"]
    """Write to a Kafka topic."""
    brokers: Annotated[str, AfterValidator(_brokers)]
    """`host:port` of one or more bootstrap brokers, separated by commas. Each of them names all others."""
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
    """Existing topic to write to."""
    tls: bool = True
    """Use TLS. `false` sends mail and password in clear text."""
    ca: FilePath | None = None
    """PEM file of the CA certificates to trust instead of the system's: for a private CA."""
    mechanism: Literal["plain", "scram-sha-256", "scram-sha-512"] = "plain"
    """SASL mechanism; only with `username`."""
    username: Line | None = None
    """User name at the brokers, with `password`."""
    password: SecretRef | None = None
    """Where the password for the brokers is: `env:NAME` or `file:/path`."""
    timeout: Annotated[Duration, Field(ge=1, le=300)] = 10.0
    """For the confirmation of an event, from 1s to 5m. An unconfirmed event is sent again."""

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
    """Return the sinks as written, and name those without a name after their type: `webhook`, `webhook-2`."""
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
