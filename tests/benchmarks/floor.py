"""`mailhaul drain` beside the floor, the least code that does its work: `python -m tests.benchmarks.floor`.

The same mails from the same Dovecot over TLS to the same store, ledger and file, each in a process of its own. CPU is
that of the process, its children and the ledger, less what the same program uses for a maildrop of one mail: a
service starts once, and loads some of its modules with its first mail. Wall is from start to end, memory the peak of
the process. Absolute figures depend on the machine; what counts is the quotient.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.benchmarks.contest import Contest, drain_command, s3_in_memory
from tests.benchmarks.floor_child import Work
from tests.benchmarks.mime_mails import mails_of_sizes
from tests.support.dovecot import running_dovecot
from tests.support.s3 import REGION

if TYPE_CHECKING:
    from tests.benchmarks.contest import Place
    from tests.benchmarks.pop3_measure import Figure

STORES = ("s3", "folder")


def floor_command(place: Place) -> list[str]:
    """Return the command line of the floor."""
    where: str | dict[str, str] = str(place.folder / "store")
    if place.bucket:
        where = {
            "bucket": place.bucket,
            "endpoint": place.endpoint,
            "region": REGION,
            "checksum_algorithm": "SHA256",
            "aws_access_key_id": place.account.access_key,
            "aws_secret_access_key": place.account.secret_key,
        }
    work = Work(place.port, str(place.ca), place.user, place.ledger, str(place.events), where)
    return [sys.executable, "-m", "tests.benchmarks.floor_child", json.dumps(asdict(work))]


COMMANDS = {"drain": drain_command, "floor": floor_command}


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
        s3_in_memory() as s3,
    ):
        contest = Contest(Path(name), dovecot, s3, dovecot.pop3s_port, s3.endpoint)
        for store in STORES:
            for size, mail in mails_of_sizes().items():
                if chosen.only not in f"{size} to {store}":
                    continue
                mails = [b"X-Number: %d\r\n%b" % (number, mail) for number in range(chosen.messages + 1)]
                start, found = (
                    {who: contest.medians(command, store, some, chosen.runs) for who, command in COMMANDS.items()}
                    for some in (mails[:1], mails)
                )
                _add_rows(table, f"{size} to {store}", found, start, chosen.messages)
    Console(width=110).print(table)


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
