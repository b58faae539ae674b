"""How the catalog bears a million messages: `python -m tests.benchmarks.catalog`.

Builds a catalog of 10,000 messages and one of a million from manifests that are made as they are read, and asks each
everything that console and API ask. Then compares what indexing a message costs with what processing it costs: the
same mails of the demonstration are processed and fed into a catalog in one process, with everything in memory but the
catalog. `--messages 100000` is shorter; `--postgresql` builds in a PostgreSQL of its own; `--folder` keeps the files
of SQLite, and asks those that are there.

Both catalogs are asked in turn. Of SQLite, which computes in the process that asks, CPU time is measured: other
programs on the machine hardly change it. Everything is in the system's page cache.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import resource
import statistics
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from rich.console import Console
from rich.table import Table
from sqlalchemy import insert, text

from ingest.catalog.catalog import Catalog
from ingest.catalog.feed import Feeder
from ingest.catalog.queries import Queries, Scope, Search
from ingest.catalog.rebuild import Rebuild
from ingest.catalog.tables import DELIVERIES
from ingest.console.app import routed_app
from ingest.demo.mails import sample
from ingest.demo.scene import DEMO_MAILBOXES
from ingest.domain import keys
from ingest.domain.keys import Layout
from tests.benchmarks import catalog_mails as mails
from tests.support.bench import Bench, bench, mailbox, never
from tests.support.postgresql import postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SMALL = 10_000
RUNS = 15
# Mails of the demonstration: of each mailbox.
_MAILS = 200
_ROUNDS = 5
# Positions of a sink that are kept.
_DELIVERIES = 100_000
_NOW = datetime(2026, 11, 27, tzinfo=UTC)
_EVERYTHING = Scope()


@dataclass(frozen=True, slots=True)
class Built:
    """What building a catalog took: seconds, CPU seconds without those of making manifests, and bytes.

    Attributes:
        peak: resident memory of the process that built it, in MiB.
    """

    seconds: float
    cpu: float
    size: int
    peak: float


@dataclass(frozen=True, slots=True)
class Asked:
    """How long a query took in each catalog: median, in milliseconds."""

    name: str
    small: float
    large: float

    @property
    def ratio(self) -> float:
        """How much longer it took in the large one."""
        return self.large / self.small


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU of one message in milliseconds, median of some runs: of the stage that processes, and of the feed."""

    processing: float
    feeding: float


def processed() -> tuple[Bench, ExitStack, float]:
    """Process the mails of the demonstration; return the bench, what closes it, and the CPU seconds of a message."""
    stack = ExitStack()
    b = stack.enter_context(bench(*(mailbox(one.user) for one in DEMO_MAILBOXES)))
    for box in DEMO_MAILBOXES:
        for number in range(_MAILS):
            at = _NOW - timedelta(minutes=number)
            raw = sample(number, box.user, box.kinds[number % len(box.kinds)], at).raw
            b.maildrops[box.user].messages[b"u%d" % number] = raw
    b.poll_all()
    began = time.process_time()
    b.process_stage.run(never)
    return b, stack, (time.process_time() - began) / (_MAILS * len(DEMO_MAILBOXES))


def costs() -> Costs:
    """Return what processing and feeding cost, in this process and in turn."""
    _silence()
    both = [_costs() for _ in range(_ROUNDS)]
    return Costs(*(statistics.median(one) * 1000 for one in zip(*both, strict=True)))


def _costs() -> tuple[float, float]:
    """Return the CPU seconds of processing a message and of feeding it into a catalog."""
    b, stack, processing = processed()
    messages = _MAILS * len(DEMO_MAILBOXES)
    with stack, tempfile.TemporaryDirectory() as folder:
        catalog = stack.enter_context(closing(Catalog.open(f"sqlite:///{folder}/catalog.sqlite")))
        feeder = stack.enter_context(closing(Feeder(catalog, b.store, b.events, list(b.sinks), lambda: 0.0)))
        began = time.process_time()
        fed = 0
        while step := feeder.step():
            fed += step
        feeding = time.process_time() - began
        assert fed == messages, fed
    return processing, feeding / messages


def moulds() -> list[list[str]]:
    """Return the manifests of the demonstration's mails, in pieces."""
    b, stack, _ = processed()
    with stack:
        found = [one.key for one in b.store.stored("") if one.key.endswith(keys.MANIFEST)]
        return [mails.mould(b.store.objects[key].content, number) for number, key in enumerate(found)]


