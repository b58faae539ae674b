"""Events as records of a Kafka topic, confirmed by all in-sync replicas.

The key of a record is its mailbox, so all events of a mailbox are in one partition, in order. The producer is
idempotent: its own retries are stored once (KIP-98). An event that timed out and is delivered again by us may be
stored twice, because a broker that fell silent may have stored it. Such a duplicate has the same id.
"""

from __future__ import annotations

import logging
import ssl
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient
from typing_extensions import override

from ingest.adapters.sinks.batches import TOO_LARGE, BatchLimits, UnavailableError, deliver_in_batches
from ingest.adapters.sinks.kafka_errors import DENIED, TIMED_OUT, Trouble, outcome, unavailable
from ingest.errors import ConfigError, SinkUnavailableError
from ingest.ports.sink import Outcome, Sink, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from confluent_kafka import KafkaError

    from ingest.domain.events import Event

# At most one event per mailbox is in flight at a time; this many hide the round trip.
_LIMITS = BatchLimits(count=100, max_bytes=4 * 2**20, ordered=True)
# librdkafka checks for timeouts once a second.
_GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Cluster:
    """Addresses and login of the brokers.

    Attributes:
        brokers: `host:port`, separated by commas; any of them lists the others.
        tls: use TLS, and verify certificates and their names.
        ca_file: PEM certificates to trust instead of the system's.
        username: the login; None if the brokers require none.
        mechanism: SASL mechanism such as `PLAIN` or `SCRAM-SHA-512`; ignored without a user name.
    """

    brokers: str
    tls: bool = True
    ca_file: Path | None = None
    username: str | None = None
    mechanism: str = "PLAIN"


class KafkaSink(Sink):
    """A `Sink` that produces to a Kafka topic.

    The value of a record is the event in the structured mode of CloudEvents' Kafka binding, as the header
    `content-type` says. The headers `id` and `type` let a consumer filter without parsing the value.

    Args:
        name: unique among the sinks.
        cluster: addresses and login.
        topic: name of an existing topic; it is never created.
        password: called for each new producer: the first, and after a failed login.
        timeout: seconds until an unconfirmed event counts as failed; 1 to 300.
        monotonic: monotonic clock, in seconds.
    """

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        topic: str,
        password: Callable[[], str],
        *,
        timeout: float,
        monotonic: Callable[[], float],
    ) -> None:
        self.name = name
        self._cluster, self._topic, self._password = cluster, topic, password
        self._timeout, self._monotonic = timeout, monotonic
        self._lock = threading.Lock()
        self._session: _ProducerSession | None = None

    @override
    def deliver(self, events: Sequence[Event]) -> list[Outcome]:
        if not events:
            return []
        with self._lock:
            return deliver_in_batches(events, self._send, lambda event: len(event.body), _LIMITS)

    @override
    def check(self) -> None:
        """Logs in and looks up the topic and the user's permissions on it."""
        try:
            _probe(self._settings(), self._topic, self._timeout, self._monotonic)
        except UnavailableError as error:
            raise SinkUnavailableError(f"{self._cluster.brokers}: {error}", error.reason) from error

    @override
    def close(self) -> None:
        """Nothing is in flight: `deliver` has waited for everything."""
        with self._lock:
            self._session = None

    def _send(self, batch: Sequence[Event]) -> Sequence[Outcome]:
        """Send a batch. The producer is kept over an outage, so the broker can discard its late duplicates."""
        if self._session is None:
            self._session = _ProducerSession(self._settings(), self._topic, self._timeout, self._monotonic)
        session = self._session
        outcomes = session.send(batch)
        if session.spent:
            self._session = None
        if all(outcome.verdict is Verdict.UNAVAILABLE for outcome in outcomes):
            raise UnavailableError(outcomes[0].reason, "took no event")
        return outcomes

    def _settings(self) -> dict[str, Any]:
        """Return librdkafka's settings (https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md)."""
        milliseconds = round(self._timeout * 1000)
        return {
            "bootstrap.servers": self._cluster.brokers,
            "client.id": "mailhaul",
            "enable.idempotence": True,  # implies acks=all and keeps order
            "allow.auto.create.topics": False,
            "partitioner": "murmur2_random",  # the Java clients' default: other producers pick the same partition
            "linger.ms": 0,
            "delivery.timeout.ms": milliseconds,
            "socket.timeout.ms": milliseconds,
            "topic.metadata.propagation.max.ms": min(milliseconds, 1000),  # the topic is not brand new
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 1000,
            "logger": _silent(),
            **self._access(),
        }

    def _access(self) -> dict[str, Any]:
        cluster = self._cluster
        settings: dict[str, Any] = {}
        if cluster.tls and cluster.ca_file is not None:
            settings["ssl.ca.location"] = _readable(cluster.ca_file)
        if cluster.username is not None:
            settings["sasl.mechanism"] = cluster.mechanism
            settings["sasl.username"] = cluster.username
            try:
                settings["sasl.password"] = self._password()
            except ConfigError as error:
                raise SinkUnavailableError(f"{cluster.brokers}: {error}", "secret_missing") from error
        login, transport = cluster.username is not None, "SSL" if cluster.tls else "PLAINTEXT"
        settings["security.protocol"] = f"SASL_{transport}" if login else transport
        return settings


