"""Two deployments on one Redis: neither touches what belongs to the other."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bench import mail
from tests.support.service import Service, mailhaul, read_events, write_config
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.dovecot import Dovecot
    from tests.support.valkey import Valkey

pytestmark = pytest.mark.dovecot
MAILS = [mail(f"shared {number}") for number in range(3)]


def maildrop(server: Dovecot, user: str) -> None:
    server.add_user(user, "right")
    for raw in MAILS:
        server.deliver(user, raw)


def configured(folder: Path, valkey: Valkey, server: Dovecot, user: str, policy: str, **sections: Any) -> Path:
    """A configuration with one mailbox `shared` and a store of its own."""
    auth = {"type": "password", "username": user, "password": "env:SECRET"}
    box = {
        "id": "shared",
        "host": "127.0.0.1",
        "port": server.pop3_port,
        "tls": "none",
        "policy": policy,
        "auth": auth,
    }
    folder.mkdir()
    return write_config(folder, [box], ledger=valkey.url, **sections)


def drain(config: Path) -> None:
    drained = mailhaul("drain", "--config", str(config), env={"SECRET": "right"})
    assert drained.returncode == 0, drained.stderr


def stored(config: Path) -> list[bytes]:
    return sorted(raw.read_bytes() for raw in (config.parent / "store").rglob("raw.eml"))


def published(config: Path) -> list[str]:
    return sorted(event["subject"] for event in read_events(config.parent / "events.jsonl"))


def test_deployments_on_one_redis_deduplicate_and_delete_nothing_for_each_other(
    tmp_path: Path, valkey: Valkey, dovecot_server: Dovecot
) -> None:
    """They even poll the same maildrop, as a mailbox of the same id."""
    valkey.flush()
    maildrop(dovecot_server, "two-deployments")
    args = (valkey, dovecot_server, "two-deployments")
    keeps = configured(tmp_path / "keeps", *args, "keep", deployment="one")
    deletes = configured(tmp_path / "deletes", *args, "delete", deployment="two")
    drain(keeps)
    drain(deletes)
    assert stored(keeps) == stored(deletes) == sorted(MAILS)
    assert published(keeps) == published(deletes)
    assert len(published(keeps)) == len(MAILS)
    assert len(dovecot_server.maildrop("two-deployments")) == len(MAILS), (
        "nothing is deleted on the word of the other"
    )
    drain(keeps)
    assert len(published(keeps)) == len(MAILS)


def test_deployments_of_one_name_and_different_stores_delete_nothing_for_each_other(
    tmp_path: Path, valkey: Valkey, dovecot_server: Dovecot
) -> None:
    """What one has seen is not in the store of the other, whose id is part of all that was seen."""
    valkey.flush()
    maildrop(dovecot_server, "one-name")
    args = (valkey, dovecot_server, "one-name")
    keeps = configured(tmp_path / "keeps", *args, "keep")
    deletes = configured(tmp_path / "deletes", *args, "delete")
    drain(keeps)
    wait_until_deletable(valkey)
    drain(deletes)
    assert stored(deletes) == sorted(MAILS)
    assert len(published(deletes)) == len(MAILS)
    assert len(dovecot_server.maildrop("one-name")) == len(MAILS)


def wait_until_deletable(valkey: Valkey) -> None:
    """Let what is registered now become old enough to be deleted."""
    client = valkey.client()
    until = client.time()[0] + 6
    eventually(lambda: client.time()[0] > until)


@pytest.mark.e2e
def test_services_on_one_redis_use_keys_and_queues_of_their_own(
    tmp_path: Path, valkey: Valkey, dovecot_server: Dovecot
) -> None:
    valkey.flush()
    configs = []
    for name in ("one", "two"):
        maildrop(dovecot_server, f"service-{name}")
        args = (valkey, dovecot_server, f"service-{name}")
        configs.append(configured(tmp_path / name, *args, "keep", deployment=name))
    with ExitStack() as stack:
        services = [stack.enter_context(Service(config, {"SECRET": "right"})) for config in configs]
        for service in services:
            service.wait_for_events(len(MAILS))
        assert [service.stop() for service in services] == [0, 0]
    for config in configs:
        assert stored(config) == sorted(MAILS)
        assert len(published(config)) == len(MAILS)
    # kombu keeps one index of when bindings expire, with an entry for each queue, whatever the queues are called.
    found = [bytes(key) for key in valkey.client().scan_iter("*") if isinstance(key, bytes)]
    owned = rb"(_kombu\.binding(_permanent)?\.)?(\{(one|two)\}:|(one|two)\.)"
    assert {key for key in found if not re.match(owned, key)} <= {b"_kombu.binding_deadlines"}
