"""`mailhaul reconcile` with a real ledger and a real server: alone after a loss, and beside the running service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from tests.support.bench import mail
from tests.support.service import Service, mailhaul, read_events, write_config

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.support.dovecot import Dovecot
    from tests.support.valkey import Valkey

pytestmark = pytest.mark.dovecot
ENV = {"POP_SECRET": "secret"}


def boxes(dovecot: Dovecot, *users: str) -> list[dict[str, Any]]:
    for user in users:
        dovecot.add_user(user, "secret")
    return [
        {
            "id": user,
            "host": "127.0.0.1",
            "port": dovecot.pop3_port,
            "tls": "none",
            "auth": {"type": "password", "username": user, "password": "env:POP_SECRET"},
        }
        for user in users
    ]


def reconcile(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return mailhaul("reconcile", *arguments, "--config", str(config), env=ENV)


def test_reconcile_repairs_a_ledger_restored_from_a_backup(
    tmp_path: Path, valkey: Valkey, dovecot_server: Dovecot
) -> None:
    valkey.flush()
    users = ("older-one", "older-two")
    config = write_config(tmp_path, boxes(dovecot_server, *users), ledger=valkey.url)
    for user in users:
        dovecot_server.deliver(user, mail(f"first of {user}"))
    assert mailhaul("drain", "--config", str(config), env=ENV).returncode == 0
    with Redis.from_url(valkey.url) as client:
        older = {key: client.dump(key) for key in client.scan_iter()}
        for user in users:
            dovecot_server.deliver(user, mail(f"second of {user}"))
        assert mailhaul("drain", "--config", str(config), env=ENV).returncode == 0
        client.flushall()
        for key, data in older.items():
            assert data is not None
            client.restore(key, 0, data)

    done = reconcile(config, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["mailbox"], row["messages"], row["reopened"], row["republished"]) for row in rows] == [
        (user, 2, 0, 1) for user in users
    ]
    again = reconcile(config, "--from", users[1])
    assert again.stdout == f"{users[1]}: 2 messages in the store; nothing was missing\n"
    assert mailhaul("drain", "--config", str(config), env=ENV).returncode == 0
    ids = [event["id"] for event in read_events(tmp_path / "events.jsonl")]
    assert len(set(ids)) == 4


def test_reconcile_beside_the_running_service_republishes_nothing(
    tmp_path: Path, valkey: Valkey, own_dovecot: Dovecot
) -> None:
    valkey.flush()
    config = write_config(tmp_path, boxes(own_dovecot, "beside"), ledger=valkey.url)
    with Service(config, ENV) as service:
        for round_ in range(3):
            for number in range(20):
                own_dovecot.deliver("beside", mail(f"{round_} {number}"))
            done = reconcile(config)
            assert done.returncode == 0, done.stderr
        events = service.wait_for_events(60)
    assert len({event["id"] for event in events}) == 60
    assert reconcile(config).stdout == "beside: 60 messages in the store; nothing was missing\n"


def test_a_mailbox_that_is_not_configured_is_named(tmp_path: Path, valkey: Valkey, dovecot_server: Dovecot) -> None:
    valkey.flush()
    config = write_config(tmp_path, boxes(dovecot_server, "only"), ledger=valkey.url)
    for arguments in (["three"], ["--from", "three"]):
        done = reconcile(config, *arguments)
        assert (done.returncode, "there is no mailbox three" in done.stderr) == (2, True)
