"""Slow servers leave threads to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ingest.demo.server import DemoServer
from tests.support.dripping import dripping_servers
from tests.support.servers import free_port
from tests.support.service import Service, write_config
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from pathlib import Path

SERVERS, MAILBOXES, THREADS = 5, 12, 50
# Longer than the test, so that no session of a slow server ends by itself.
NEVER = {"reply": "1h", "poll": "1h"}


def box(id_: str, host: str, port: int, **more: Any) -> dict[str, Any]:
    auth = {"type": "password", "username": id_, "password": "env:PASSWORD"}
    return {"id": id_, "host": host, "port": port, "tls": "none", "auth": auth, **more}


def good_polls(port: int) -> float:
    """How many polls of the mailbox `good` have succeeded."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
        text = answer.read().decode()
    labels = {"mailbox": "good", "result": "success"}
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "mailhaul_polls_total" and sample.labels == labels
    )


@pytest.mark.e2e
def test_quick_server_is_polled_while_slow_ones_hold_every_thread_they_may(tmp_path: Path) -> None:
    """Each slow server may have ten connections, so that without shares the five would hold all fifty threads."""
    with dripping_servers(SERVERS) as slow, DemoServer(tmp_path / "mail", {"good": "secret"}) as quick:
        port = free_port()
        config = write_config(
            tmp_path,
            [
                *(
                    box(f"slow-{server.host}-{number}", server.host, server.port)
                    for server in slow
                    for number in range(MAILBOXES)
                ),
                box("good", "127.0.0.1", quick.port, interval="1s"),
            ],
            defaults={"interval": "5s", "deadlines": NEVER},
            metrics={"port": port},
            workers={"poll_threads": THREADS, "processes": 1},
        )

        def held() -> int:
            return sum(server.open for server in slow)

        with Service(config, {"PASSWORD": "secret"}) as service:
            eventually(lambda: held() >= THREADS * 3 // 4, held)
            eventually(lambda: {"poll"} <= service.children().keys())
            before = good_polls(port + 1)
            eventually(lambda: good_polls(port + 1) >= before + 10, lambda: (held(), good_polls(port)))
            assert held() < THREADS
            assert sum(server.ended for server in slow) == 0