def build(url: str, count: int) -> Built:
    """Build a catalog."""
    _silence()
    store = mails.SyntheticStore(moulds=moulds(), count=count)
    began = time.process_time()
    for number in range(2_000):
        store.manifest(number)
    making = (time.process_time() - began) / 2_000
    with closing(Catalog.open(url)) as catalog:
        started, began = time.perf_counter(), time.process_time()
        done = Rebuild(catalog, store, Layout("mail"), time.time).run(never)
        seconds, cpu = time.perf_counter() - started, time.process_time() - began
        assert done.messages == count, done
        _deliver(catalog, min(count, _DELIVERIES))
        size = _size(catalog)
    return Built(seconds, cpu - making * count, size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _deliver(catalog: Catalog, count: int) -> None:
    """Record that a sink confirmed events one by one, as often as is kept."""
    rows = [{"sink": "main", "milliseconds": number, "sequence": 0, "seen_at": 0.0} for number in range(count)]
    with catalog.engine.begin() as connection:
        connection.execute(insert(DELIVERIES), rows)


def _size(catalog: Catalog) -> int:
    with catalog.engine.connect() as connection:
        if catalog.engine.dialect.name == "sqlite":
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
            return Path(str(catalog.engine.url.database)).stat().st_size
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())


def ask(urls: Sequence[str], counts: Sequence[int]) -> list[Asked]:
    """Ask two catalogs everything; before each query is measured, it is asked once."""
    clock = time.thread_time if urls[0].startswith("sqlite") else time.perf_counter
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(Catalog.open(url))) for url in urls]
        both = [_questions(Queries(catalog.engine), count) for catalog, count in zip(opened, counts, strict=True)]
        return [
            Asked(name, *_medians([small, large], clock)) for (name, small), (_, large) in zip(*both, strict=True)
        ]


def _medians(questions: Sequence[Callable[[], object]], clock: Callable[[], float]) -> Iterator[float]:
    taken: list[list[float]] = [[] for _ in questions]
    for _ in range(RUNS + 1):
        for asked, times in zip(questions, taken, strict=True):
            began = clock()
            asked()
            times.append(clock() - began)
    return (statistics.median(times[1:]) * 1000 for times in taken)


def memory(url: str, count: int) -> float:
    """Return the resident memory of a process with the console's application that has asked everything, in MiB."""
    routed_app()
    with closing(Catalog.open(url)) as catalog:
        for _, asked in _questions(Queries(catalog.engine), count):
            asked()
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize() / 2**20


