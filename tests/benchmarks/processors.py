"""What a second processor process gains: `python -m tests.benchmarks.processors`.

The whole service processes the same mails with one and with two processes in the processor. On a machine of two cores
the servers and the other roles take part of what the second process could have, so their CPU is taken off: the
gain is that of the time which the run took, less the CPU of all others spread over the cores. Run it on a quiet
machine: what other programs use is not taken off.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.benchmarks.processes import usage_by_role
from tests.benchmarks.throughput import run
from tests.support.dovecot import running_dovecot

if TYPE_CHECKING:
    from tests.benchmarks.throughput import Result
    from tests.support.dovecot import Dovecot

PROCESSES = (1, 2)
MAILBOXES = 20


def main() -> None:
    """Run everything and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=2000)
    chosen = arguments.parse_args()
    table = Table(title=f"{chosen.messages} messages in {MAILBOXES} mailboxes, to a folder")
    for head in ("processes", "seconds", "processor CPU s", "others' CPU s", "seconds without others", "gain"):
        table.add_column(head, justify="right")
    alone: float | None = None
    with running_dovecot() as dovecot:
        for processes in PROCESSES:
            before = _cpu(dovecot)
            result = _run(dovecot, processes, chosen.messages)
            others = _cpu(dovecot) - before
            others += sum(usage.cpu for role, usage in result.usage.items() if role != "processor")
            seconds = result.seconds - others / (os.cpu_count() or 1)
            alone = alone or seconds
            cpu = result.usage["processor"].cpu
            figures = (f"{result.seconds:.1f}", f"{cpu:.1f}", f"{others:.1f}", f"{seconds:.1f}")
            table.add_row(str(processes), *figures, f"{alone / seconds:.2f}")
    Console(width=110).print(table)


def _run(dovecot: Dovecot, processes: int, messages: int) -> Result:
    name, workers = f"processes {processes}", {"processes": processes}
    return run(name, dovecot, MAILBOXES, port=dovecot.pop3s_port, messages=messages, workers=workers)


def _cpu(dovecot: Dovecot) -> float:
    return sum(usage.cpu for usage in usage_by_role(dovecot.pid).values())


if __name__ == "__main__":
    main()
