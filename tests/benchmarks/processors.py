"""What a second process in the processor gains: `python -m tests.benchmarks.processors`.

The messages are fetched first. Then a processor (`mailhaul worker process`) works them off alone: pollers, relay and
scheduler do not run, as with one process they would use the core that it leaves, and with two they would take part
of what the second one needs. The store is a folder in memory, so that no disk is the limit. Measured is the stretch
from a tenth to nine tenths of the messages, without the start of the processes.

The ledger's server is the only other program, and its CPU is taken off. A process waits for each answer, so the
server's CPU is part of the seconds of one process, and each of `n` processes waits for an `n`-th of it:

    messages/s without it = messages / (seconds - CPU of the server / n)

The gain is the quotient of these. The other columns say what limits it:

- "cores used" by one process is its CPU per second. Two cores allow a gain of two divided by that at most.
- "CPU ms" is what the processor needs for one message. Processes that disturb each other need more than one alone.
- If two processes neither need more CPU nor use twice the cores, they wait: for a lock, or the server.
- "no core, s" are the seconds in which threads of the processor could run and had no core, as the kernel counts them.
  Where it is high for one process, other programs use the machine, and the gain says nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ingest import logs
from ingest.adapters.ledger.address import Broker
from ingest.config import ConfigSource
from ingest.demo.mails import sample
from ingest.metrics import Metrics
from ingest.ports.wakeups import Queue
from ingest.testing.wakeups import MemoryWakeups
from ingest.wiring.build import build
from tests.benchmarks.pop3_measure import IN_MEMORY
from tests.benchmarks.processes import cpu_of, usage_by_role, waited_for_cores
from tests.support.bench import never
from tests.support.dovecot import running_dovecot
from tests.support.service import write_config
from tests.support.valkey import PERSISTENT, Valkey
from workers.app import make_app
from workers.wakeups import CeleryWakeups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.ports.ledger import Ledger
    from tests.support.dovecot import Dovecot

PROCESSES = (1, 2)
MAILBOXES = 20
_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Sample:
    """How far a run was at some moment, and the seconds until then; `wanted`: those in which a thread had no core."""

    at: float
    done: int
    processor: float
    server: float
    wanted: float

    def __sub__(self, other: Sample) -> Sample:
        return Sample(
            self.at - other.at,
            self.done - other.done,
            self.processor - other.processor,
            self.server - other.server,
            self.wanted - other.wanted,
        )


@dataclass(frozen=True, slots=True)
class Bench:
    """Messages that wait to be processed, and the ledger that has them."""

    config: Path
    url: str
    server: int
    ledger: Ledger
    messages: int

    def run(self) -> Sample:
        """Work off the messages; return the stretch from a tenth to nine tenths of them."""
        with closing(make_app(Broker(self.url))) as app, _processor(self.config) as worker:
            wakeups = CeleryWakeups(app)
            begin, end = (self._sample(worker, wakeups, self.messages * tenths // 10) for tenths in (1, 9))
            return end - begin

    def _sample(self, worker: subprocess.Popen[bytes], wakeups: CeleryWakeups, enough: int) -> Sample:
        """Wait until so many messages are done, and take a sample then."""
        while (done := self._done()) < enough:
            assert worker.poll() is None, "the processor ended"
            # A wake-up keeps a process busy until nothing is due, or for some seconds.
            if wakeups.waiting(Queue.PROCESS) == 0:
                wakeups.send(Queue.PROCESS, max(PROCESSES))
            time.sleep(_PAUSE)
        now, pid = time.monotonic(), worker.pid
        processor = sum(usage.cpu for usage in usage_by_role(pid).values())
        return Sample(now, done, processor, cpu_of(self.server), waited_for_cores(pid))

    def _done(self) -> int:
        left = self.ledger.messages.backlog()
        return self.messages - left.due - left.claimed - left.waiting


@contextmanager
def _processor(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a processor. What it wrote is in the message of an error."""
    command = [sys.executable, "-m", "ingest.cli", "worker", "process", "--config", str(config)]
    path = config.parent / "processor.log"
    with path.open("wb") as log, subprocess.Popen(command, stderr=log) as worker:
        try:
            yield worker
        except AssertionError as error:
            error.add_note(path.read_text()[-3000:])
            raise
        finally:
            worker.terminate()


@contextmanager
def fetched(folder: Path, dovecot: Dovecot, processes: int, messages: int) -> Iterator[Bench]:
    """Fetch messages into a store and a ledger of their own."""
    folder.mkdir()
    boxes = [_mailbox(dovecot, f"processes-{processes}-{number:02d}") for number in range(MAILBOXES)]
    for index in range(messages):
        user = boxes[index % MAILBOXES]["id"]
        dovecot.deliver(user, sample(index, user).raw)
    with Valkey(folder, PERSISTENT) as valkey:
        (folder / "password").write_text("secret")
        config = write_config(folder, boxes, ledger=valkey.url, workers={"processes": processes})
        source = ConfigSource(config, os.environ)
        with closing(build(source, valkey.url, Metrics(), MemoryWakeups())) as runtime:
            runtime.ticker.tick(runtime.schedule())
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(lambda _: runtime.poll_stage.run(never), range(4)))
            waiting = runtime.ledger.messages.backlog().due
            assert waiting == messages, f"{waiting} of {messages} messages were fetched"
            assert valkey.process is not None
            yield Bench(config, valkey.url, valkey.process.pid, runtime.ledger, messages)


def _mailbox(dovecot: Dovecot, user: str) -> dict[str, Any]:
    dovecot.add_user(user, "secret")
    auth = {"type": "password", "username": user, "password": "file:password"}
    return {"id": user, "host": "127.0.0.1", "port": dovecot.pop3_port, "tls": "none", "auth": auth}


def main() -> None:
    """Run everything and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=2000)
    chosen = arguments.parse_args()
    table = Table(title=f"{chosen.messages} messages in {MAILBOXES} mailboxes, to a folder in memory")
    for head in ("processes", "messages/s", "CPU ms", "cores used", "no core, s", "server's CPU s"):
        table.add_column(head, justify="right")
    for head in ("messages/s without it", "gain"):
        table.add_column(head, justify="right")
    logs.configure("json", "warning", sys.stderr)
    alone: float | None = None
    memory = tempfile.TemporaryDirectory(prefix="mailhaul-bench-", dir=IN_MEMORY)
    with memory as name, running_dovecot() as dovecot:
        for processes in PROCESSES:
            with fetched(Path(name) / str(processes), dovecot, processes, chosen.messages) as bench:
                took = bench.run()
            rate = took.done / (took.at - took.server / processes)
            alone = alone or rate
            figures = (
                *(f"{took.done / took.at:.0f}", f"{took.processor * 1000 / took.done:.2f}"),
                *(f"{took.processor / took.at:.2f}", f"{took.wanted:.1f}", f"{took.server:.1f}"),
                *(f"{rate:.0f}", f"{rate / alone:.2f}"),
            )
            table.add_row(str(processes), *figures)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
