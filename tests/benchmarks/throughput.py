"""Messages per second, CPU and memory of the whole service: `make bench`, or `python -m tests.benchmarks.throughput`.

Real mails of the demonstration's kinds, from a real Dovecot over TLS, through real worker processes, to a folder and
to S3; then the same number of messages spread over 1, 10 and 100 mailboxes behind a round trip of 20 ms. Absolute
figures belong to the machine; what counts is how the rows compare.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ingest.demo.mails import sample
from tests.benchmarks.processes import Usage, usage_by_role
from tests.support.dovecot import running_dovecot
from tests.support.proxy import DelayProxy
from tests.support.s3 import S3Server
from tests.support.service import Service, write_config
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.support.dovecot import Dovecot

MESSAGES = 2000
ROUND_TRIP = 0.020
ROLES = ("poller", "processor", "relay", "scheduler", "exporter", "ledger", "supervisor")


@dataclass(frozen=True, slots=True)
class Result:
    """One run: seconds from delivery of the configuration to the last event, and what each role used."""

    name: str
    seconds: float
    size: int
    usage: Mapping[str, Usage]


def run(
    name: str,
    dovecot: Dovecot,
    mailboxes: int,
    *,
    port: int,
    env: dict[str, str] | None = None,
    messages: int = MESSAGES,
    **sections: Any,
) -> Result:
    """Deliver the mails, let the service come to rest with all mailboxes paused, unpause them, wait for the end."""
    with tempfile.TemporaryDirectory(prefix="mailhaul-bench-") as folder:
        path = Path(folder)
        (path / "password").write_text("secret")
        users = [f"{name.replace(' ', '-')}-{number:03d}" for number in range(mailboxes)]
        size = _deliver(dovecot, users, messages)
        # As in life: polled again once a minute, not while the others are still waiting for their first time.
        sections["defaults"] = {"interval": "60s"}
        boxes = [_mailbox(user, dovecot, port, path / "password") for user in users]
        paused = write_config(path, [{**box, "enabled": False} for box in boxes], **sections)
        with Service(paused, env or {}) as service:
            assert service.process is not None
            pid = service.process.pid
            eventually(lambda: len(usage_by_role(pid)) >= len(ROLES), lambda: usage_by_role(pid))
            eventually(lambda: _idle(pid), "the service does not come to rest")
            before, started = usage_by_role(pid), time.monotonic()
            write_config(path, boxes, **sections)
            service.wait_for_events(messages, within=600)
            seconds = time.monotonic() - started
            after = usage_by_role(pid)
        used = {role: Usage(usage.cpu - before[role].cpu, usage.peak_mib) for role, usage in after.items()}
        return Result(name, seconds, size, used)


def _deliver(dovecot: Dovecot, users: list[str], messages: int) -> int:
    """All messages, spread evenly; returns their bytes."""
    size = 0
    for user in users:
        dovecot.add_user(user, "secret")
    for index in range(messages):
        user = users[index % len(users)]
        raw = sample(index, user).raw
        size += len(raw)
        dovecot.deliver(user, raw)
    return size


def _idle(pid: int) -> bool:
    """Whether the service used less than a third of a processor over a second."""
    before = sum(usage.cpu for usage in usage_by_role(pid).values())
    time.sleep(1)
    return sum(usage.cpu for usage in usage_by_role(pid).values()) - before < 0.33


def main() -> None:
    """Run everything and print the tables."""
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix="mailhaul-bench-") as folder,
        running_dovecot() as dovecot,
    ):
        with S3Server(Path(folder) / "s3") as s3:
            stores = [
                run("folder", dovecot, 20, port=dovecot.pop3s_port),
                run(
                    "s3",
                    dovecot,
                    20,
                    port=dovecot.pop3s_port,
                    store=s3.store(s3.make_bucket("bench")),
                    env=s3.environment,
                ),
            ]
        console.print(_stages(stores))
        with DelayProxy(dovecot.pop3s_port, ROUND_TRIP / 2) as proxy:
            spread = [run(f"spread {count}", dovecot, count, port=proxy.port) for count in (1, 10, 100)]
        console.print(_growth(spread))


def _stages(results: list[Result]) -> Table:
    table = Table(title=f"{MESSAGES} messages in 20 mailboxes, POP3 over TLS, JSON Lines sink")
    table.add_column("")
    for result in results:
        table.add_column(result.name, justify="right")
        table.add_column("peak MiB", justify="right", style="bright_black")
    table.add_row("messages/s", *_cells(f"{MESSAGES / result.seconds:.0f}" for result in results))
    table.add_row("MB/s", *_cells(f"{result.size / result.seconds / 1e6:.1f}" for result in results))
    table.add_section()
    for role in ROLES:
        cells = []
        for result in results:
            usage = result.usage[role]
            cells += [f"{usage.cpu * 1000 / MESSAGES:.2f}", f"{usage.peak_mib:.0f}"]
        table.add_row(f"{role}, CPU ms/message", *cells)
    table.add_section()
    sums = (sum(usage.cpu for usage in result.usage.values()) for result in results)
    table.add_row("all, CPU ms/message", *_cells(f"{cpu * 1000 / MESSAGES:.2f}" for cpu in sums))
    return table


def _cells(figures: Iterable[str]) -> list[str]:
    """Each figure, and an empty cell where the memory would stand."""
    return [cell for figure in figures for cell in (figure, "")]


def _growth(results: list[Result]) -> Table:
    table = Table(title=f"{MESSAGES} messages behind {ROUND_TRIP * 1000:.0f} ms of round trip, to a folder")
    for head in ("mailboxes", "messages/s", "seconds", "poller CPU ms/message"):
        table.add_column(head, justify="right")
    for result in results:
        table.add_row(
            result.name.split()[-1],
            f"{MESSAGES / result.seconds:.0f}",
            f"{result.seconds:.1f}",
            f"{result.usage['poller'].cpu * 1000 / MESSAGES:.2f}",
        )
    return table


def _mailbox(user: str, dovecot: Dovecot, port: int, password: Path) -> dict[str, Any]:
    return {
        "id": user,
        "host": "localhost",
        "port": port,
        "tls": "implicit",
        "ca": str(dovecot.ca_file),
        "auth": {"type": "password", "username": user, "password": f"file:{password}"},
    }


if __name__ == "__main__":
    main()
