"""What running processes export, as a real Prometheus sees it."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from ingest.cli.children import PROCESSES
from ingest.demo.mails import sample
from ingest.demo.server import DemoServer
from ingest.metric_specs import SPECS
from tests.support.servers import free_port
from tests.support.service import Service, mailhaul, write_config
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.support.prometheus import Prometheus

MAILS = 6
ENV = {"SECRET": "right"}


def deliver(drops: Path, first: int, count: int) -> None:
    (drops / "box").mkdir(parents=True, exist_ok=True)
    for index in range(first, first + count):
        (drops / "box" / f"{index}.eml").write_bytes(sample(index, "box").raw)


# Expressions that hold once Prometheus has scraped every process after the mails were delivered.
FIGURES = (
    *(
        f'sum(mailhaul_messages_total{{result="{result}"}}) == {MAILS}'
        for result in ("stored", "processed", "published")
    ),
    f"sum(mailhaul_end_to_end_latency_seconds_count) == {MAILS}",
    f"sum(mailhaul_message_size_bytes_count) == {MAILS}",
    f"sum(mailhaul_parse_duration_seconds_count) == {MAILS}",
    f'sum(mailhaul_store_requests_total{{operation="put",result="ok"}}) > {2 * MAILS}',
    'sum(mailhaul_polls_total{mailbox="box",result="success"}) >= 1',
    'sum(mailhaul_pending_messages{stage="process"}) == 0',
    "sum(mailhaul_mailbox_enabled) == 1",
    "sum(mailhaul_ledger_up) == 1",
    "time() - max(mailhaul_scheduler_last_tick_timestamp_seconds) < 30",
)


def check_figures(prometheus: Prometheus) -> None:
    """What was counted is what was delivered. A process may count after it delivered, so that this is waited for."""

    def wrong() -> list[str]:
        return [expression for expression in FIGURES if not prometheus.query(expression)]

    eventually(lambda: not wrong(), wrong)


def check_names(prometheus: Prometheus) -> None:
    """What is exported is declared, and what is declared is exported, unless there was no occasion for it yet."""
    exported = {found.labels["__name__"] for found in prometheus.query('{__name__=~"mailhaul_.+"}')}
    bases = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in exported}
    declared = {spec.full_name for spec in SPECS}
    # A counter's `_created` sample stands without `_total`.
    assert {name for name in bases - declared if f"{name}_total" not in declared} == set()
    assert declared - bases <= {
        "mailhaul_tls_certificate_not_after_timestamp_seconds",
        "mailhaul_mailbox_server_retention_seconds",
        "mailhaul_parse_defects_total",
        "mailhaul_ledger_memory_limit_bytes",
        "mailhaul_sink_unavailable",
        "mailhaul_task_success_timestamp_seconds",
        "mailhaul_task_unfinished_timestamp_seconds",
    }


def answers(console: int) -> bool:
    """Whether the console answers on its port, which it counts."""
    with suppress(OSError), urlopen(f"http://127.0.0.1:{console}/livez", timeout=PATIENCE):
        return True
    return False


@pytest.mark.e2e
@pytest.mark.prometheus
def test_prometheus_scrapes_every_process_with_correct_counts_after_a_crash(
    tmp_path: Path, prometheus_for: Callable[[Sequence[str]], Prometheus]
) -> None:
    deliver(tmp_path / "drops", 0, MAILS)
    port, console = free_port(), free_port()
    with DemoServer(tmp_path / "drops", {"box": "right"}) as server:
        box = {
            "id": "box",
            "host": "127.0.0.1",
            "port": server.port,
            "tls": "none",
            "auth": {"type": "password", "username": "box", "password": "env:SECRET"},
        }
        config = write_config(tmp_path, [box], metrics={"port": port}, console={"port": console})
        with Service(config, ENV) as service:
            service.wait_for_events(MAILS)
            prometheus = prometheus_for([f"127.0.0.1:{port + offset}" for offset in range(len(PROCESSES) + 1)])
            prometheus.wait_until_up()
            eventually(lambda: answers(console), "the console does not answer")
            eventually(lambda: prometheus.query("mailhaul_console_request_duration_seconds_count"))

            check_figures(prometheus)
            check_names(prometheus)
            for offset in range(len(PROCESSES) + 1):
                alive = mailhaul(
                    "health", "--config", str(config), env={"MAILHAUL_METRICS__PORT": str(port + offset)}
                )
                assert (alive.returncode, alive.stderr) == (0, "")

            before = service.children()
            for role in ("process", "poll"):
                os.kill(before[role], signal.SIGKILL)
            eventually(
                lambda: (
                    {"process", "poll"}
                    <= {role for role, pid in service.children().items() if pid != before.get(role)}
                ),
                "killed children were not started again",
            )
            deliver(tmp_path / "drops", MAILS, MAILS)
            events = service.wait_for_events(2 * MAILS)
            assert len({event["id"] for event in events}) == 2 * MAILS
            assert service.stop() == 0
