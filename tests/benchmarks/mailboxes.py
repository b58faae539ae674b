"""Many mailboxes at once in one poller process: `make bench`, or `python -m tests.benchmarks.mailboxes`.

500 mailboxes on a Dovecot behind a round trip of 50 ms, over TLS; a real Valkey, a folder store, the poll stage as it
runs in a worker, with 50, 100 and 200 threads. Polled first with empty memories, then with new mail, then without.
Absolute figures belong to the machine, on which server, proxy and ledger run too: how busy they were stands beside.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.processes import usage_by_role
from tests.support.bench import mail
from tests.support.dovecot import running_dovecot
from tests.support.proxy import DelayProxy
from tests.support.service import write_config
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.support.dovecot import Dovecot

MAILBOXES = 500
NEW = 2  # messages for each, in a round with new mail
ROUND_TRIP = 0.050
THREADS = (50, 100, 200)
WIDTH = 150
FOOTNOTE = f"""\
CPU s is the poller's; server, proxy and ledger are the CPU seconds of the others. An empty poll takes at least four
round trips, so a thread makes at most {1 / (4 * ROUND_TRIP):.0f} a second. Where that is not the limit, it is the
poller's Python (`of wall` goes towards 100 %: one interpreter runs at one place at a time), or the machine (`machine
busy`), on which all of them run. The claims of the ledger alone are far faster than any poll."""


@dataclass(frozen=True, slots=True)
class Round:
    """Polling every mailbox once: seconds, CPU seconds of the poller and of the servers beside it, and MiB."""

    name: str
    wall: float
    cpu: float
    server: float
    proxy: float
    ledger: float
    mib: float
    threads: int

    @property
    def busy(self) -> float:
        """Return the share of all processors that was in use."""
        return (self.cpu + self.server + self.proxy + self.ledger) / self.wall / (os.cpu_count() or 1)


class PollerBenchmark:
    """One poller process, with its mail server and ledger."""

    def __init__(self, dovecot: Dovecot, valkey: Valkey, users: Sequence[str], poller: subprocess.Popen[str]) -> None:
        self._dovecot, self._valkey, self._users, self._poller = dovecot, valkey, users, poller

    def rounds(self) -> Iterator[Round]:
        """Run all rounds; yield the figures of each."""
        expected = 0
        for name, new in (("first poll, no mail", 0), (f"{NEW} new messages each", NEW), ("no new mail", 0)):
            for user in self._users:
                for number in range(new):
                    self._dovecot.deliver(user, mail(f"{time.time_ns()} {number}", "Hello. " * 200))
            expected = new * len(self._users)
            yield self._round(name, "poll", expected)
        yield self._round("claims alone", "claims", 0)

    def _round(self, name: str, command: str, expected: int) -> Round:
        before = self._others()
        assert self._poller.stdin is not None
        assert self._poller.stdout is not None
        self._poller.stdin.write(command + "\n")
        self._poller.stdin.flush()
        said: dict[str, Any] = json.loads(self._poller.stdout.readline())
        server, proxy, ledger = (after - since for after, since in zip(self._others(), before, strict=True))
        assert said["polled"] >= len(self._users), said
        assert said.get("stored", 0) == expected, said
        assert set(said.get("results", ())) <= {"success"}, said
        return Round(name, said["wall"], said["cpu"], server, proxy, ledger, said["mib"], said["threads"])

    def _others(self) -> tuple[float, float, float]:
        """CPU seconds so far of server, proxy (this process) and ledger."""
        assert self._dovecot._process is not None
        assert self._valkey.process is not None
        server = sum(usage.cpu for usage in usage_by_role(self._dovecot._process.pid).values())
        ledger = sum(usage.cpu for usage in usage_by_role(self._valkey.process.pid).values())
        return server, time.process_time(), ledger


@contextmanager
def _poller(config: Path, ledger: str, threads: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.benchmarks.mailboxes_poller", str(config), ledger, str(threads)]
    with (config.parent / f"poller-{threads}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1
        )
        try:
            yield process
        finally:
            process.communicate(timeout=60)


def run(threads: int, dovecot: Dovecot, port: int, folder: Path) -> list[Round]:
    """One poller process with fresh mailboxes, ledger and store."""
    folder.mkdir()
    (folder / "password").write_text("secret")
    users = [f"t{threads}-{number:03d}" for number in range(MAILBOXES)]
    for user in users:
        dovecot.add_user(user, "secret")
    config = write_config(
        folder,
        [_mailbox(user, dovecot, port, folder / "password") for user in users],
        defaults={"interval": "1h", "limits": {"connections": 2 * MAILBOXES}},
    )
    with Valkey(folder) as valkey, _poller(config, valkey.url, threads) as poller:
        return list(PollerBenchmark(dovecot, valkey, users, poller).rounds())


def _mailbox(user: str, dovecot: Dovecot, port: int, password: Path) -> dict[str, Any]:
    return {
        "id": user,
        "host": "127.0.0.1",
        "port": port,
        "tls": "implicit",
        "ca": str(dovecot.ca_file),
        "auth": {"type": "password", "username": user, "password": f"file:{password}"},
    }


_COLUMNS: dict[str, Callable[[Round], str]] = {
    "seconds": lambda one: f"{one.wall:.2f}",
    "mailboxes/s": lambda one: f"{MAILBOXES / one.wall:.0f}",
    "CPU ms each": lambda one: f"{one.cpu * 1000 / MAILBOXES:.2f}",
    "CPU s": lambda one: f"{one.cpu:.2f}",
    "of wall": lambda one: f"{one.cpu / one.wall:.0%}",
    "server": lambda one: f"{one.server:.2f}",
    "proxy": lambda one: f"{one.proxy:.2f}",
    "ledger": lambda one: f"{one.ledger:.2f}",
    "machine busy": lambda one: f"{one.busy:.0%}",
    "peak MiB": lambda one: f"{one.mib:.0f}",
    "threads": lambda one: str(one.threads),
}


def _table(threads: int, rounds: Sequence[Round]) -> Table:
    title = f"{MAILBOXES} mailboxes, {ROUND_TRIP * 1000:.0f} ms of round trip, {threads} poll threads"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("", min_width=22)
    for head in _COLUMNS:
        table.add_column(head, justify="right")
    for one in rounds:
        table.add_row(one.name, *(cell(one) for cell in _COLUMNS.values()))
    return table


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description="many mailboxes in one poller")
    parser.add_argument("--threads", type=int, nargs="*", default=THREADS)
    chosen = parser.parse_args()
    console = Console(width=max(WIDTH, Console().width))
    with (
        running_dovecot() as dovecot,
        DelayProxy(dovecot.pop3s_port, ROUND_TRIP / 2) as proxy,
        tempfile.TemporaryDirectory(prefix="mailhaul-bench-") as folder,
    ):
        for threads in chosen.threads:
            console.print(_table(threads, run(threads, dovecot, proxy.port, Path(folder) / str(threads))))
    console.print(FOOTNOTE)


if __name__ == "__main__":
    main()
