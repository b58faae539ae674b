"""Sinks: valid options, and the messages for mistakes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ingest.config import Secrets
from ingest.config.load import load
from ingest.config.sinks import AmqpSinkSection
from ingest.errors import ConfigError
from ingest.wiring.sinks import open_sink, sink_fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.config import Config

QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/mail"
KAFKA = {"type": "kafka", "brokers": "k1.example.org:9093", "topic": "mail"}
TOPIC = "arn:aws:sns:eu-central-1:123456789012:mail"


def read(folder: Path, *sinks: dict[str, Any]) -> Config:
    path = folder / "mailhaul.yaml"
    path.write_text(yaml.safe_dump({"store": "file:///s", "ledger": "embedded", "sinks": list(sinks)}))
    return load(path, {})


def problem(folder: Path, sink: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as raised:
        read(folder, sink)
    (found,) = raised.value.problems
    return found


@pytest.mark.parametrize(
    "sink",
    [
        {"type": "jsonl", "path": "events.jsonl"},
        {"type": "webhook", "url": "https://h/", "secret": "env:S"},
        {"type": "sqs", "url": QUEUE},
        {"type": "sqs", "url": "http://127.0.0.1:9324/queue/mail", "region": "eu-central-1"},
        {"type": "sns", "topic": f"{TOPIC}.fifo"},
        {"type": "eventbridge"},
        {"type": "eventbridge", "bus": "arn:aws-cn:events:cn-north-1:123456789012:event-bus/mail"},
        {"type": "amqp", "url": "amqps://mq.example.org", "queue": "mail"},
        {"type": "amqp", "url": "amqp://[::1]:5673/a%2Fb", "exchange": "mail", "routing_key": "x"},
        {"type": "kafka", "brokers": "k1.example.org:9093,[::1]:9092", "topic": "mail"},
    ],
)
def test_every_kind_of_sink_is_opened_without_connecting(tmp_path: Path, sink: dict[str, Any]) -> None:
    (section,) = read(tmp_path, sink).sinks
    opened = open_sink(section, Secrets(tmp_path, {}))
    assert opened.name == sink["type"]
    opened.close()


def test_fingerprint_of_a_sink_changes_with_its_options_secrets_and_ca(tmp_path: Path) -> None:
    hook = {
        "type": "webhook",
        "url": "https://example.org/hook",
        "secret": "file:hook",
        "ca": str(tmp_path / "ca.pem"),
    }

    def fingerprint(**changed: Any) -> bytes:
        (section,) = read(tmp_path, {**hook, **changed}).sinks
        return sink_fingerprint(section, Secrets(tmp_path, {}))

    found = [fingerprint()]
    assert fingerprint() == found[0]
    (tmp_path / "hook").write_text("wrong")
    found.append(fingerprint())
    (tmp_path / "hook").write_text("correct")
    found.append(fingerprint())
    (tmp_path / "ca.pem").write_text("certificate")
    found += [fingerprint(), fingerprint(timeout="3s"), fingerprint(allow_private=True)]
    assert len(set(found)) == len(found)


def test_without_the_package_for_kafka_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    found = problem(tmp_path, KAFKA)
    assert "sinks[0].type: needs" in found
    assert "pip install 'mailhaul[kafka]'" in found


@pytest.mark.parametrize(
    ("sink", "words"),
    [
        ({"type": "carrier-pigeon"}, "type"),
        ({"type": "sqs"}, "sinks[0].url: is missing"),
        ({"type": "sqs", "url": "https://sqs.eu-central-1.amazonaws.com/"}, "the URL of the queue"),
        ({"type": "sqs", "url": QUEUE, "access_key": "env:A"}, "both access_key and secret_key"),
        (
            {"type": "sqs", "url": QUEUE, "access_key": "hunter2", "secret_key": "env:B"},
            "must be a reference, not the secret itself",
        ),
        ({"type": "sns", "topic": "mail"}, "the ARN of the topic"),
        ({"type": "sns", "topic": QUEUE}, "the ARN of the topic"),
        ({"type": "eventbridge", "bus": "no such bus!"}, "the name of the bus"),
        ({"type": "eventbridge", "bus": TOPIC}, "the name of the bus"),
        ({"type": "amqp", "url": "amqps://h"}, "either `queue` or `exchange`"),
        ({"type": "amqp", "url": "amqps://h", "queue": "q", "exchange": "x"}, "either `queue` or `exchange`"),
        ({"type": "amqp", "url": "amqps://h", "queue": "q", "routing_key": "x"}, "routing_key goes with"),
        ({"type": "amqp", "url": "amqps://h", "queue": "q", "username": "u"}, "both username and password"),
        ({"type": "amqp", "url": "amqp://h", "queue": "q", "ca": "ca.pem"}, "no effect without TLS"),
        ({"type": "amqp", "url": "amqps://u:hunter2@h", "queue": "q"}, "where its password is"),
        ({"type": "amqp", "url": "https://h", "queue": "q"}, "amqps://host"),
        ({"type": "amqp", "url": "amqps://h", "queue": "q" * 256}, "255"),
        ({**KAFKA, "brokers": "k1"}, "host:port"),
        ({**KAFKA, "brokers": "k1:9092, k2:9092"}, "host:port"),
        ({**KAFKA, "brokers": "k1:65536"}, "host:port"),
        ({**KAFKA, "brokers": "SASL_SSL://u:hunter2@k1:9092"}, "host:port"),
        ({**KAFKA, "topic": "a/b"}, "topic"),
        ({**KAFKA, "username": "u"}, "both username and password"),
        ({**KAFKA, "mechanism": "plain"}, "goes with username"),
        ({**KAFKA, "mechanism": "gssapi", "username": "u", "password": "env:P"}, "scram-sha-512"),
        ({**KAFKA, "tls": False, "ca": "ca.pem"}, "no effect without TLS"),
        ({**KAFKA, "timeout": "500ms"}, "duration"),
        ({**KAFKA, "timeout": "0.5s"}, "1 or more"),
        ({**KAFKA, "timeout": "6m"}, "300 or less"),
        ({"type": "webhook", "url": "https://h/", "secret": "env:S", "start": "yesterday"}, "beginning"),
        ({"type": "webhook", "url": "https://h/", "secret": "env:S", "allow_private": "yes please"}, "allow_private"),
    ],
)
def test_a_mistake_names_its_place_and_what_to_write(tmp_path: Path, sink: dict[str, Any], words: str) -> None:
    found = problem(tmp_path, sink)
    assert "sinks[0]" in found
    assert words in found
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("amqps://mq.example.org", ("mq.example.org", 5671, "/", True)),
        ("amqp://mq.example.org/", ("mq.example.org", 5672, "/", False)),
        ("amqp://mq.example.org//", ("mq.example.org", 5672, "/", False)),
        ("amqps://mq.example.org:4000/mail", ("mq.example.org", 4000, "mail", True)),
        ("amqps://[::1]/a%2Fb", ("::1", 5671, "a/b", True)),
    ],
)
def test_an_address_of_a_broker_has_its_usual_meaning(url: str, found: tuple[str, int, str, bool]) -> None:
    section = AmqpSinkSection(type="amqp", name="mq", url=url, queue="q")
    assert (section.host, section.port, section.virtual_host, section.tls) == found
