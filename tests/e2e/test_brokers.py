"""The service over other brokers and ledgers: RabbitMQ, Redis over TLS, under a Sentinel, and in a cluster."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cluster import Cluster
from tests.support.redis import Watched, tls_redis
from tests.support.service import Service, mailhaul, read_events, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.dovecot import Dovecot
    from tests.support.rabbitmq import RabbitMq
    from tests.support.valkey import Valkey

pytestmark = [pytest.mark.dovecot, pytest.mark.e2e]
AT_ONCE = 10


class Post:
    """One mailbox, and how much was delivered to it."""

    def __init__(self, dovecot: Dovecot, user: str) -> None:
        self._dovecot, self.user, self.delivered = dovecot, user, 0
        dovecot.add_user(user, "secret")

    def deliver(self) -> int:
        """Some more; how many there are now."""
        for _ in range(AT_ONCE):
            self._dovecot.deliver(self.user, b"Subject: %d\r\n\r\ntext\r\n" % self.delivered)
            self.delivered += 1
        return self.delivered

    def mailbox(self, folder: Path) -> dict[str, Any]:
        (folder / "password").write_text("secret")
        return {
            "id": self.user,
            "host": "127.0.0.1",
            "port": self._dovecot.pop3s_port,
            "ca": str(self._dovecot.ca_file),
            "auth": {"type": "password", "username": self.user, "password": f"file:{folder / 'password'}"},
        }


def check_each_once(events: list[dict[str, Any]]) -> None:
    """No message has two ids."""
    ids = {event["data"]["message_key"]: event["id"] for event in events}
    assert Counter(event["id"] for event in events).keys() == set(ids.values())


def test_wakeups_use_rabbitmq_and_resume_after_its_restart(
    tmp_path: Path, dovecot_server: Dovecot, rabbitmq: RabbitMq
) -> None:
    post = Post(dovecot_server, "over-rabbitmq")
    config = write_config(tmp_path, [post.mailbox(tmp_path)])
    with Service(config, {"MAILHAUL_BROKER": rabbitmq.url}) as service:
        service.wait_for_events(post.deliver())
        workers = service.children()
        rabbitmq.stop()
        rabbitmq.start()
        check_each_once(service.wait_for_events(post.deliver()))
        assert service.children() == workers, "no process had to be started anew"


def test_ledger_and_wakeups_use_tls(tmp_path: Path, dovecot_server: Dovecot) -> None:
    post = Post(dovecot_server, "over-tls")
    with (
        tls_redis(tmp_path) as url,
        Service(write_config(tmp_path, [post.mailbox(tmp_path)], ledger=url)) as service,
    ):
        check_each_once(service.wait_for_events(post.deliver()))


def test_a_failover_loses_nothing(tmp_path: Path, dovecot_server: Dovecot) -> None:
    post = Post(dovecot_server, "over-sentinel")
    with (
        Watched(tmp_path) as watched,
        Service(write_config(tmp_path, [post.mailbox(tmp_path)], ledger=watched.url)) as service,
    ):
        service.wait_for_events(post.deliver())
        post.deliver()
        watched.fail_over()
        check_each_once(service.wait_for_events(post.deliver()))


def test_demoted_primary_that_keeps_its_connections_is_left(tmp_path: Path, dovecot_server: Dovecot) -> None:
    """It answers every write with READONLY for as long as a client stays."""
    post = Post(dovecot_server, "over-demoted")
    with (
        Watched(tmp_path) as watched,
        Service(write_config(tmp_path, [post.mailbox(tmp_path)], ledger=watched.url)) as service,
    ):
        service.wait_for_events(post.deliver())
        post.deliver()
        connected = watched.connections()
        watched.demote()
        assert watched.connections() >= connected / 2
        events = service.wait_for_events(post.deliver())
        check_each_once(events)
        assert len({event["data"]["message_key"] for event in events}) == post.delivered


def test_drain_keeps_its_ledger_in_a_cluster(tmp_path: Path, dovecot_server: Dovecot, cluster: Cluster) -> None:
    cluster.flush()
    post = Post(dovecot_server, "drained-over-cluster")
    config = str(write_config(tmp_path, [post.mailbox(tmp_path)], ledger=cluster.url))
    for _ in range(2):
        delivered = post.deliver()
        done = mailhaul("drain", "--config", config)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(read_events(tmp_path / "events.jsonl")) == delivered


def test_a_failover_in_a_cluster_loses_nothing(tmp_path: Path, dovecot_server: Dovecot, valkey: Valkey) -> None:
    post = Post(dovecot_server, "over-cluster")
    (tmp_path / "cluster").mkdir()
    with (
        Cluster(tmp_path / "cluster", replica=True) as cluster,
        Service(write_config(tmp_path, [post.mailbox(tmp_path)], ledger=cluster.url, broker=valkey.url)) as service,
    ):
        service.wait_for_events(post.deliver())
        workers = service.children()
        post.deliver()
        cluster.fail_over()
        events = service.wait_for_events(post.deliver())
        check_each_once(events)
        assert len({event["data"]["message_key"] for event in events}) == post.delivered
        assert service.children() == workers, "no process had to be started anew"
