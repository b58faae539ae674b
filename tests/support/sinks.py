"""Every kind of sink with a consumer behind it, for the suite that all of them pass."""

from __future__ import annotations

import json
import time
import uuid
from abc import ABC, abstractmethod
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from ingest.adapters.sinks.amqp import AmqpBroker, AmqpSink, Route
from ingest.adapters.sinks.aws import Access
from ingest.adapters.sinks.eventbridge import eventbridge_sink
from ingest.adapters.sinks.jsonl import JsonLinesSink
from ingest.adapters.sinks.kafka import Cluster, KafkaSink
from ingest.adapters.sinks.sns import sns_sink
from ingest.adapters.sinks.sqs import sqs_sink
from ingest.adapters.sinks.webhook import WebhookSink
from ingest.testing.sink import MemorySink
from tests.support.aws import KEYS, REGION, MotoServer
from tests.support.http import SECRET, Receiver
from tests.support.kafka import PASSWORD, USER, Kafka, KafkaTopic
from tests.support.proxy import DelayProxy
from tests.support.rabbitmq import AmqpQueue, RabbitMq
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from ingest.ports.sink import Sink

KINDS = (
    *("memory", "file", "webhook"),
    *("sqs", "sqs-fifo", "sns", "sns-fifo", "eventbridge"),
    *("amqp", "amqps", "kafka", "kafka-tls"),
)
# These services promise no order.
UNORDERED = frozenset({"sqs", "sns", "eventbridge"})


class World(ABC):
    """A sink with its server, which a test can make unavailable and available again.

    Attributes:
        deduplicates: a repeat with the same id shows no second time.
    """

    sink: Sink
    deduplicates = False

    @abstractmethod
    def received(self) -> list[bytes]:
        """The bodies of the events that arrived so far."""

    @abstractmethod
    def take_away(self) -> None:
        """Make the sink unavailable."""

    @abstractmethod
    def bring_back(self) -> None:
        """Make the sink available again."""


@contextmanager
def made_world(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """One of `KINDS`; servers that are shared come from the fixtures of `request`."""
    with ExitStack() as stack:
        world = _made(kind, folder, request, stack)
        yield world
        world.sink.close()


def _made(kind: str, folder: Path, request: pytest.FixtureRequest, stack: ExitStack) -> World:
    if kind == "memory":
        return MemoryWorld()
    if kind == "file":
        return FileWorld(folder / "sink")
    if kind == "webhook":
        return WebhookWorld(stack.enter_context(Receiver()))
    if kind.startswith("amqp"):
        return AmqpWorld(request.getfixturevalue("rabbitmq"), stack, tls=kind == "amqps")
    if kind.startswith("kafka"):
        return KafkaWorld(request.getfixturevalue("kafka"), stack, tls=kind == "kafka-tls")
    moto: MotoServer = request.getfixturevalue("moto_server")
    proxy = stack.enter_context(DelayProxy(moto.port, 0))
    queue = stack.enter_context(own_queue(moto, fifo=kind.endswith("-fifo")))
    return {"sqs": SqsWorld, "sns": SnsWorld, "eventbridge": EventBridgeWorld}[kind.removesuffix("-fifo")](
        queue, proxy
    )


class MemoryWorld(World):
    """The twin."""

    def __init__(self) -> None:
        self.sink: MemorySink = MemorySink("memory")

    def received(self) -> list[bytes]:
        return [event.body for event in self.sink.delivered]

    def take_away(self) -> None:
        self.sink.unavailable = True

    def bring_back(self) -> None:
        self.sink.unavailable = False


class FileWorld(World):
    """A file whose folder disappears."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.sink = JsonLinesSink("file", folder / "events.jsonl")

    def received(self) -> list[bytes]:
        path = self.folder / "events.jsonl"
        return path.read_bytes().splitlines() if path.exists() else []

    def take_away(self) -> None:
        self.folder.rename(self.folder.with_name("elsewhere"))

    def bring_back(self) -> None:
        self.folder.with_name("elsewhere").rename(self.folder)


class WebhookWorld(World):
    """A receiver, and a secret that disappears."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.secret = SECRET
        self.sink = WebhookSink(
            "hook", receiver.url, lambda: self.secret, timeout=PATIENCE, clock=time.time, allow_private=True
        )

    def received(self) -> list[bytes]:
        return [request.body for request in self.receiver.requests]

    def take_away(self) -> None:
        self.secret = "not a signing secret"

    def bring_back(self) -> None:
        self.secret = SECRET


class Queue:
    """A queue for one test at moto, and the messages read from it."""

    def __init__(self, moto: MotoServer, *, fifo: bool) -> None:
        self.moto, self.fifo = moto, fifo
        self.client = moto.sqs
        self.name = f"q-{uuid.uuid4().hex}" + (".fifo" if fifo else "")
        made = self.client.create_queue(QueueName=self.name, Attributes={"FifoQueue": "true"} if fifo else {})
        self.url = made["QueueUrl"]
        self.arn = f"arn:aws:sqs:{REGION}:123456789012:{self.name}"
        self._read: list[str] = []

    def through(self, proxy: DelayProxy) -> str:
        """Its URL through a proxy."""
        return f"http://127.0.0.1:{proxy.port}/{self.url.split('/', 3)[3]}"

    def bodies(self) -> list[str]:
        """All bodies that arrived so far."""
        while found := self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                self._read.append(message["Body"])
                self.client.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return self._read


@contextmanager
def own_queue(moto: MotoServer, *, fifo: bool) -> Iterator[Queue]:
    """A queue for one test."""
    queue = Queue(moto, fifo=fifo)
    with closing(queue.client):
        yield queue
        queue.client.delete_queue(QueueUrl=queue.url)


class _AwsWorld(World):
    """A service behind a proxy that can be stopped."""

    def __init__(self, queue: Queue, proxy: DelayProxy) -> None:
        self.queue, self.proxy = queue, proxy
        self.deduplicates = queue.fifo
        self.endpoint = f"http://127.0.0.1:{proxy.port}"

    def received(self) -> list[bytes]:
        return [body.encode() for body in self.queue.bodies()]

    def take_away(self) -> None:
        self.proxy.stop()

    def bring_back(self) -> None:
        self.proxy.start()

    @property
    def access(self) -> Access:
        return Access(region=REGION, endpoint=self.endpoint, keys=lambda: KEYS, attempts=1)


class SqsWorld(_AwsWorld):
    """The queue itself."""

    def __init__(self, queue: Queue, proxy: DelayProxy) -> None:
        super().__init__(queue, proxy)
        self.sink = sqs_sink("queue", queue.through(proxy), region=REGION, keys=lambda: KEYS, attempts=1)


class SnsWorld(_AwsWorld):
    """A topic to which the queue has subscribed."""

    def __init__(self, queue: Queue, proxy: DelayProxy) -> None:
        super().__init__(queue, proxy)
        with closing(queue.moto.sns) as sns:
            attributes = {"FifoTopic": "true"} if queue.fifo else {}
            self.topic = sns.create_topic(Name=queue.name.replace("q-", "t-"), Attributes=attributes)["TopicArn"]
            raw = {"RawMessageDelivery": "true"}
            sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=queue.arn, Attributes=raw)
        self.sink = sns_sink("topic", self.topic, self.access)


