"""The AMQP sink against a real RabbitMQ: confirmations, returns, refusals, outages."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from ingest.adapters.sinks.amqp import AmqpBroker, AmqpSink, Route
from ingest.domain.events import Event
from ingest.errors import ConfigError, SinkUnavailableError
from ingest.ports.sink import Outcome, Verdict
from tests.support.http import event
from tests.support.proxy import DelayProxy
from tests.support.rabbitmq import AmqpQueue, RabbitMq, running_rabbitmq
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DELIVERED = Outcome(Verdict.DELIVERED)


def away(reason: str) -> Outcome:
    return Outcome(Verdict.UNAVAILABLE, reason)


@pytest.fixture
def queue(rabbitmq: RabbitMq) -> Iterator[AmqpQueue]:
    made = AmqpQueue(rabbitmq)
    yield made
    made.delete()


def guest() -> str:
    return "guest"


@contextmanager
def sink_to(server: RabbitMq, route: Route, *, timeout: float = 10, **changes: Any) -> Iterator[AmqpSink]:
    password = changes.pop("password", guest)
    broker = AmqpBroker(**{"host": "127.0.0.1", "port": server.port, "tls": False, **changes})
    with closing(AmqpSink("mq", broker, route, password, timeout=timeout, monotonic=time.monotonic)) as sink:
        yield sink


def test_message_properties_name_id_type_and_mailbox(rabbitmq: RabbitMq, queue: AmqpQueue) -> None:
    with sink_to(rabbitmq, Route("", queue.name)) as sink:
        assert sink.deliver([event("e1", "box")]) == [DELIVERED]
    (message,) = queue.messages()
    wanted = {
        "message_id": "e1",
        "type": "t",
        "mailbox": "box",
        "content_type": "application/cloudevents+json",
        "delivery_mode": 2,
        "app_id": "mailhaul",
    }
    assert message.properties == wanted
    assert message.body == event("e1", "box").body


def test_exchange_routes_by_mailbox_or_by_a_fixed_key(rabbitmq: RabbitMq, queue: AmqpQueue) -> None:
    exchange = f"x-{uuid.uuid4().hex}"
    with queue.channel() as channel:
        channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False)
        channel.queue_bind(queue.name, exchange, "#")
    try:
        for key in (None, "mail"):
            with sink_to(rabbitmq, Route(exchange, key)) as sink:
                sink.check()
                assert sink.deliver([event("e1", "box-a"), event("e2", "box-b")]) == [DELIVERED] * 2
        assert [message.routing_key for message in queue.messages()] == ["box-a", "box-b", "mail", "mail"]
    finally:
        with queue.channel() as channel:
            channel.exchange_delete(exchange)


def test_confirmed_messages_survive_a_broker_restart() -> None:
    with running_rabbitmq() as server:
        queue = AmqpQueue(server)
        with sink_to(server, Route("", queue.name)) as sink:
            assert sink.deliver([event(f"e{n}") for n in range(50)]) == [DELIVERED] * 50
            # It fsyncs messages before it confirms them, but writes that there is a queue some time after it said so.
            server.control("eval", "mnesia:sync_log().")
            server.kill()
            assert sink.deliver([event("e50")]) == [away("connect")]
            server.start()
            outcomes: list[list[Outcome]] = []

            def delivered() -> bool:
                outcomes.append(sink.deliver([event("e50")]))
                return outcomes[-1] == [DELIVERED]

            # As the relay does: a broker that has just come back may not know all of its queues yet.
            eventually(delivered, lambda: f"{outcomes[-1]}: {server.log[-4000:]}")
        ids = [message.properties["message_id"] for message in queue.messages()]
        assert ids == [f"e{n}" for n in range(51)]


def test_unroutable_message_is_not_delivered(rabbitmq: RabbitMq) -> None:
    with sink_to(rabbitmq, Route("", f"none-{uuid.uuid4().hex}")) as sink:
        assert sink.deliver([event("e1"), event("e2"), event("e3", "b")]) == [away("no_route")] * 3
        with pytest.raises(SinkUnavailableError, match="create it"):
            sink.check()


def test_mailbox_without_a_route_delays_no_other(rabbitmq: RabbitMq, queue: AmqpQueue) -> None:
    with queue.channel() as channel:
        channel.queue_bind(queue.name, "amq.direct", "routed")
    events = [event("e1", "lost"), event("e2", "routed"), event("e3", "lost"), event("e4", "routed")]
    with sink_to(rabbitmq, Route("amq.direct", None)) as sink:
        refused = Outcome(Verdict.REJECTED, "no_route")
        assert sink.deliver(events) == [refused, DELIVERED, refused, DELIVERED]


def test_full_queue_loses_nothing(rabbitmq: RabbitMq) -> None:
    queue = AmqpQueue(rabbitmq, **{"x-max-length": 2, "x-overflow": "reject-publish"})
    try:
        with sink_to(rabbitmq, Route("", queue.name)) as sink:
            outcomes = sink.deliver([event(f"e{n}") for n in range(10)])
            taken = outcomes.count(DELIVERED)
            assert outcomes == [DELIVERED] * taken + [away("nacked")] * (10 - taken)
            assert 2 <= taken < 10
            assert len(queue.messages()) == taken
            assert sink.deliver([event("again")]) == [DELIVERED]
    finally:
        queue.delete()


def test_oversized_message_is_rejected_alone(rabbitmq: RabbitMq, queue: AmqpQueue) -> None:
    large = Event("large", "t", "b", json.dumps({"id": "large", "x": "x" * 300_000}).encode())
    events = [event("e1", "a"), large, event("e3", "c"), event("e4", "b")]
    refused = Outcome(Verdict.REJECTED, "precondition_failed")
    with sink_to(rabbitmq, Route("", queue.name)) as sink:
        assert sink.deliver(events) == [DELIVERED, refused, DELIVERED, DELIVERED]
    assert {message.properties["message_id"] for message in queue.messages()} == {"e1", "e3", "e4"}


def test_missing_exchange_makes_the_sink_unavailable(rabbitmq: RabbitMq) -> None:
    with sink_to(rabbitmq, Route("nowhere", "x")) as sink:
        assert sink.deliver([event("e1"), event("e2")]) == [away("not_found")] * 2
        with pytest.raises(SinkUnavailableError, match="create it"):
            sink.check()


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"password": lambda: "wrong"}, "access_refused", "password"),
        ({"virtual_host": "elsewhere"}, "not_allowed", "virtual host"),
        ({"port": 1}, "connect", "running"),
        ({"host": "nowhere.invalid"}, "connect", "running"),
    ],
    ids=["password", "virtual host", "port", "name"],
)
def test_broker_that_rejects_the_login_is_unavailable_and_check_says_what_to_do(
    rabbitmq: RabbitMq, changes: dict[str, Any], reason: str, words: str
) -> None:
    with sink_to(rabbitmq, Route("", "q"), **changes) as sink:
        assert sink.deliver([event("e1")]) == [away(reason)]
        with pytest.raises(SinkUnavailableError, match=words) as raised:
            sink.check()
    assert "wrong" not in str(raised.value)


def test_missing_password_makes_the_sink_unavailable(rabbitmq: RabbitMq) -> None:
    def missing() -> str:
        raise ConfigError(["env:MQ: there is no secret; set the environment variable MQ"])

    with sink_to(rabbitmq, Route("", "q"), password=missing) as sink:
        with pytest.raises(SinkUnavailableError, match="env:MQ"):
            sink.deliver([event("e1")])
        with pytest.raises(SinkUnavailableError, match="env:MQ"):
            sink.check()


@pytest.mark.parametrize("trouble", ["unknown authority", "wrong name", "no file", "no TLS there"])
def test_untrusted_broker_gets_no_password(rabbitmq: RabbitMq, tmp_path: Path, trouble: str) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    cases: dict[str, dict[str, Any]] = {
        "unknown authority": {"port": rabbitmq.tls_port, "ca_file": other},
        "wrong name": {"port": rabbitmq.tls_port, "ca_file": rabbitmq.ca_file, "host": "localhost"},
        "no file": {"port": rabbitmq.tls_port, "ca_file": tmp_path / "missing.pem"},
        "no TLS there": {"ca_file": rabbitmq.ca_file},
    }
    with sink_to(rabbitmq, Route("", "q"), tls=True, **cases[trouble]) as sink:
        (outcome,) = sink.deliver([event("e1")])
        assert outcome == away("tls")
        with pytest.raises(SinkUnavailableError):
            sink.check()


def test_broken_idle_connection_is_replaced_without_a_pause(rabbitmq: RabbitMq, queue: AmqpQueue) -> None:
    with DelayProxy(rabbitmq.port, 0) as proxy, sink_to(rabbitmq, Route("", queue.name), port=proxy.port) as sink:
        assert sink.deliver([event("e1")]) == [DELIVERED]
        proxy.stop()
        proxy.start()
        assert sink.deliver([event("e2")]) == [DELIVERED]


def test_silent_broker_times_out_and_the_repeat_has_the_same_id(rabbitmq: RabbitMq, queue: AmqpQueue) -> None:
    with (
        DelayProxy(rabbitmq.port, 0) as proxy,
        sink_to(rabbitmq, Route("", queue.name), port=proxy.port, timeout=0.5) as sink,
    ):
        eventually(lambda: sink.deliver([event("e1")]) == [DELIVERED])
        proxy.stall()
        assert sink.deliver([event("e2"), event("e3", "b")]) == [away("timeout")] * 2
        proxy.resume()
        eventually(lambda: sink.deliver([event("e2"), event("e3", "b")]) == [DELIVERED] * 2)
    assert {message.properties["message_id"] for message in queue.messages()} == {"e1", "e2", "e3"}


def test_broker_short_of_memory_loses_nothing(rabbitmq: RabbitMq, queue: AmqpQueue) -> None:
    with sink_to(rabbitmq, Route("", queue.name), timeout=1) as sink:
        rabbitmq.control("set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            assert sink.deliver([event("e1")]) == [away("timeout")]
        finally:
            rabbitmq.control("set_vm_memory_high_watermark", "0.4")
        eventually(lambda: sink.deliver([event("e1")]) == [DELIVERED])
