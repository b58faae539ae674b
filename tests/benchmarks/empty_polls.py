"""What an empty poll costs when there are many mailboxes: `python -m tests.benchmarks.empty_polls`.

A scheduler and a poller as a service runs them, a real Valkey with an append-only file, and a POP3 server with empty
maildrops over TLS, each a process of its own. The ledger knows 1,000 or 10,000 mailboxes, all of which were polled
before (`--mailboxes 1000 10000 100000` takes some minutes). Their interval is such that as many of them are due each
second, so what differs between columns depends on the number of mailboxes. CPU is that of each process during 20
seconds, divided by the polls that the server has seen.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trustme
from rich.console import Console
from rich.table import Table

from ingest.adapters.ledger import connect
from ingest.adapters.ledger.names import Names
from ingest.config import ConfigSource
from ingest.metrics import Metrics
from ingest.ports.slots import LastLogin
from ingest.ports.status import MailboxStatus
from ingest.ports.wakeups import NoWakeups
from ingest.usecases.schedule import REPAIR_EVERY, Ticker
from ingest.wiring.build import build
from tests.benchmarks.processes import cpu_of, peak_mib_of
from tests.support.servers import free_port
from tests.support.valkey import PERSISTENT, Valkey
from tests.support.waiting import eventually
from workers.exporter import SystemCollector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ingest.ports.ledger import Ledger
    from ingest.wiring.runtime import Runtime

MAILBOXES = (1_000, 10_000)
POLLS_A_SECOND = 100
SECONDS = 20.0
WARM_UP = 5.0
SERVERS = 100
LEASE = 900.0
WIDTH = 120
AT_ONCE = 100
WANTED = 100_000 / 60  # polls a second of 100,000 mailboxes at 60 s
_PROCESSES = {"scheduler": ("scheduler",), "exporter": ("exporter",), "poller": ("worker", "poll")}
Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Stub:
    """The POP3 server."""

    process: subprocess.Popen[str]
    port: int
    certificate: Path

    def polls(self) -> int:
        """Sessions that have ended so far."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def _stub(folder: Path) -> Iterator[Stub]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = authority.issue_cert(*map(_host, range(SERVERS)))
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.empty_stub", str(folder / "server.pem")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Stub(process, int(process.stdout.readline()), folder / "ca.pem")
    finally:
        process.communicate(timeout=60)


def _host(number: int) -> str:
    return f"127.0.1.{number % SERVERS + 1}"


def _id(number: int) -> str:
    return f"mailbox-{number:06d}"


def _configuration(folder: Path, mailboxes: int, rate: int, stub: Stub, ledger: str) -> Path:
    (folder / "password").write_text("secret")
    path = folder / "mailhaul.yaml"
    with path.open("w") as file:
        file.write(
            f"store: file://{folder}/store\nledger: {ledger}\nlog: {{level: warning}}\n"
            f"defaults: {{interval: {mailboxes / rate:.0f}s, port: {stub.port}, ca: {stub.certificate}}}\n"
            "mailboxes:\n"
        )
        for number in range(mailboxes):
            file.write(
                f"  - id: {_id(number)}\n    host: {_host(number)}\n"
                f"    auth: {{type: password, username: user{number}@example.org, password: 'file:password'}}\n"
            )
    return path


def _fill(ledger: Ledger, mailboxes: int) -> None:
    """Write what the ledger holds of polled mailboxes: seen sets marked as rebuilt, and their status."""
    incarnation, now = ledger.incarnation(), time.time()
    status = MailboxStatus(now, "success", now, certificate_not_after=now + 1e6)
    login = LastLogin(os.urandom(8).hex(), os.urandom(2).hex(), now)
    for start in range(0, mailboxes, AT_ONCE):
        batch = [_id(number) for number in range(start, min(start + AT_ONCE, mailboxes))]
        ledger.mailboxes.add(batch)
        for claim in ledger.mailboxes.claim(len(batch), LEASE):
            ledger.restore_seen(claim, {}, incarnation)
            ledger.put_status(claim.id, status, login)
            ledger.mailboxes.release(claim, LEASE)


def _spread(valkey: Valkey, mailboxes: int, seconds: float) -> None:
    """Spread the due times of the mailboxes over the interval, as in a service that has run for a while."""
    with closing(valkey.client()) as client:
        now, due = time.time(), f"{Names().mailboxes}:due"
        for start in range(0, mailboxes, 10_000):
            ids = range(start, min(start + 10_000, mailboxes))
            client.zadd(due, {_id(number): (now + WARM_UP + number / mailboxes * seconds) * 1000 for number in ids})