class EventBridgeWorld(_AwsWorld):
    """A bus whose events a rule puts into the queue."""

    def __init__(self, queue: Queue, proxy: DelayProxy) -> None:
        super().__init__(queue, proxy)
        self.bus = queue.name.replace("q-", "b-")
        with closing(queue.moto.events) as events:
            events.create_event_bus(Name=self.bus)
            pattern = json.dumps({"source": ["dev.mailhaul"], "detail-type": [{"exists": True}]})
            events.put_rule(Name="all", EventBusName=self.bus, EventPattern=pattern)
            events.put_targets(Rule="all", EventBusName=self.bus, Targets=[{"Id": "q", "Arn": queue.arn}])
        self.sink = eventbridge_sink("bus", self.bus, self.access, time.monotonic)

    def received(self) -> list[bytes]:
        # EventBridge reads the event and writes it anew; so do we, as the tests' events were written.
        details = (json.loads(body)["detail"] for body in self.queue.bodies())
        return [json.dumps(detail, ensure_ascii=False).encode() for detail in details]


class AmqpWorld(World):
    """A durable queue at RabbitMQ, behind a proxy that can be stopped."""

    def __init__(self, server: RabbitMq, stack: ExitStack, *, tls: bool) -> None:
        self.server = server
        self.proxy = stack.enter_context(DelayProxy(server.tls_port if tls else server.port, 0))
        self.queue = AmqpQueue(server)
        stack.callback(self.queue.delete)
        ca_file = server.ca_file if tls else None
        broker = AmqpBroker("127.0.0.1", self.proxy.port, tls=tls, ca_file=ca_file)
        route = Route("", self.queue.name)
        self.sink = AmqpSink("mq", broker, route, lambda: "guest", timeout=PATIENCE, monotonic=time.monotonic)

    def received(self) -> list[bytes]:
        return [message.body for message in self.queue.messages()]

    def take_away(self) -> None:
        self.proxy.stop()

    def bring_back(self) -> None:
        self.proxy.start()


class KafkaWorld(World):
    """A topic of several partitions at Kafka, behind a proxy that can be stopped."""

    def __init__(self, server: Kafka, stack: ExitStack, *, tls: bool) -> None:
        self.proxy = server.tls_proxy if tls else server.proxy
        # All tests share it: whatever state this one leaves it in, it runs afterwards.
        stack.callback(self.proxy.start)
        stack.callback(self.proxy.stop)
        self.topic = KafkaTopic(server)
        stack.callback(self.topic.delete)
        brokers = f"127.0.0.1:{self.proxy.port}"
        cluster = Cluster(brokers, ca_file=server.ca_file, username=USER) if tls else Cluster(brokers, tls=False)
        self.sink = KafkaSink(
            "kafka", cluster, self.topic.name, lambda: PASSWORD, timeout=10, monotonic=time.monotonic
        )

    def received(self) -> list[bytes]:
        return [record.value for record in self.topic.records()]

    def take_away(self) -> None:
        self.proxy.stop()

    def bring_back(self) -> None:
        self.proxy.start()
