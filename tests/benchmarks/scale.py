"""How the ledger bears 100,000 mailboxes and 10 million unique-ids: `python -m tests.benchmarks.scale`.

On a real Valkey, through the calls that polls make: each mailbox is claimed, its new messages are registered ten at a
time, and it is given back. Fewer mailboxes: `python -m tests.benchmarks.scale 10000`.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ingest.adapters.ledger import connect
from ingest.domain.keys import listing_digest
from ingest.ports.seen import Registration
from ingest.ports.wakeups import NoWakeups
from ingest.usecases.schedule import Schedule, Ticker
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.ports.ledger import Ledger

MAILBOXES = 100_000
IDS = 100  # of a mailbox, on average: between 50 and 150
LARGE = 100_000
AT_ONCE = 100
BATCH = 10
LEASE = 900.0
CLAIMS = 5_000
TICKS = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: what, and how much."""

    what: str
    figure: str


def rows(server: Valkey, mailboxes: int) -> Iterator[Row]:
    """Everything, in the order in which a service would come to it."""
    ledger, events = connect(server.url)
    with closing(ledger), closing(server.client()) as client:

        def memory() -> int:
            return int(client.info("memory")["used_memory"])

        ticker = Ticker(ledger, events, NoWakeups())
        schedule = Schedule([f"mailbox-{number:06d}" for number in range(mailboxes)], [], "digest")
        empty = memory()
        yield Row(f"schedule {mailboxes:,} mailboxes, once", f"{_seconds(lambda: ticker.tick(schedule)):.2f} s")
        scheduled = memory()
        yield Row("memory for the schedule", f"{(scheduled - empty) / mailboxes:.0f} bytes a mailbox")
        yield Row("a tick, all mailboxes due", _ticks(ticker, schedule))
        claims = min(CLAIMS, mailboxes)
        yield Row(
            "claim and give back, one by one, one connection", _rate(claims, lambda: _claim_singly(ledger, claims))
        )
        yield Row(f"claim by {AT_ONCE}, give back one by one", _rate(claims, lambda: _claim_many(ledger, claims)))
        before = memory()
        seconds = _seconds(lambda: _fill(ledger, mailboxes))
        ids = mailboxes * IDS
        yield Row(f"register {ids:,} unique-ids, {BATCH} a call", f"{seconds:.0f} s, {ids / seconds:,.0f} ids/s")
        yield Row("memory for unique-ids", f"{(memory() - before) / ids:.1f} bytes an id")
        yield Row("a tick, no mailbox due", _ticks(ticker, schedule))
        yield from _comparisons(ledger)
        yield Row("memory of the server in all", f"{client.info('memory')['used_memory_rss'] / 2**20:,.0f} MiB")


def _ticks(ticker: Ticker, schedule: Schedule) -> str:
    def tick() -> None:
        for _ in range(TICKS):
            ticker.tick(schedule)

    return f"{_seconds(tick) / TICKS * 1000:.2f} ms"


def _claim_singly(ledger: Ledger, claims: int) -> None:
    for _ in range(claims):
        (claim,) = ledger.mailboxes.claim(1, LEASE)
        ledger.mailboxes.release(claim, 0)


def _claim_many(ledger: Ledger, claims: int) -> None:
    for _ in range(claims // AT_ONCE):
        for claim in ledger.mailboxes.claim(AT_ONCE, LEASE):
            ledger.mailboxes.release(claim, 0)


def _fill(ledger: Ledger, mailboxes: int) -> None:
    counts = itertools.cycle(range(IDS // 2, IDS * 3 // 2 + 1))
    for _ in range(-(-mailboxes // AT_ONCE)):
        for claim in ledger.mailboxes.claim(AT_ONCE, LEASE):
            count = next(counts)
            for start in range(0, count, BATCH):
                batch = [Registration(os.urandom(16), None) for _ in range(min(BATCH, count - start))]
                ledger.register(claim, batch)
            ledger.mailboxes.release(claim, 24 * 3600)


def _comparisons(ledger: Ledger) -> Iterator[Row]:
    """What a poll does with a listing that holds nothing new."""
    for size in (IDS, LARGE):
        mailbox = f"compared-{size}"
        listed = [b"%032x" % number for number in range(size)]
        ledger.mailboxes.add([mailbox])
        (claim,) = ledger.mailboxes.claim(1, LEASE)
        for start in range(0, size, AT_ONCE):
            batch = listed[start : start + AT_ONCE]
            ledger.register(claim, [Registration(listing_digest(b"maildrop", id_, 500), None) for id_ in batch])
        began, cpu = time.monotonic(), time.process_time()
        seen = ledger.seen(mailbox).records
        assert not [id_ for id_ in listed if listing_digest(b"maildrop", id_, 500) not in seen]
        wall, cpu = time.monotonic() - began, time.process_time() - cpu
        yield Row(f"compare {size:,} listed with {size:,} seen", f"{wall * 1000:.1f} ms, {cpu * 1000:.1f} ms CPU")
        ledger.mailboxes.release(claim, 24 * 3600)


def _rate(count: int, do: Callable[[], None]) -> str:
    return f"{count / _seconds(do):,.0f} a second"


def _seconds(do: Callable[[], object]) -> float:
    began = time.monotonic()
    do()
    return time.monotonic() - began


def main() -> None:
    """Run it and print the table."""
    mailboxes = int(sys.argv[1]) if len(sys.argv) > 1 else MAILBOXES
    table = Table("what", "figure", title=f"The ledger with {mailboxes:,} mailboxes, {mailboxes * IDS:,} unique-ids")
    with tempfile.TemporaryDirectory(prefix="mailhaul-bench-") as folder, Valkey(Path(folder)) as server:
        for row in rows(server, mailboxes):
            table.add_row(row.what, row.figure)
    Console().print(table)


if __name__ == "__main__":
    main()
