"""Events as persistent messages to an AMQP 0-9-1 broker, with publisher confirms.

A message counts as delivered once the broker has confirmed it (https://www.rabbitmq.com/docs/confirms); for a
persistent message in a durable queue that means it is on disk. Messages are sent as `mandatory`: one that cannot be
routed to a queue is returned before its confirmation (AMQP 0-9-1, basic.return) and counts as not delivered.
"""

from __future__ import annotations

import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amqp.transport import SSLTransport, TCPTransport
from kombu import Connection
from kombu.transport.pyamqp import Connection as AmqpConnection
from typing_extensions import override

from ingest.adapters.deadline import RequestDeadline, running_deadline
from ingest.adapters.sinks.amqp_errors import ERRORS, translated
from ingest.adapters.sinks.batches import (
    DELIVERED,
    BatchLimits,
    BatchRefusedError,
    UnavailableError,
    deliver_in_batches,
)
from ingest.errors import ConfigError, SinkUnavailableError
from ingest.ports.sink import Outcome, Sink, Verdict

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ingest.domain.events import Event

# At most one event per mailbox is in flight at a time; this many hide the round trip.
_LIMITS = BatchLimits(count=100, max_bytes=4 * 2**20, ordered=True)
_PERSISTENT = 2
_NACKED = Outcome(Verdict.UNAVAILABLE, "nacked")
_CLOSE_SECONDS = 2.0
# Reasons of a connection that broke, or was closed by the broker, while idle.
_BROKEN = frozenset({"connect", "connection_forced"})


@dataclass(frozen=True, slots=True)
class AmqpBroker:
    """Address and login of the broker.

    Attributes:
        host: name or address.
        port: TCP port.
        tls: use TLS, and verify the certificate and its name.
        virtual_host: `/` unless the broker has more than one.
        username: the login.
        ca_file: PEM certificates to trust instead of the system's.
    """

    host: str
    port: int
    tls: bool = True
    virtual_host: str = "/"
    username: str = "guest"
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Destination of messages. The empty exchange routes them to the queue named by `routing_key`.

    Attributes:
        exchange: name of the exchange.
        routing_key: routing key of every message; None for the id of its mailbox.
    """

    exchange: str
    routing_key: str | None

    def key(self, event: Event) -> str:
        """Return the routing key of an event."""
        return event.mailbox if self.routing_key is None else self.routing_key

    @property
    def missing(self) -> Outcome:
        """The outcome of an unroutable message; with a key per mailbox, other mailboxes may still have a queue."""
        return Outcome(Verdict.REJECTED if self.routing_key is None else Verdict.UNAVAILABLE, "no_route")


class AmqpSink(Sink):
    """A `Sink` that publishes to an AMQP broker.

    Body and content type are those of a webhook; `message_id` is the event's id, `type` its type, and the header
    `mailbox` its mailbox. One connection is kept open; one that broke while idle is replaced without a pause.

    Args:
        name: unique among the sinks.
        broker: address and login.
        route: exchange and routing key; exchange and queue have to exist.
        password: called for each new connection.
        timeout: seconds for connecting, and for the confirmation of a batch.
        monotonic: monotonic clock, in seconds.
    """

    def __init__(
        self,
        name: str,
        broker: AmqpBroker,
        route: Route,
        password: Callable[[], str],
        *,
        timeout: float,
        monotonic: Callable[[], float],
    ) -> None:
        self.name = name
        self._broker, self._route, self._password = broker, route, password
        self._timeout, self._monotonic = timeout, monotonic
        self._lock = threading.Lock()  # a connection serves one thread at a time
        self._channel: _Channel | None = None

    @override
    def deliver(self, events: Sequence[Event]) -> list[Outcome]:
        if not events:
            return []
        with self._lock:
            return deliver_in_batches(events, self._send, lambda event: len(event.body), _LIMITS)

    @override
    def check(self) -> None:
        """Logs in and checks that the queue or exchange exists."""
        with self._lock:
            self._disconnect()
            try:
                self._attempt(lambda channel: channel.probe())
            except UnavailableError as error:
                raise SinkUnavailableError(f"{self._broker.host}: {error}", error.reason) from error
            except BatchRefusedError as error:
                words = f"{self._broker.host}: refuses the queue or exchange ({error.reason}): correct its name"
                raise SinkUnavailableError(words, error.reason) from error

    @override
    def close(self) -> None:
        with self._lock:
            self._disconnect()

    def _send(self, batch: Sequence[Event]) -> Sequence[Outcome]:
        idle = self._channel is not None
        try:
            return self._attempt(lambda channel: channel.send(batch))
        except UnavailableError as error:
            if not idle or error.reason not in _BROKEN:
                raise
            return self._attempt(lambda channel: channel.send(batch))

    def _attempt(self, do: Callable[[_Channel], Sequence[Outcome]]) -> Sequence[Outcome]:
        """Run `do` on the open channel, or a new one; after any error the channel is discarded."""
        deadline = RequestDeadline(self._timeout)
        try:
            with deadline.running():
                if self._channel is None:
                    self._channel = self._connect()
                    deadline.restart()
                else:
                    self._channel.guard(deadline)
                return do(self._channel)
        except ConfigError as error:
            raise SinkUnavailableError(f"{self._broker.host}: {error}", "secret_missing") from error
        except ERRORS as error:
            self._drop()
            raise translated(TimeoutError() if deadline.over else error) from error

    def _connect(self) -> _Channel:
        broker = self._broker
        transport: Any = Connection(
            hostname=broker.host,
            port=broker.port,
            userid=broker.username,
            password=self._password(),
            virtual_host=broker.virtual_host,
            transport="pyamqp",
            ssl=self._tls() if broker.tls else False,
            connect_timeout=self._timeout,
            transport_options={"write_timeout": self._timeout},
        ).transport
        transport.Connection = _GuardedConnection
        return _Channel(transport.establish_connection(), self._route, self._timeout, self._monotonic)

    def _tls(self) -> dict[str, Any]:
        ca_file = None if self._broker.ca_file is None else str(self._broker.ca_file)
        try:
            ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            words = f"the certificates in {ca_file} cannot be read as PEM ({error.strerror}); correct `ca`"
            raise UnavailableError("tls", words) from error
        return {"server_hostname": self._broker.host, "cert_reqs": ssl.CERT_REQUIRED, "ca_certs": ca_file}

    def _disconnect(self) -> None:
        if self._channel is not None:
            self._channel.close_gracefully()
        self._drop()

    def _drop(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.abort()


class _Guarded:
    """A transport whose socket the running deadline can shut down.

    py-amqp limits each wait for a byte, so a broker that sends one now and then would hold the thread for ever.
    """

    sock: Any
    handle: socket.socket | None = None

    def _init_socket(self, *options: Any) -> None:
        # A duplicate, because the TLS handshake, which comes next, detaches the first object.
        self.handle = self.sock.dup()
        if (deadline := running_deadline()) is not None:
            deadline.guard(self.handle)
        super()._init_socket(*options)  # type: ignore[misc]  # the transport it is mixed into has it

    def close(self) -> None:
        """Close both descriptors."""
        super().close()  # type: ignore[misc]  # as above
        if self.handle is not None:
            self.handle.close()


class _GuardedTcp(_Guarded, TCPTransport):
    """Without TLS."""


class _GuardedTls(_Guarded, SSLTransport):
    """With TLS."""


class _GuardedConnection(AmqpConnection):
    """py-amqp's connection over such a transport."""

    def Transport(self, *arguments: Any, **options: Any) -> _Guarded:  # noqa: N802 - py-amqp's name
        """Return the transport of a new connection."""
        named = dict(zip(("host", "connect_timeout", "ssl", "read_timeout", "write_timeout"), arguments, strict=True))
        return (_GuardedTls if named["ssl"] else _GuardedTcp)(**named, **options)


