"""What proof before deletion costs: `python -m tests.benchmarks.deletions [MESSAGES]`, 300 if left out.

One process, a Valkey, an S3 server and a maildrop in memory. "Without" replaces the proof by a yes, so that the
ledger alone is believed. Of three runs the cheapest counts; the CPU of an empty poll is the median of fifty.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from ingest import logs
from ingest.adapters.ledger import connect
from ingest.adapters.stores.metered import MeteredStore
from ingest.domain.keys import Layout
from ingest.domain.mailbox import Credentials, Deletion
from ingest.metrics import Metrics
from ingest.testing.maildrop import MemoryConnector, MemoryMaildrop
from ingest.testing.wakeups import MemoryWakeups
from ingest.usecases.poll.proof import StoreProof
from ingest.usecases.schedule import Schedule
from ingest.wiring.runtime import Runtime
from tests.support.bench import mail, mailbox, never
from tests.support.clock import Clock
from tests.support.s3 import S3Server
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingest.domain.mailbox import Mailbox
    from ingest.ports.claims import Claim

MESSAGES, EMPTY_POLLS, RUNS = 300, 50, 3
SCALES = (1, 1000, 1, 1, 1000)


@dataclass(frozen=True, slots=True)
class Cost:
    """What was measured; CPU and time in seconds, of this process alone.

    Attributes:
        requests: to the store, for each deleted message.
        cpu: for each deleted message.
        seconds: of the poll that deletes them.
        empty_requests: to the store, for each poll that finds nothing.
        empty_cpu: the same for its CPU.
    """

    requests: float
    cpu: float
    seconds: float
    empty_requests: float
    empty_cpu: float


class _Believed(StoreProof):
    """Trusts the ledger: confirms every message without asking the store."""

    def held(self, mailbox: Mailbox, messages: Sequence[object]) -> list[bool]:
        del mailbox
        return [True] * len(messages)


def measure(folder: Path, server: S3Server, name: str, messages: int) -> Cost:
    """Fetch, process and delete this many messages of one mailbox, then poll the empty mailbox."""
    with Valkey(folder) as valkey, _runtime(valkey, server, name, messages) as (runtime, clock, metrics):
        runtime.ticker.tick(runtime.schedule())
        runtime.poll_stage.run(never)
        runtime.process_stage.run(never)
        clock.advance(60)
        (claim,) = _due(runtime)
        before, cpu, begun = _requests(metrics), time.process_time(), time.perf_counter()
        outcome = runtime.poll_stage.handle(claim, never)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        assert outcome is not None
        assert outcome.report.deleted == messages, outcome
        requests, empty = _requests(metrics) - before, []
        (claim,) = _due(runtime)
        runtime.poll_stage.handle(claim, never)  # it writes the checkpoint
        before = _requests(metrics)
        for _ in range(EMPTY_POLLS):
            (claim,) = _due(runtime)
            at = time.process_time()
            runtime.poll_stage.handle(claim, never)
            empty.append(time.process_time() - at)
        empty_requests = (_requests(metrics) - before) / EMPTY_POLLS
        return Cost(requests / messages, cpu / messages, seconds, empty_requests, statistics.median(empty))


@contextmanager
def _runtime(valkey: Valkey, server: S3Server, name: str, messages: int) -> Iterator[tuple[Runtime, Clock, Metrics]]:
    ledger, events = connect(valkey.url)
    clock, metrics = Clock(time.time()), Metrics()
    box = mailbox("a", deletion=Deletion(0.0))
    drop = MemoryMaildrop(messages={b"%d-x" % number: mail(f"number {number}") for number in range(messages)})
    runtime = Runtime(
        ledger=ledger,
        events=events,
        store=MeteredStore(server.open(), metrics),
        layout=Layout(name),
        sinks={},
        wakeups=MemoryWakeups(),
        metrics=metrics,
        connect=MemoryConnector({"a": drop}),
        mailboxes=lambda: {"a": box},
        credentials=lambda _: Credentials("user", "secret"),
        fingerprint=lambda _: b"",
        schedule=lambda: Schedule(["a"], [], name),
        now=clock.now,
    )
    with closing(runtime):
        yield runtime, clock, metrics


def _due(runtime: Runtime) -> list[Claim]:
    runtime.ledger.mailboxes.run_now("a")
    return runtime.ledger.mailboxes.claim(1, 600.0)


def _requests(metrics: Metrics) -> float:
    """Count the requests to the store so far."""
    return sum(
        sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "mailhaul_store_requests_total"
    )


def main(messages: int = MESSAGES) -> None:
    """Print the table."""
    logs.configure("text", "error", sys.stderr)
    table = Table(title=f"Deleting {messages:,} messages", caption="requests to the store; CPU of Mailhaul alone")
    for column in ("", "requests/message", "CPU ms/message", "poll s", "requests/empty poll", "CPU ms/empty poll"):
        table.add_column(column, justify="right" if column else "left")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = stack.enter_context(S3Server(Path(folder) / "s3"))
        costs: dict[str, list[Cost]] = {"with": [], "without": []}
        for number in range(RUNS):
            for name, found in costs.items():
                with ExitStack() as patched:
                    if name == "without":
                        patched.enter_context(patch("ingest.wiring.runtime.StoreProof", _Believed))
                    found.append(measure(Path(folder), server, f"{name}-{number}", messages))
        for name, found in costs.items():
            best = [min(getattr(cost, column.name) for cost in found) for column in fields(Cost)]
            table.add_row(
                f"{name} proof", *(f"{value * scale:.2f}" for value, scale in zip(best, SCALES, strict=True))
            )
    Console(width=118).print(table)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
