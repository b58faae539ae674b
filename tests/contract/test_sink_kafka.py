"""The Kafka sink against a real broker: order, refusals, outages, and who may not write."""

from __future__ import annotations

import json
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from confluent_kafka import KafkaError

from ingest.adapters.sinks.kafka import Cluster, KafkaSink
from ingest.adapters.sinks.kafka_errors import Trouble, outcome
from ingest.domain.events import Event
from ingest.errors import ConfigError, SinkUnavailableError
from ingest.ports.sink import Outcome, Verdict
from tests.support.http import event
from tests.support.kafka import PASSWORD, READER, READER_PASSWORD, USER, Kafka, KafkaTopic
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DELIVERED = Outcome(Verdict.DELIVERED)
TOO_LARGE = Outcome(Verdict.REJECTED, "too_large")


def away(reason: str) -> Outcome:
    return Outcome(Verdict.UNAVAILABLE, reason)


@pytest.fixture
def server(kafka: Kafka) -> Iterator[Kafka]:
    """The one of all tests, with both ways to it open afterwards."""
    yield kafka
    for proxy in (kafka.proxy, kafka.tls_proxy):
        proxy.stop()
        proxy.start()


@pytest.fixture
def topic(server: Kafka) -> Iterator[KafkaTopic]:
    made = KafkaTopic(server)
    yield made
    made.delete()


def plain(server: Kafka) -> Cluster:
    return Cluster(f"127.0.0.1:{server.proxy.port}", tls=False)


def protected(server: Kafka) -> Cluster:
    return Cluster(f"127.0.0.1:{server.tls_proxy.port}", ca_file=server.ca_file, username=USER)


@contextmanager
def sink_to(
    cluster: Cluster, topic: str, *, timeout: float = 20, password: Callable[[], str] = lambda: PASSWORD
) -> Iterator[KafkaSink]:
    with closing(KafkaSink("kafka", cluster, topic, password, timeout=timeout, monotonic=time.monotonic)) as sink:
        yield sink


def ids(topic: KafkaTopic) -> list[str]:
    return [json.loads(record.value)["id"] for record in topic.records()]


def large(name: str, mailbox: str, size: int) -> Event:
    return Event(name, "t", mailbox, json.dumps({"id": name, "x": "x" * size}).encode())


