"""`mailhaul sinks` with a real ledger and a real receiver: from 410 to deliveries again; and `check` on sinks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ingest.adapters.ledger import connect
from ingest.domain.events import Event
from ingest.domain.message import FailedMessage, OpenMessage
from ingest.domain.record import ObjectRef
from ingest.ports.seen import Registration
from tests.support.aws import KEYS, REGION
from tests.support.http import SECRET, Answer, Receiver
from tests.support.kafka import PASSWORD, USER, Kafka, KafkaTopic
from tests.support.rabbitmq import AmqpQueue, RabbitMq
from tests.support.service import mailhaul, write_config
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.aws import MotoServer
    from tests.support.valkey import Valkey

WHEN = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)


def append_event(url: str) -> None:
    """Append one event to the stream, that of a failed message."""
    ledger, _ = connect(url)
    with closing(ledger):
        source = ObjectRef(bucket="b", key="one/raw.eml", size=1234, sha256="0" * 64)
        message = OpenMessage(key="a" * 32, mailbox="one", unique_id="u", folder="f", source=source, first_seen=WHEN)
        ledger.mailboxes.add(["one"])
        (claim,) = ledger.mailboxes.claim(1, 60)
        ledger.register(claim, [Registration(bytes(16), message)])
        ledger.mailboxes.release(claim, 0)
        (claim,) = ledger.messages.claim(1, 60)
        failed = FailedMessage(message=message, reason="message", tries=6, failed_at=WHEN)
        ledger.fail(claim, failed, Event("e1", "t", "one", b'{"id":"e1"}'))


def test_sink_that_answered_410_gets_nothing_until_it_is_resumed(tmp_path: Path, valkey: Valkey) -> None:
    valkey.flush()
    with Receiver() as receiver:
        sink = {"type": "webhook", "name": "erp", "url": receiver.url, "secret": "env:HOOK", "allow_private": True}
        config = str(write_config(tmp_path, [], ledger=valkey.url, sinks=[sink]))
        environment = {"HOOK": SECRET}
        append_event(valkey.url)
        receiver.answer = lambda _: Answer(410)
        for _ in range(2):
            assert mailhaul("drain", "--config", config, env=environment).returncode == 1
        assert len(receiver.requests) == 1
        shown = mailhaul("status", "--config", config, env=environment)
        assert "mailhaul sinks resume erp" in " ".join(shown.stdout.split())
        data = json.loads(mailhaul("status", "--json", "--config", config, env=environment).stdout)
        assert data["disabled"] == ["erp"]

        receiver.answer = lambda _: Answer(204)
        assert "erp is due now" in mailhaul("sinks", "resume", "erp", "--config", config, env=environment).stdout
        assert mailhaul("drain", "--config", config, env=environment).returncode == 0
        assert [request.headers["webhook-id"] for request in receiver.requests] == ["e1", "e1"]


@contextmanager
def relay(config: str, secret: str) -> Iterator[None]:
    """A relay process, which nobody wakes."""
    command = [sys.executable, "-m", "ingest.cli", "worker", "relay", "--config", config]
    with subprocess.Popen(command, env={**os.environ, "HOOK": secret}) as process:
        try:
            yield
        finally:
            process.terminate()


def test_pause_of_a_sink_ends_when_its_fix_is_rolled_out_or_by_hand(tmp_path: Path, valkey: Valkey) -> None:
    valkey.flush()
    ledger, events = connect(valkey.url)
    with Receiver() as receiver, closing(ledger):
        sink = {"type": "webhook", "name": "erp", "url": receiver.url, "secret": "env:HOOK", "allow_private": True}
        config = str(write_config(tmp_path, [], ledger=valkey.url, sinks=[sink]))
        append_event(valkey.url)
        ledger.sinks.add(["erp"])

        def pause() -> bool:
            """Make the pause after a failure an hour long; False if there was none yet, or the relay was faster."""
            claim = ledger.sinks.claim_one("erp", 60) if ledger.sinks.due_in("erp") else None
            if claim is not None:
                ledger.sinks.release(claim, 3600, claim.tries)
            return claim is not None

        with relay(config, "not a signing secret"):
            eventually(pause)
        shown = mailhaul("status", "--config", config, env={"HOOK": ""}).stdout
        assert "has a signing secret of the wrong form" in " ".join(shown.split())
        with relay(config, SECRET):
            eventually(lambda: receiver.requests)
            eventually(lambda: ledger.sinks.due_in("erp") == 0)

        receiver.answer = lambda _: Answer(503)
        events.republish([Event("e2", "t", "one", b'{"id":"e2"}')])
        with relay(config, SECRET):
            eventually(lambda: len(receiver.requests) > 1 and pause())
            refused = len(receiver.requests)
            receiver.answer = lambda _: Answer(204)
            printed = mailhaul("sinks", "retry", "erp", "--config", config, env={"HOOK": SECRET}).stdout
            assert "erp is due now" in printed
            eventually(lambda: len(receiver.requests) == refused + 1)


def test_resuming_an_unknown_sink_is_an_error(tmp_path: Path, valkey: Valkey) -> None:
    config = str(write_config(tmp_path, [], ledger=valkey.url))
    done = mailhaul("sinks", "resume", "erp", "--config", config)
    assert done.returncode == 2
    assert "there is no sink erp" in done.stderr


def test_rejected_events_can_be_listed_retried_and_dropped(tmp_path: Path, valkey: Valkey) -> None:
    valkey.flush()
    with Receiver() as receiver:
        sink = {"type": "webhook", "name": "erp", "url": receiver.url, "secret": "env:HOOK", "allow_private": True}
        config = str(write_config(tmp_path, [], ledger=valkey.url, sinks=[sink]))

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return mailhaul(*arguments, "--config", config, env={"HOOK": SECRET})

        append_event(valkey.url)
        receiver.answer = lambda _: Answer(422)
        run("drain")
        assert "mailhaul sinks dead-letters list NAME" in " ".join(run("status").stdout.split())
        (row,) = json.loads(run("sinks", "dead-letters", "list", "erp", "--json").stdout)
        assert row.pop("appended")
        assert row == {"event_id": "e1", "type": "t", "mailbox": "one", "bytes": 11, "state": "retrying"}
        assert "e1" in run("sinks", "dead-letters", "list", "erp").stdout

        assert run("sinks", "dead-letters", "retry", "erp").returncode == 2
        assert run("sinks", "dead-letters", "retry", "erp", "--all").stdout == "1 event is due now\n"
        receiver.answer = lambda _: Answer(204)
        assert run("drain").returncode == 0
        assert "is empty" in run("sinks", "dead-letters", "list", "erp").stdout
        assert run("sinks", "dead-letters", "drop", "erp", "e1", "--yes").stdout == "0 events were dropped\n"
        assert "there is no sink none" in run("sinks", "dead-letters", "list", "none").stderr


def test_check_tries_every_kind_of_sink_and_says_what_is_wrong(
    tmp_path: Path, valkey: Valkey, moto_server: MotoServer, rabbitmq: RabbitMq, kafka: Kafka
) -> None:
    queue, records = AmqpQueue(rabbitmq), KafkaTopic(kafka)
    with closing(moto_server.sqs) as sqs, closing(moto_server.sns) as sns, closing(moto_server.events) as events:
        url = sqs.create_queue(QueueName="checked")["QueueUrl"]
        topic = sns.create_topic(Name="checked")["TopicArn"]
        events.create_event_bus(Name="checked")
    keys = {"access_key": "env:ACCESS", "secret_key": "env:SECRET"}
    at_moto = {"endpoint": moto_server.endpoint, **keys}
    amqp = {"type": "amqp", "url": f"amqps://127.0.0.1:{rabbitmq.tls_port}", "ca": str(rabbitmq.ca_file)}
    login = {"username": USER, "password": "env:KAFKA", "mechanism": "scram-sha-512"}
    brokers = {"type": "kafka", "brokers": f"127.0.0.1:{kafka.tls_proxy.port}", "ca": str(kafka.ca_file), **login}
    sinks = [
        {"type": "sqs", "url": url, "region": REGION, **keys},
        {"type": "sns", "topic": topic, **at_moto},
        {"type": "eventbridge", "bus": "checked", "region": REGION, **at_moto},
        {**amqp, "queue": queue.name},
        {**brokers, "topic": records.name},
        {"name": "bad-sqs", "type": "sqs", "url": f"{url}-missing", "region": REGION, **keys},
        {"name": "bad-sns", "type": "sns", "topic": f"{topic}-missing", **at_moto},
        {"name": "bad-bus", "type": "eventbridge", "bus": "missing", "region": REGION, **at_moto},
        {"name": "bad-mq", **amqp, "queue": f"{queue.name}-missing"},
        {"name": "bad-kafka", **brokers, "topic": f"{records.name}-missing"},
        {"name": "bad-hook", "type": "webhook", "url": "http://127.0.0.1:9/", "secret": "env:HOOK"},
    ]
    config = str(write_config(tmp_path, [], ledger=valkey.url, sinks=sinks))
    environment = {"ACCESS": KEYS.access_key, "SECRET": KEYS.secret_key, "HOOK": SECRET, "KAFKA": PASSWORD}
    done = mailhaul("check", "--json", "--config", config, env=environment)
    assert done.returncode == 1
    found = {row["name"]: row for row in json.loads(done.stdout)["findings"] if row["part"] == "sink"}
    assert {name for name, row in found.items() if row["ok"]} == {"sqs", "sns", "eventbridge", "amqp", "kafka"}
    missing = ("bad-sqs", "bad-sns", "bad-bus", "bad-mq", "bad-kafka")
    assert all("create it" in found[name]["detail"] for name in missing)
    assert "allow_private" in found["bad-hook"]["detail"]
    queue.delete()
    records.delete()


def test_sink_that_left_the_configuration_is_kept_until_it_is_removed(tmp_path: Path, valkey: Valkey) -> None:
    valkey.flush()
    sinks = [{"type": "jsonl", "name": name, "path": str(tmp_path / name)} for name in ("main", "old")]
    both = str(write_config(tmp_path, [], ledger=valkey.url, sinks=sinks))
    append_event(valkey.url)
    assert "mailhaul sinks dead-letters" not in mailhaul("drain", "--config", both).stderr
    refused = mailhaul("sinks", "remove", "old", "--yes", "--config", both)
    assert refused.returncode == 2
    assert "remove it from the configuration first" in refused.stderr
    config = str(write_config(tmp_path, [], ledger=valkey.url, sinks=sinks[:1]))
    mailhaul("drain", "--config", config)
    status = mailhaul("status", "--config", config)
    assert "mailhaul sinks remove old" in " ".join(status.stdout.split())
    for printed in ("old was removed", "nothing is kept for old"):
        assert printed in mailhaul("sinks", "remove", "old", "--yes", "--config", config).stdout
    assert json.loads(mailhaul("status", "--json", "--config", config).stdout)["left"] == {}
