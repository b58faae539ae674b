"""A ledger that fills up because a sink is unavailable: polling stops in time, and everything drains afterwards."""

from __future__ import annotations

import json
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from redis.exceptions import OutOfMemoryError

from ingest.demo.server import DemoServer
from tests.support.http import SECRET, Answer, Receiver
from tests.support.servers import free_port
from tests.support.service import Service, mailhaul, write_config
from tests.support.valkey import Valkey
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis import Redis

pytestmark = pytest.mark.e2e
FIRST, MAILS = 600, 700
# What the ledger has besides what it uses when idle. An event takes 12 KiB, so that it can hold some 400.
ROOM = 6 * 2**20
_RECIPIENTS = ",\r\n ".join(f"Recipient Number {number} <recipient.{number}@example.com>" for number in range(150))


def write_mails(folder: Path, numbers: range) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number:04}.eml").write_text(
            f"From: a@example.org\r\nTo: {_RECIPIENTS}\r\nSubject: {number}\r\n\r\nText\r\n", newline=""
        )


def configuration(folder: Path, ledger: str, pop3: int, hook: str, port: int) -> Path:
    box = {
        "id": "orders",
        "host": "127.0.0.1",
        "port": pop3,
        "tls": "none",
        "auth": {"type": "password", "username": "orders", "password": "env:PASSWORD"},
    }
    sink = {"type": "webhook", "name": "erp", "url": hook, "secret": "env:HOOK", "allow_private": True}
    return write_config(folder, [box], ledger=ledger, sinks=[sink], metrics={"port": port}, workers={"processes": 2})


def test_sink_that_is_unavailable_stops_polling_and_everything_drains_when_it_is_back(tmp_path: Path) -> None:
    with (
        Valkey(tmp_path, ("--maxmemory-policy", "noeviction")) as server,
        closing(server.client()) as client,
        Receiver() as receiver,
        DemoServer(tmp_path / "mail", {"orders": "secret"}) as pop3,
    ):
        port = free_port()
        config = configuration(tmp_path, server.url, pop3.port, receiver.url, port)
        env = {"PASSWORD": "secret", "HOOK": SECRET}
        receiver.answer = lambda _: Answer(status=503)

        def status() -> dict[str, Any]:
            return dict(json.loads(mailhaul("status", "--config", str(config), "--json", env=env).stdout))

        def delivered() -> set[str]:
            return {json.loads(request.body)["id"] for request in receiver.requests}

        with Service(config, env) as service:
            eventually(lambda: status()["mailboxes"][0]["status"])
            limit = client.info("memory")["used_memory"] + ROOM
            client.config_set("maxmemory", limit)
            write_mails(tmp_path / "mail" / "orders", range(FIRST))

            eventually(lambda: status()["polling_stopped"], lambda: (client.info("memory")["used_memory"], limit))
            eventually(lambda: "\nmailhaul_polling_stopped 1.0" in page(port), lambda: page(port))
            write_mails(tmp_path / "mail" / "orders", range(FIRST, MAILS))
            eventually(lambda: is_at_rest(status), "polled nevertheless")
            assert "no mailbox is polled" in mailhaul("status", "--config", str(config), env=env).stdout
            eventually(lambda: "polling=stopped" in service.output.read_text())

            # Somebody else takes the rest: now nothing can be written at all.
            with pytest.raises(OutOfMemoryError):
                take_all(client)
            receiver.requests.clear()
            receiver.answer = lambda _: Answer()
            eventually(lambda: len(delivered()) == MAILS, lambda: (len(delivered()), status(), limit))
            eventually(lambda: not status()["polling_stopped"])
            assert "worker.stalled" not in service.output.read_text()


def is_at_rest(status: Callable[[], dict[str, Any]]) -> bool:
    """Return whether no poll of a mailbox with an interval of a second ended in five seconds of ticks.

    A poll that began before polling stopped may end afterwards.
    """
    before = status()
    eventually(lambda: status()["last_tick"] > before["last_tick"] + 5)
    return bool(status()["mailboxes"] == before["mailboxes"])


def take_all(client: Redis) -> None:
    """Fill the server until it rejects writes."""
    for number in count():
        client.set(f"of somebody else {number}", b"x" * 2**16)


def page(port: int) -> str:
    """What the exporter serves."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
        return str(answer.read().decode())