class _ProducerSession:
    """A producer and the errors it reported."""

    def __init__(self, settings: dict[str, Any], topic: str, timeout: float, monotonic: Callable[[], float]) -> None:
        self._topic, self._timeout, self._monotonic = topic, timeout, monotonic
        # A separate object: a bound method would create a reference cycle and keep the producer's threads running.
        self._trouble = Trouble()
        try:
            self._producer = Producer({**settings, "error_cb": self._trouble})
        except KafkaException as error:
            raise unavailable(error.args[0], self._trouble) from error

    @property
    def spent(self) -> bool:
        """Whether this producer can no longer deliver."""
        return self._trouble.final

    def send(self, events: Sequence[Event]) -> list[Outcome]:
        """Produce events of different mailboxes and wait until each is confirmed or has failed.

        Records of one partition are sent together, and a broker that finds the set too large refuses all of them; so
        these are tried again one by one.
        """
        outcomes = self._produce(events)
        suspects = [place for place, found in enumerate(outcomes) if found == TOO_LARGE]
        alone = TOO_LARGE
        for place in suspects if len(events) > 1 else ():
            if alone.verdict is not Verdict.UNAVAILABLE:
                (alone,) = self._produce([events[place]])
            outcomes[place] = alone
        return outcomes

    def _produce(self, events: Sequence[Event]) -> list[Outcome]:
        reports: dict[int, KafkaError | None] = {}
        for place, event in enumerate(events):
            try:
                self._enqueue(event, partial(_note, reports, place))
            except KafkaException as error:
                reports[place] = error.args[0]
        self._wait(reports, len(events))
        outcomes = [outcome(reports.get(place, TIMED_OUT), self._trouble) for place in range(len(events))]
        if any(found.verdict is Verdict.DELIVERED for found in outcomes):
            self._trouble.forget()
        return outcomes

    def _enqueue(self, event: Event, on_delivery: Callable[[KafkaError | None, object], None]) -> None:
        headers = {
            "content-type": "application/cloudevents+json",
            "id": event.id,
            "type": event.type,
            **event.trace_headers,
        }
        self._producer.produce(
            self._topic,
            key=event.mailbox.encode(),
            value=event.body,
            headers=list(headers.items()),
            on_delivery=on_delivery,
        )

    def _wait(self, reports: dict[int, KafkaError | None], count: int) -> None:
        """Wait until every event has a delivery report; purge what is still in flight when time is up."""
        ends = self._monotonic() + self._timeout + _GRACE_SECONDS
        self._trouble.listen(self._producer.poll, 0)  # even if nothing could be produced: it reports why
        while len(reports) < count and not self._trouble.final and (left := ends - self._monotonic()) > 0:
            self._trouble.listen(self._producer.poll, left)
        if len(reports) < count:
            self._producer.purge()
            self._trouble.listen(self._producer.flush, _GRACE_SECONDS)


def _note(reports: dict[int, KafkaError | None], place: int, error: KafkaError | None, _message: object) -> None:
    reports[place] = error


def _silent() -> logging.Logger:
    """Return a logger that discards librdkafka's lines, which hold addresses; errors are reported separately."""
    logger = logging.Logger("librdkafka")  # noqa: LOG001 - a registered logger would propagate to the root's handlers
    logger.addHandler(logging.NullHandler())
    return logger


def _readable(ca_file: Path) -> str:
    try:
        ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:
        words = f"the certificates in {ca_file} cannot be read as PEM ({error.strerror}); correct `ca`"
        raise UnavailableError("tls", words) from error
    return str(ca_file)


def _probe(settings: dict[str, Any], topic: str, timeout: float, monotonic: Callable[[], float]) -> None:
    """Look up a topic.

    Raises:
        UnavailableError: it cannot be written to now.
    """
    trouble = Trouble()
    # Describing a topic needs fewer permissions than an idempotent producer.
    admin_settings: dict[str, Any] = {**settings, "error_cb": trouble, "enable.idempotence": False}
    admin: AdminClient | None = None
    try:
        admin = AdminClient(admin_settings)
        asked: Future[Any] = admin.describe_topics(
            TopicCollection([topic]), include_authorized_operations=True, request_timeout=timeout
        )[topic]
        ends = monotonic() + timeout
        while not (asked.done() or trouble.all_down or trouble.final) and monotonic() < ends:
            trouble.listen(admin.poll, _POLL_SECONDS)
        if not asked.done():
            raise unavailable(TIMED_OUT, trouble)
        found = asked.result()
    except KafkaException as error:
        raise unavailable(error.args[0], trouble) from error
    finally:
        admin = None  # the traceback of an exception keeps this frame, and would keep the client's threads running
    if "WRITE" not in {operation.name for operation in found.authorized_operations}:
        raise UnavailableError(*DENIED)