class _Channel:
    """A connection with one channel in confirm mode."""

    def __init__(self, connection: Any, route: Route, timeout: float, monotonic: Callable[[], float]) -> None:
        self._connection, self._route = connection, route
        self._timeout, self._monotonic = timeout, monotonic
        self._channel = connection.channel()
        self._channel.confirm_select()
        self._sent = 0  # the broker counts messages on the channel as we do
        self._waiting: dict[int, Event] = {}
        self._outcomes: dict[str, Outcome] = {}
        events = self._channel.events
        events["basic_ack"].add(self._on_ack)
        events["basic_nack"].add(self._on_nack)
        events["basic_return"].add(self._on_return)

    def guard(self, deadline: RequestDeadline) -> None:
        """Let a deadline shut down the connection."""
        deadline.guard(self._connection.transport.handle)

    def send(self, events: Sequence[Event]) -> Sequence[Outcome]:
        """Publish events of different mailboxes and wait for the broker's answer to each."""
        self._outcomes.clear()
        ends = self._monotonic() + self._timeout
        for event in events:
            self._sent += 1
            self._waiting[self._sent] = event
            self._publish(event)
        while self._waiting:
            left = ends - self._monotonic()
            if left <= 0:
                raise TimeoutError
            self._connection.drain_events(timeout=left)
        return [self._outcomes[event.id] for event in events]

    def probe(self) -> Sequence[Outcome]:
        """Raise the broker's error if the exchange or queue does not exist."""
        if self._route.exchange:
            # A passive declaration ignores the type.
            self._channel.exchange_declare(exchange=self._route.exchange, type="direct", passive=True)
        elif self._route.routing_key is not None:
            self._channel.queue_declare(queue=self._route.routing_key, passive=True)
        return ()

    def close_gracefully(self) -> None:
        """Close the connection with a handshake, if the broker responds."""
        with suppress(*ERRORS):
            self._connection.transport.sock.settimeout(_CLOSE_SECONDS)
            self._connection.close()

    def abort(self) -> None:
        """Close the connection on our side only."""
        self._connection.collect()

    def _publish(self, event: Event) -> None:
        properties = {
            "message_id": event.id,
            "type": event.type,
            "app_id": "mailhaul",
            "delivery_mode": _PERSISTENT,
        }
        message = self._channel.prepare_message(
            event.body,
            content_type="application/cloudevents+json",
            headers={"mailbox": event.mailbox, **event.trace_headers},
            properties=properties,
        )
        key = self._route.key(event)
        self._channel.basic_publish(message, exchange=self._route.exchange, routing_key=key, mandatory=True)

    def _on_ack(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 - the signature is py-amqp's
        self._record(tag, DELIVERED, multiple=multiple)

    def _on_nack(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 - as above
        self._record(tag, _NACKED, multiple=multiple)

    def _on_return(self, _error: Exception, _exchange: str, _key: str, message: Any) -> None:
        """Record an unroutable message; this arrives before its confirmation."""
        self._outcomes[message.properties["message_id"]] = self._route.missing

    def _record(self, tag: int, outcome: Outcome, *, multiple: bool) -> None:
        for number in [sent for sent in self._waiting if sent == tag or (multiple and sent < tag)]:
            self._outcomes.setdefault(self._waiting.pop(number).id, outcome)