@contextmanager
def _running(config: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Return the processes once each serves its metrics."""
    with ExitStack() as stack:
        processes = {}
        for name, words in _PROCESSES.items():
            port = free_port()
            log = stack.enter_context((config.parent / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                [sys.executable, "-m", "ingest.cli", *words, "--config", str(config)],
                env={**os.environ, "MAILHAUL_METRICS__PORT": str(port)},
                stderr=log,
            )
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
            processes[name] = process
            eventually(partial(_alive, port), Path(log.name).read_text)
        yield processes


def _alive(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return bool(answer.read())
    return False


def _polled(config: Path, valkey: Valkey, stub: Stub, spread: Callable[[], None]) -> Iterator[Row]:
    """Measure what scheduler, poller, ledger and server use during polls."""
    assert valkey.process is not None
    with _running(config) as processes:
        pids = {name: process.pid for name, process in processes.items()}
        started = {name: cpu_of(pid) for name, pid in pids.items()}
        spread()
        pids |= {"ledger": valkey.process.pid, "server": stub.process.pid}
        time.sleep(2 * WARM_UP)
        before, polls, began = {name: cpu_of(pid) for name, pid in pids.items()}, stub.polls(), time.monotonic()
        time.sleep(SECONDS)
        used = {name: cpu_of(pid) - before[name] for name, pid in pids.items()}
        polls, seconds = stub.polls() - polls, time.monotonic() - began
        yield "polls a second", f"{polls / seconds:.0f}"
        for name in ("poller", "ledger", "server"):
            yield f"{name}: CPU a poll", f"{used[name] / polls * 1000:.2f} ms"
        yield "scheduler: CPU a second", f"{used['scheduler'] / seconds * 1000:.1f} ms"
        for name, cpu in started.items():
            yield f"{name}: CPU until it serves", f"{cpu:.1f} s"
            yield f"{name}: peak memory", f"{peak_mib_of(pids[name]):.0f} MiB"


def _occasional(runtime: Runtime, source: ConfigSource) -> Iterator[Row]:
    """Measure the work for all mailboxes that is done once a minute or at each scrape."""
    schedule = runtime.schedule()
    ticker = Ticker(runtime.ledger, runtime.events, NoWakeups())
    ticker.tick(schedule)
    yield "scheduler: tick", _cost(lambda: ticker.tick(schedule))
    ticker.ticks = REPAIR_EVERY
    yield "scheduler: tick that repairs, each minute", _cost(lambda: ticker.tick(schedule))
    write = runtime.watermark.write
    yield "relay: watermark, each minute", _cost(lambda: write(schedule.configured, schedule.sinks, time.time()))
    collector = SystemCollector(runtime, source)
    yield "exporter: scrape that reads certificates", _cost(lambda: list(collector.collect()))
    yield "exporter: scrape", _cost(lambda: list(collector.collect()))


def _cost(work: Callable[[], object]) -> str:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return f"{cpu * 1000:.0f} ms CPU, {wall * 1000:.0f} ms"


def measured(mailboxes: int, rate: int, stub: Stub, folder: Path) -> list[Row]:
    """Measure one column of the table."""
    folder.mkdir()
    with Valkey(folder, PERSISTENT) as valkey, closing(valkey.client()) as client:

        def memory() -> int:
            return int(client.info("memory")["used_memory"])

        empty = memory()
        config = _configuration(folder, mailboxes, rate, stub, valkey.url)
        rows = []
        cpu = time.process_time()
        source = ConfigSource(config, {})
        rows.append(("configuration: CPU to read", f"{time.process_time() - cpu:.1f} s"))
        ledger, _ = connect(valkey.url)
        with closing(ledger):
            _fill(ledger, mailboxes)
        rows.append(("ledger: memory a mailbox", f"{(memory() - empty) / mailboxes:.0f} bytes"))
        with closing(build(source, valkey.url, Metrics(), NoWakeups())) as runtime:
            rows += _occasional(runtime, source)
        rows += _polled(config, valkey, stub, lambda: _spread(valkey, mailboxes, mailboxes / rate))
        return rows


def _table(columns: dict[int, list[Row]], rate: int) -> Table:
    table = Table("", *(f"{mailboxes:,} mailboxes" for mailboxes in columns), title=f"{rate} empty polls a second")
    for rows in zip(*columns.values(), strict=True):
        table.add_row(rows[0][0], *(figure for _, figure in rows))
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="the cost of empty polls")
    parser.add_argument("--mailboxes", type=int, nargs="*", default=MAILBOXES)
    parser.add_argument("--rate", type=int, default=POLLS_A_SECOND, help="polls a second")
    chosen = parser.parse_args(arguments)
    columns = {}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="mailhaul-bench-") as name, _stub(Path(name)) as stub:
        for mailboxes in chosen.mailboxes:
            columns[mailboxes] = measured(mailboxes, chosen.rate, stub, Path(name) / str(mailboxes))
    console = Console(width=max(WIDTH, Console().width))
    console.print(_table(columns, chosen.rate))
    console.print(
        f"100,000 mailboxes at 60 s are {WANTED:,.0f} polls a second. Load of the machine: {load:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after, {os.cpu_count()} processors."
    )


if __name__ == "__main__":
    main()