def test_record_headers_name_id_and_type(server: Kafka, topic: KafkaTopic) -> None:
    sent = replace(event("e1", "box"), traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    with sink_to(plain(server), topic.name) as sink:
        assert sink.deliver([sent]) == [DELIVERED]
    (record,) = topic.records()
    assert record.key == b"box"
    assert record.value == sent.body
    wanted = {"content-type": "application/cloudevents+json", "id": "e1", "type": "t", **sent.trace_headers}
    assert record.headers == {name: value.encode() for name, value in wanted.items()}


def test_mailbox_stays_in_one_partition_and_mailboxes_spread(server: Kafka, topic: KafkaTopic) -> None:
    events = [event(f"{n:03d}", f"box-{n % 12}") for n in range(60)]
    for _ in range(2):  # another producer chooses alike
        with sink_to(plain(server), topic.name) as sink:
            assert sink.deliver(events) == [DELIVERED] * 60
    places: dict[str, set[int]] = {}
    for record in topic.records():
        places.setdefault(json.loads(record.value)["source"], set()).add(record.partition)
    assert all(len(partitions) == 1 for partitions in places.values())
    assert len(set.union(*places.values())) == 3


def test_partition_is_the_one_of_java_clients(server: Kafka, topic: KafkaTopic) -> None:
    """Its murmur2, without the sign, modulo partitions; the hashes are those of Kafka's own tests."""
    hashes = {"foobar": -790332482, "21": -973932308, "a-little-bit-long-string": -985981536}
    with sink_to(plain(server), topic.name) as sink:
        sink.deliver([event(f"e-{box}", box) for box in hashes])
    found = {record.key.decode(): record.partition for record in topic.records()}
    assert found == {box: (value & 0x7FFFFFFF) % 3 for box, value in hashes.items()}


def test_outage_loses_nothing_and_keeps_ids(server: Kafka, topic: KafkaTopic) -> None:
    events = [event(f"{n:03d}", "ab"[n % 2]) for n in range(6)]
    with sink_to(plain(server), topic.name, timeout=2) as sink:
        eventually(lambda: sink.deliver(events[:2]) == [DELIVERED] * 2)
        server.kill()
        try:
            assert sink.deliver(events[2:]) == [away("connect")] * 4
        finally:
            server.start()
        eventually(lambda: sink.deliver(events[2:]) == [DELIVERED] * 4)
    assert set(ids(topic)) == {event.id for event in events}
    for mailbox in "ab":
        mine = [json.loads(record.value)["id"] for record in topic.records() if record.key == mailbox.encode()]
        assert list(dict.fromkeys(mine)) == sorted(set(mine))


def test_silent_broker_times_out_and_repeats_are_in_order(server: Kafka, topic: KafkaTopic) -> None:
    """What was in flight at the timeout may still arrive, but not after later events."""
    first, *rest = [event(f"e{n}") for n in range(4)]
    with sink_to(plain(server), topic.name, timeout=2) as sink:
        eventually(lambda: sink.deliver([first]) == [DELIVERED])
        server.proxy.stall()
        assert sink.deliver(rest) == [away("timeout")] * 3
        server.proxy.resume()
        eventually(lambda: sink.deliver(rest) == [DELIVERED] * 3)
    assert list(dict.fromkeys(reversed(ids(topic)))) == ["e3", "e2", "e1", "e0"]


def test_record_too_large_for_the_topic_is_rejected_alone(server: Kafka) -> None:
    """Some of those it travels with are well below the limit by themselves, but not all together."""
    topic = KafkaTopic(server, partitions=1, max_message_bytes="20000")
    events = [large(f"e{n}", f"box-{n}", 30_000 if n == 5 else 9_000) for n in range(10)]
    with sink_to(plain(server), topic.name) as sink:
        assert sink.deliver([*events, event("behind", "box-5")]) == [
            *([DELIVERED] * 5),
            TOO_LARGE,
            *([DELIVERED] * 5),
        ]
    assert sorted(ids(topic)) == sorted([*(f"e{n}" for n in range(10) if n != 5), "behind"])
    topic.delete()


def test_record_too_large_for_the_client_is_rejected_alone(server: Kafka, topic: KafkaTopic) -> None:
    with sink_to(plain(server), topic.name) as sink:
        outcomes = sink.deliver([event("e1"), large("e2", "b", 1_100_000), event("e3", "c")])
    assert outcomes == [DELIVERED, TOO_LARGE, DELIVERED]


def test_missing_topic_makes_the_sink_unavailable_and_is_not_created(server: Kafka, topic: KafkaTopic) -> None:
    with sink_to(plain(server), f"{topic.name}-missing") as sink:
        assert sink.deliver([event("e1"), event("e2"), event("e3", "b")]) == [away("no_topic")] * 3
        with pytest.raises(SinkUnavailableError, match="create it"):
            sink.check()
    assert f"{topic.name}-missing" not in server.topics()


def test_topic_created_later_receives_waiting_events(server: Kafka, topic: KafkaTopic) -> None:
    topic.delete()
    with sink_to(plain(server), topic.name) as sink:
        assert sink.deliver([event("e1")]) == [away("no_topic")]
        topic.create()
        eventually(lambda: sink.deliver([event("e1")]) == [DELIVERED])
    assert set(ids(topic)) == {"e1"}


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        (KafkaError.NOT_ENOUGH_REPLICAS, away("replicas")),
        (KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND, away("replicas")),
        (KafkaError.INVALID_RECORD, Outcome(Verdict.REJECTED, "invalid_record")),
        (KafkaError.RECORD_LIST_TOO_LARGE, TOO_LARGE),
        (KafkaError.KAFKA_STORAGE_ERROR, away("kafka_56")),
    ],
)
def test_codes_that_a_single_broker_never_sends_are_translated(code: int, meant: Outcome) -> None:
    assert outcome(KafkaError(code), Trouble()) == meant


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_user_logs_in_over_tls(server: Kafka, topic: KafkaTopic, mechanism: str) -> None:
    with sink_to(replace(protected(server), mechanism=mechanism), topic.name) as sink:
        sink.check()
        assert sink.deliver([event("e1")]) == [DELIVERED]
    assert ids(topic) == ["e1"]


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"username": "nobody"}, "login", "password"),
        ({"mechanism": "SCRAM-SHA-256"}, "login", "mechanism"),
        ({"brokers": "127.0.0.1:1"}, "connect", "running"),
        ({"brokers": "nowhere.invalid:9092"}, "connect", "host is unknown"),
        ({"tls": False, "username": None}, "connect", "tls"),
    ],
    ids=["user", "mechanism", "port", "name", "no TLS"],
)
def test_broker_that_rejects_the_login_is_unavailable_and_check_says_what_to_do(
    server: Kafka, topic: KafkaTopic, changes: dict[str, Any], reason: str, words: str
) -> None:
    with sink_to(replace(protected(server), **changes), topic.name, timeout=2) as sink:
        assert sink.deliver([event("e1"), event("e2", "b")]) == [away(reason)] * 2
        with pytest.raises(SinkUnavailableError, match=words) as raised:
            sink.check()
    assert PASSWORD not in str(raised.value)