def _questions(queries: Queries, count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    newest = queries.search(Search(), _EVERYTHING)
    middle = queries.search(Search(until=mails.FIRST + count // 2 * mails.PAUSE), _EVERYTHING)
    yield "newest page", lambda: queries.search(Search(), _EVERYTHING)
    yield "second page", lambda: queries.search(Search(), _EVERYTHING, after=newest.next or "")
    yield "page in the middle", lambda: queries.search(Search(), _EVERYTHING, after=middle.next or "")
    for name, search, scope in _searches(count):
        yield name, partial(queries.search, search, scope)
    common = queries.search(Search(words="example"), _EVERYTHING)
    yield (
        "word of every mail, second page",
        lambda: queries.search(Search(words="example"), _EVERYTHING, after=common.next or ""),
    )
    key = mails.message_key(count // 2)
    day = mails.FIRST + count * mails.PAUSE - 86_400
    yield "one message", lambda: queries.message(key, _EVERYTHING)
    yield "ten keys", lambda: queries.known(map(mails.message_key, range(10)), _EVERYTHING)
    yield "totals of mailboxes", lambda: queries.totals(_EVERYTHING, day)
    yield "totals, one mailbox", lambda: queries.totals(Scope(frozenset({"mailbox-3"})), day)
    yield "times of deliveries", lambda: queries.confirmed_at("5-0")


def _searches(count: int) -> list[tuple[str, Search, Scope]]:
    middle = count // 2 + 3
    number, sender = mails.invoice_number(middle), mails.company(middle)
    rare, one = Scope(frozenset({"mailbox-rare"})), Scope(frozenset({"mailbox-3"}))
    five = Scope(frozenset(f"mailbox-{box}" for box in range(5)))
    last, first = mails.FIRST + (count - 500) * mails.PAUSE, mails.FIRST + 500 * mails.PAUSE
    unrestricted: Sequence[tuple[str, Search]] = (
        ("word of every mail", Search(words="example")),
        ("its first five letters", Search(words="examp")),
        ("its first two letters", Search(words="ex")),
        ("one letter", Search(words="r")),
        ("word of one mail", Search(words=f"{middle:07d}")),
        ("words one after another", Search(words=number)),
        ("first letters of many words", Search(words=f"{middle:07d}"[:5])),
        ("first letters of every number", Search(words="00")),
        ("word that is nowhere", Search(words="nirgends")),
        ("two words of many mails", Search(words="example rechnung")),
        ("two words, one is of one mail", Search(words=f"example {middle:07d}")),
        ("sender", Search(sender=sender)),
        ("subject", Search(subject="rechnung")),
        ("file name", Search(filename="invoice pdf")),
        ("number of an invoice", Search(invoice=number)),
        ("amount", Search(amount=119.0)),
        ("amounts, most", Search(at_least=0.01)),
        ("amounts, few", Search(at_least=119.0, at_most=119.02)),
        ("mailbox", Search(mailbox="mailbox-3")),
        ("mailbox with little mail", Search(mailbox="mailbox-rare")),
        ("label", Search(label="urgent")),
        ("label of a mailbox", Search(label="tenant=tenant-mailbox-3")),
        ("status", Search(status="partial")),
        ("kind of document", Search(kind="invoice")),
        ("since", Search(since=last)),
        ("until", Search(until=first)),
        ("word of every mail, until", Search(words="example", until=first)),
        ("mailbox, label and word", Search(words="example", label="urgent", mailbox="mailbox-3")),
        ("mailbox with little mail and word", Search(words="example", mailbox="mailbox-rare")),
    )
    limited: Sequence[tuple[str, Search, Scope]] = (
        ("tenant of one mailbox", Search(), one),
        ("tenant of five mailboxes", Search(), five),
        ("tenant with little mail", Search(), rare),
        ("the same, word of every mail", Search(words="example"), rare),
        ("the same, word of another's mail", Search(words=f"{middle:07d}"), rare),
    )
    return [(name, search, _EVERYTHING) for name, search in unrestricted] + list(limited)


def main() -> None:
    """Run everything and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=1_000_000)
    arguments.add_argument("--postgresql", action="store_true")
    arguments.add_argument("--folder", type=Path)
    chosen = arguments.parse_args()
    console = Console(width=120)
    counts = (SMALL, chosen.messages)
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pool = stack.enter_context(spawn.Pool(1, maxtasksperchild=1))
        spent = pool.apply(costs)
        console.print(
            f"processing a message: {spent.processing:.3f} ms of CPU; indexing it: {spent.feeding:.3f} ms "
            f"({spent.feeding / spent.processing:.0%})"
        )
        folder = chosen.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        table = _building()
        urls = []
        for count in counts:
            file = folder / f"{count}.sqlite"
            known = file.exists()
            urls.append(stack.enter_context(postgresql()) if chosen.postgresql else f"sqlite:///{file}")
            built = None if known else pool.apply(build, (urls[-1], count))
            _add(table, count, built, pool.apply(memory, (urls[-1], count)))
        console.print(table)
        console.print(_asked(counts, pool.apply(ask, (urls, counts))))


def _building() -> Table:
    table = Table(title="Building the catalog, and resident memory of the process that builds and of one that asks")
    for head in ("messages", "seconds", "CPU a message", "size", "bytes a message", "building", "asking"):
        table.add_column(head, justify="right")
    return table


def _add(table: Table, count: int, built: Built | None, asking: float) -> None:
    figures = ["", "", "", "", ""]
    if built is not None:
        figures = [
            f"{built.seconds:.0f}",
            f"{built.cpu / count * 1000:.3f} ms",
            f"{built.size / 2**20:,.0f} MiB",
            f"{built.size // count:,}",
            f"{built.peak:.0f} MiB",
        ]
    table.add_row(f"{count:,}", *figures, f"{asking:.0f} MiB")


def _asked(counts: Sequence[int], asked: Sequence[Asked]) -> Table:
    table = Table(title="Queries, median in ms")
    for head in ("query", *(f"{count:,}" for count in counts), "ratio"):
        table.add_column(head, justify="left" if head == "query" else "right")
    for one in asked:
        table.add_row(one.name, f"{one.small:.2f}", f"{one.large:.2f}", f"{one.ratio:.1f}")
    return table


def _silence() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


if __name__ == "__main__":
    main()
