"""`mailhaul drain` beside the floor, the least code that does its work: `python -m tests.benchmarks.floor`.

The same mails from the same Dovecot over TLS to the same store, ledger and file, each in a process of its own. CPU is
that of the process, its children and the ledger, less what the same program uses for a maildrop of one mail: a
service starts once, and loads some of its modules with its first mail. Wall is from start to end, memory the peak of
the process. Absolute figures depend on the machine; what counts is the quotient.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.floor_child import PASSWORD, Work
from tests.benchmarks.mime_mails import mails_of_sizes
from tests.benchmarks.pop3_measure import Figure, measure
from tests.benchmarks.processes import cpu_of
from tests.support.dovecot import Dovecot, running_dovecot
from tests.support.s3 import REGION, S3Server
from tests.support.service import write_config
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTESTANTS = ("drain", "floor")
STORES = ("s3", "folder")
_numbers = count()


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of all runs."""

    folder: Path
    dovecot: Dovecot
    s3: S3Server

    def run(self, contestant: str, store: str, mails: Sequence[bytes]) -> Figure:
        """Deliver the mails to a new maildrop and have a contestant fetch them; check that every event arrived."""
        user = f"box-{next(_numbers)}"
        self.dovecot.add_user(user, PASSWORD.decode())
        for mail in mails:
            self.dovecot.deliver(user, mail)
        with tempfile.TemporaryDirectory(prefix=f"{user}-", dir=self.folder) as name:
            with Valkey(Path(name)) as ledger:
                assert ledger.process is not None
                before = cpu_of(ledger.process.pid)
                figure = self._measure(contestant, self._command(contestant, store, user, Path(name), ledger.url))
                spent = cpu_of(ledger.process.pid) - before
            arrived = len(events.read_bytes().splitlines()) if (events := Path(name) / "events.jsonl").exists() else 0
        assert not figure.note, f"{contestant}: {figure.note}"
        assert arrived == len(mails), f"{contestant}: {arrived} of {len(mails)} events arrived"
        return Figure(figure.wall, figure.cpu + spent, figure.mib)

    def _measure(self, contestant: str, command: list[str]) -> Figure:
        with (self.folder / f"{contestant}.log").open("ab") as log:
            # Where Python may not keep bytecode, each start would compile the source anew.
            environment = {**os.environ, **self.s3.environment, "PYTHONDONTWRITEBYTECODE": ""}
            return measure(command, lambda words: subprocess.Popen(words, stdout=log, stderr=log, env=environment))

    def _command(self, contestant: str, store: str, user: str, folder: Path, ledger: str) -> list[str]:
        bucket = self.s3.make_bucket(user) if store == "s3" else ""
        if contestant == "floor":
            where: str | dict[str, str] = str(folder / "store")
            if bucket:
                keys = {name.lower(): value for name, value in self.s3.environment.items()}
                where = {"bucket": bucket, "endpoint": self.s3.endpoint, "region": REGION, **keys}
                where["checksum_algorithm"] = "SHA256"
            work = Work(
                self.dovecot.pop3s_port, str(self.dovecot.ca_file), user, ledger, str(folder / "events.jsonl"), where
            )
            return [sys.executable, "-m", "tests.benchmarks.floor_child", json.dumps(asdict(work))]
        sections: dict[str, Any] = {"store": self.s3.store(bucket)} if bucket else {}
        config = write_config(folder, [self._mailbox(user, folder)], ledger=ledger, **sections)
        return [sys.executable, "-m", "ingest.cli", "drain", "--config", str(config)]

    def _mailbox(self, user: str, folder: Path) -> dict[str, Any]:
        (folder / "password").write_bytes(PASSWORD)
        return {
            "id": user,
            "host": "localhost",
            "port": self.dovecot.pop3s_port,
            "tls": "implicit",
            "ca": str(self.dovecot.ca_file),
            "auth": {"type": "password", "username": user, "password": f"file:{folder / 'password'}"},
        }


def main() -> None:
    """Run everything and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=300)
    arguments.add_argument("--runs", type=int, default=3, help="of which the medians are shown")
    arguments.add_argument("--only", default="", help="rows whose name contains this, such as '40 KB to s3'")
    chosen = arguments.parse_args()
    table = Table(title=f"{chosen.messages} messages in one mailbox, medians of {chosen.runs}")
    table.add_column("")
    for head in ("start CPU s", "CPU ms/message", "quotient", "wall s", "quotient", "peak MiB"):
        table.add_column(head, justify="right")
    with (
        tempfile.TemporaryDirectory(prefix="mailhaul-bench-") as name,
        running_dovecot() as dovecot,
        S3Server(Path(name) / "s3") as s3,
    ):
        servers = Servers(Path(name), dovecot, s3)
        for store in STORES:
            rows = {size: mail for size, mail in mails_of_sizes().items() if chosen.only in f"{size} to {store}"}
            if not rows:
                continue
            for size, mail in rows.items():
                mails = [b"X-Number: %d\r\n%b" % (number, mail) for number in range(chosen.messages + 1)]
                start = {
                    contestant: _median(servers, contestant, store, mails[:1], chosen.runs)
                    for contestant in CONTESTANTS
                }
                found = {
                    contestant: _median(servers, contestant, store, mails, chosen.runs) for contestant in CONTESTANTS
                }
                _add_rows(table, f"{size} to {store}", found, start, chosen.messages)
    Console(width=110).print(table)


def _median(servers: Servers, contestant: str, store: str, mails: Sequence[bytes], runs: int) -> Figure:
    figures = [servers.run(contestant, store, mails) for _ in range(runs)]
    return Figure(
        wall=statistics.median(figure.wall for figure in figures),
        cpu=statistics.median(figure.cpu for figure in figures),
        mib=statistics.median(figure.mib for figure in figures),
    )


def _add_rows(table: Table, name: str, found: dict[str, Figure], start: dict[str, Figure], messages: int) -> None:
    cpu = {who: (figure.cpu - start[who].cpu) * 1000 / messages for who, figure in found.items()}
    for who, figure in found.items():
        table.add_row(
            f"{name}: {who}",
            f"{start[who].cpu:.2f}",
            f"{cpu[who]:.2f}",
            f"{cpu[who] / cpu['floor']:.1f}",
            f"{figure.wall:.2f}",
            f"{figure.wall / found['floor'].wall:.1f}",
            f"{figure.mib:.0f}",
        )
    table.add_section()


if __name__ == "__main__":
    main()