def test_corrected_password_is_used_without_a_restart(server: Kafka, topic: KafkaTopic) -> None:
    passwords = iter(["wrong", PASSWORD])
    with sink_to(protected(server), topic.name, password=lambda: next(passwords)) as sink:
        assert sink.deliver([event("e1")]) == [away("login")]
        assert sink.deliver([event("e1")]) == [DELIVERED]


def test_missing_write_permission_is_named(server: Kafka, topic: KafkaTopic) -> None:
    cluster = replace(protected(server), username=READER)
    with sink_to(cluster, topic.name, password=lambda: READER_PASSWORD) as sink:
        for allowed in (False, True):
            if allowed:
                server.let_describe(READER, topic.name)
            with pytest.raises(SinkUnavailableError, match="Describe and Write"):
                sink.check()
            assert sink.deliver([event("e1")]) == [away("denied")]


def test_missing_password_makes_the_sink_unavailable(server: Kafka, topic: KafkaTopic) -> None:
    def missing() -> str:
        raise ConfigError(["env:KAFKA: there is no secret; set the environment variable KAFKA"])

    with sink_to(protected(server), topic.name, password=missing) as sink:
        with pytest.raises(SinkUnavailableError, match="env:KAFKA"):
            sink.deliver([event("e1")])
        with pytest.raises(SinkUnavailableError, match="env:KAFKA"):
            sink.check()


@pytest.mark.parametrize("trouble", ["unknown authority", "wrong name", "no file"])
def test_untrusted_broker_gets_nothing(server: Kafka, topic: KafkaTopic, tmp_path: Path, trouble: str) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    changes: dict[str, dict[str, Any]] = {
        "unknown authority": {"ca_file": other},
        "wrong name": {"brokers": f"localhost:{server.tls_proxy.port}"},
        "no file": {"ca_file": tmp_path / "missing.pem"},
    }
    with sink_to(replace(protected(server), **changes[trouble]), topic.name, timeout=2) as sink:
        assert sink.deliver([event("e1")]) == [away("tls")]
        with pytest.raises(SinkUnavailableError, match="`ca`"):
            sink.check()


def test_nothing_is_written_to_the_standard_error_and_closing_ends_every_thread(
    server: Kafka, topic: KafkaTopic, capfd: pytest.CaptureFixture[str]
) -> None:
    """It would write addresses there; its threads are none of Python's, and go with it."""
    with sink_to(plain(server), topic.name, timeout=1) as sink:
        assert sink.deliver([event("e1")]) == [DELIVERED]
        server.proxy.stop()
        assert sink.deliver([event("e2")]) == [away("connect")]
        server.proxy.start()
    assert capfd.readouterr() == ("", "")
    eventually(lambda: not rdkafka_threads(), "librdkafka goes on")


def test_failed_check_ends_every_thread_while_its_exception_is_kept() -> None:
    with sink_to(Cluster("127.0.0.1:1", tls=False), "mail", timeout=1) as sink:
        with pytest.raises(SinkUnavailableError) as kept:
            sink.check()
        eventually(lambda: not rdkafka_threads(), "librdkafka goes on")
    assert "running" in str(kept.value)


def rdkafka_threads() -> list[str]:
    names = (task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm"))
    return [name for name in names if name.startswith("rdk:")]
