"""POP3 clients side by side: `make bench`, or `python -m tests.benchmarks.pop3 [--quick]`.

Each fetches the same mail from the same Dovecot, straight over loopback and through a proxy with a round trip of
20 ms; figures are medians of fresh processes. Absolute figures belong to the machine; what counts is how they
compare. At the end stands what we want of our client, and whether it was met in this run.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.benchmarks.pop3_child import PASSWORD, Target
from tests.benchmarks.pop3_measure import Figure, Task, median
from tests.support.dovecot import running_dovecot
from tests.support.proxy import DelayProxy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.dovecot import Dovecot

ROUND_TRIP = 0.020
SMALL, LARGE = 2000, 20
LARGE_BYTES = 10_000_000
POLLS = 50
RUNS = 5
# What a client may take for its runs together; those that wait for every message get one.
SECONDS = 20.0
WIDTH = 130

NAMES = {
    "ours": "Mailhaul",
    "ours-sha256": "Mailhaul, SHA-256",
    "ours-spool": "Mailhaul, spooled for the store",
    "bare": "bare loop",
    "bare-sha256": "bare loop, SHA-256",
}
EVERYBODY = ("ours", "poplib", "mpop", "fetchmail", "getmail6")
HASHED = ("ours-sha256", "bare-sha256", "ours-spool")
FOOTNOTE = """\
Everything is fetched and kept on the server. Mailhaul, poplib and the bare loop throw it away as it comes; mpop and
getmail6 deliver into a Maildir, fetchmail into one file of batched SMTP, all in memory (/dev/shm): the cheapest ways
they have. Mailhaul, poplib and the bare loop are measured from when they are imported, as in a process that goes on
running (the column `start` has the CPU seconds before); their empty polls are the mean of 50 in one process.
The others are whole processes, children included. `x` is how many times ours."""


@dataclass(frozen=True, slots=True)
class Row:
    """One task for several clients."""

    title: str
    contestants: Sequence[str]
    task: Task


class Pop3Benchmark:
    """Runs the benchmark and prints its tables."""

    def __init__(self, console: Console, runs: int) -> None:
        self._console = console
        self._runs = runs
        self._figures: dict[tuple[str, str], Figure] = {}

    def run(self, row: Row) -> None:
        """Measure one row and print its table."""
        median("bare", row.task, 1, 0.0)  # the server, too, has to warm up
        for name in row.contestants:
            self._figures[row.title, name] = median(name, row.task, self._runs, SECONDS)
        self._console.print(self._table(row))

    def figure(self, title: str, name: str) -> Figure:
        """Return a result without figures if the row was not run."""
        return self._figures.get((title, name), Figure())

    def _table(self, row: Row) -> Table:
        table = Table(title=row.title, title_justify="left", title_style="bold")
        table.add_column("", min_width=32)
        scale, unit = (1000, "ms") if row.task.polls else (1, "s")
        for head in (f"wall {unit}", "x", f"CPU {unit}", "x", "peak MiB", "start", "runs"):
            table.add_column(head, justify="right", min_width=8)
        ours = self._figures[row.title, "ours"]
        for name in row.contestants:
            figure = self._figures[row.title, name]
            table.add_row(NAMES.get(name, name), *_cells(figure, ours, scale))
        return table


def _cells(figure: Figure, ours: Figure, scale: int) -> Iterator[str]:
    if figure.note:
        yield figure.note
        return
    yield f"{figure.wall * scale:.3g}"
    yield f"{figure.wall / ours.wall:.2f}" if ours.wall else ""
    yield f"{figure.cpu * scale:.3g}"
    yield f"{figure.cpu / ours.cpu:.2f}" if ours.cpu else ""
    yield f"{figure.mib:.1f}"
    yield "" if figure.before is None else f"{figure.before:.2f}"
    yield f"{figure.runs} ({figure.failed} failed)" if figure.failed else str(figure.runs)


def rows(dovecot: Dovecot, far: int, far_tls: int) -> Iterator[Row]:
    """All tasks; `far` and `far_tls` are the ports behind the proxy."""
    small, large = _delivered(dovecot, "small", _small()), _delivered(dovecot, "large", _large())
    _delivered(dovecot, "empty", [])
    ca = str(dovecot.ca_file)
    ways = {
        "0 ms": (dovecot.pop3_port, ""),
        "TLS, 0 ms": (dovecot.pop3s_port, ca),
        "20 ms": (far, ""),
        "TLS, 20 ms": (far_tls, ca),
    }
    for way, (port, authority) in ways.items():
        task = Task(Target(port, authority, "small"), SMALL, small)
        yield Row(f"{SMALL} small messages, {way}", (*EVERYBODY, "bare"), task)
    for way in ("0 ms", "TLS, 0 ms"):
        port, authority = ways[way]
        task = Task(Target(port, authority, "large"), LARGE, large)
        yield Row(f"{LARGE} messages of 10 MB, {way}", (*EVERYBODY, "bare", *HASHED), task)
    for way in ("TLS, 0 ms", "TLS, 20 ms"):
        port, authority = ways[way]
        task = Task(Target(port, authority, "empty"), 0, polls=POLLS)
        yield Row(f"an empty poll, {way}", (*EVERYBODY, "bare"), task)


def _delivered(dovecot: Dovecot, user: str, mails: Sequence[bytes]) -> int:
    """Fill a maildrop; return its size in bytes."""
    dovecot.add_user(user, PASSWORD)
    for mail in mails:
        dovecot.deliver(user, mail)
    return sum(map(len, mails))


def _head(number: int) -> bytes:
    return (
        b"Received: from mx.example.org by pop.example.org; Mon, 23 Nov 2026 08:00:00 +0000\r\n"
        b"From: billing@example.org\r\nTo: in@example.com\r\nMessage-ID: <%d@example.org>\r\n"
        b"Subject: Invoice %d\r\nMIME-Version: 1.0\r\n\r\n" % (number, number)
    )


def _small() -> list[bytes]:
    """Return messages of 2 KiB; one line in twenty begins with a dot."""
    text = b"".join(
        (b"." if line % 20 == 0 else b"") + b"The goods were sent today. " * 3 + b"\r\n" for line in range(22)
    )
    return [_head(number) + text for number in range(SMALL)]


def _large() -> list[bytes]:
    """Return messages of 10 MB with lines as long as those of base64."""
    line = b"JVBERi0xLjcKJeLjz9MKNSAwIG9iago8PAovRmlsdGVyIC9GbGF0ZURlY29kZQovTGVuZ3RoIDM2\r\n"
    return [_head(number) + line * (LARGE_BYTES // len(line)) for number in range(LARGE)]


def wishes(bench: Pop3Benchmark) -> Iterator[tuple[str, float, float]]:
    """Return the targets: description, measured value and upper bound."""
    far, near = f"{SMALL} small messages, 20 ms", f"{SMALL} small messages, 0 ms"
    for title, most in ((far, 0.5), (near, 1.0)):
        ours, mpop = bench.figure(title, "ours"), bench.figure(title, "mpop")
        yield f"{title}: wall time, of mpop's", ours.wall / mpop.wall if mpop.wall else 0.0, most
    for title, most in (("0 ms", 1.5), ("TLS, 0 ms", 1.2)):
        large = f"{LARGE} messages of 10 MB, {title}"
        ours, bare = bench.figure(large, "ours"), bench.figure(large, "bare")
        yield f"{large}: CPU, of the bare loop's", ours.cpu / bare.cpu if bare.cpu else 0.0, most
    ours, bare = (bench.figure("an empty poll, TLS, 0 ms", name) for name in ("ours", "bare"))
    yield "an empty poll, TLS, 0 ms: CPU, of the bare exchange's", ours.cpu / bare.cpu if bare.cpu else 0.0, 1.5
    yield "an empty poll, TLS, 20 ms: wall ms", bench.figure("an empty poll, TLS, 20 ms", "ours").wall * 1000, 100.0


def _wish_table(bench: Pop3Benchmark) -> Table:
    table = Table(title="What is wanted", title_justify="left", title_style="bold")
    for head in ("", "measured", "at most", ""):
        table.add_column(head, justify="left" if not head else "right")
    for words, measured, most in wishes(bench):
        met = "no figures" if not measured else "met" if measured <= most else "MISSED"
        table.add_row(words, f"{measured:.3g}", f"{most:g}", met)
    return table


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description="POP3 clients side by side")
    parser.add_argument("--quick", action="store_true", help="each client once")
    parser.add_argument("--only", default="", help="rows whose title has this in it")
    chosen = parser.parse_args()
    console = Console(width=max(WIDTH, Console().width))
    bench = Pop3Benchmark(console, 1 if chosen.quick else RUNS)
    with (
        running_dovecot() as dovecot,
        DelayProxy(dovecot.pop3_port, ROUND_TRIP / 2) as far,
        DelayProxy(dovecot.pop3s_port, ROUND_TRIP / 2) as far_tls,
    ):
        for row in rows(dovecot, far.port, far_tls.port):
            if chosen.only in row.title:
                bench.run(row)
    console.print(FOOTNOTE)
    console.print(_wish_table(bench))


if __name__ == "__main__":
    main()
