"""The figures of the live view, from the ledger and the metrics of the running processes."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import urllib3
from prometheus_client.parser import text_string_to_metric_families
from urllib3.exceptions import HTTPError

from ingest.admin.status import Status, read_status
from ingest.errors import LedgerUnavailableError
from ingest.metric_specs import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ingest.cli.supervisor import ChildState
    from ingest.domain.mailbox import Mailbox
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger
    from ingest.ports.status import Memory

RATE_SECONDS = 10.0
# Window of the latency: it describes now, not all time since the start.
LATENCY_SECONDS = 30.0

# Parsing whole pages twice a second would take a tenth of a CPU.
_WANTED = tuple(
    PREFIX + name
    for name in (
        "messages_total",
        "attachments_total",
        "attachment_bytes_total",
        "events_published_total",
        "end_to_end_latency_seconds_bucket",
    )
)

Sample = tuple[str, tuple[tuple[str, str], ...]]
Page = dict[Sample, float]


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all processes since `mailhaul up` started."""

    stored: int = 0
    duplicate: int = 0
    oversize: int = 0
    processed: int = 0
    failed: int = 0
    attachments: int = 0
    attachment_bytes: int = 0
    delivered: Mapping[str, int] = field(default_factory=dict)
    latency_p50: float | None = None
    latency_p95: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the live view shows at one time.

    Attributes:
        status: None while the ledger does not answer.
        starting: the processes that run and have not answered yet.
    """

    at: float
    uptime: float
    rate: float
    totals: Totals
    status: Status | None
    processes: Sequence[ChildState]
    starting: Sequence[str] = ()


@dataclass
class Watch:
    """Takes snapshots.

    `ports` are the metrics ports of the worker processes on `address`, by name. `polling_stops` returns whether no
    mailbox is polled while the ledger's memory is like this.
    """

    ledger: Ledger
    events: EventLog
    mailboxes: Callable[[], Iterable[Mailbox]]
    sinks: Sequence[str]
    address: str
    ports: Mapping[str, int]
    polling_stops: Callable[[Memory | None], bool] = lambda _: False
    _http: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(timeout=urllib3.Timeout(1.0), retries=False)
    )
    _known: dict[int, Page] = field(default_factory=dict)
    _ended: Page = field(default_factory=dict)
    _history: deque[tuple[float, Page]] = field(default_factory=deque)
    _began: float = field(default_factory=time.monotonic)

    def snapshot(self, processes: Sequence[ChildState]) -> Snapshot:
        """Take a snapshot."""
        for port in self.ports.values():
            self._update(port)
        samples, now = merged([self._ended, *self._known.values()]), time.monotonic()
        self._history.append((now, samples))
        while now - self._history[0][0] > LATENCY_SECONDS:
            self._history.popleft()
        totals = with_latency_of(totals_of(samples), totals_of(grown(self._history[0][1], samples)))
        rate = rate_of([(at, _processed(page)) for at, page in self._history if now - at <= RATE_SECONDS])
        starting = self._starting(processes)
        return Snapshot(time.time(), now - self._began, rate, totals, self._status(), processes, starting)

    def close(self) -> None:
        """Close connections."""
        self._http.clear()

    def _starting(self, processes: Sequence[ChildState]) -> list[str]:
        running = {process.name for process in processes if process.pid is not None}
        return [name for name, port in self.ports.items() if name in running and port not in self._known]

    def _update(self, port: int) -> None:
        found, before = self._scrape(port), self._known.get(port, {})
        if found is None:
            return
        if started_anew(before, found):
            self._ended = merged([self._ended, before])
        self._known[port] = found

    def _scrape(self, port: int) -> Page | None:
        try:
            answer = self._http.request("GET", f"http://{self.address}:{port}/metrics")
        except HTTPError:
            return None
        return samples_of(answer.data.decode("utf-8", "replace"))

    def _status(self) -> Status | None:
        try:
            return read_status(self.ledger, self.events, self.mailboxes(), self.sinks, self.polling_stops)
        except LedgerUnavailableError:
            return None


def samples_of(text: str) -> Page:
    """Return the samples that the view needs from a Prometheus text page, by name and sorted labels."""
    wanted = "".join(line for line in text.splitlines(keepends=True) if line.startswith(_WANTED))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(wanted)
        for sample in family.samples
    }


def started_anew(before: Page, now: Page) -> bool:
    """Return whether the process was restarted: its counters never decrease otherwise."""
    return any(now.get(sample, 0.0) < value for sample, value in before.items())


def grown(before: Page, now: Page) -> Page:
    """Return the increase of each sample."""
    return {sample: value - before.get(sample, 0.0) for sample, value in now.items()}


def with_latency_of(totals: Totals, recent: Totals) -> Totals:
    """Return the totals with the recent latency, if anything was delivered recently."""
    if recent.latency_p50 is None:
        return totals
    return replace(totals, latency_p50=recent.latency_p50, latency_p95=recent.latency_p95)


def merged(pages: Iterable[Page]) -> Page:
    """Return the sum of each sample over several processes."""
    sums: Page = {}
    for page in pages:
        for sample, value in page.items():
            sums[sample] = sums.get(sample, 0.0) + value
    return sums


def totals_of(samples: Page) -> Totals:
    """Return the figures of the live view from samples."""

    def total(name: str, **wanted: str) -> int:
        return int(
            sum(
                value
                for (found, labels), value in samples.items()
                if found == PREFIX + name and wanted.items() <= dict(labels).items()
            )
        )

    name = PREFIX + "events_published_total"
    sinks = {dict(labels)["sink"] for found, labels in samples if found == name}
    buckets = sorted(
        (float(dict(labels)["le"]), value)
        for (found, labels), value in samples.items()
        if found == PREFIX + "end_to_end_latency_seconds_bucket"
    )
    return Totals(
        **{
            result: total("messages_total", result=result)
            for result in ("stored", "duplicate", "oversize", "processed", "failed")
        },
        attachments=total("attachments_total"),
        attachment_bytes=total("attachment_bytes_total"),
        delivered={sink: total("events_published_total", sink=sink, result="delivered") for sink in sorted(sinks)},
        latency_p50=quantile(0.5, buckets),
        latency_p95=quantile(0.95, buckets),
    )


def quantile(share: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """Return a quantile from cumulative buckets (upper bound, count), like PromQL's `histogram_quantile`."""
    if not buckets or buckets[-1][1] == 0:
        return None
    rank = share * buckets[-1][1]
    below, bound = 0.0, 0.0
    for upper, count in buckets:
        if count >= rank:
            if math.isinf(upper):
                return bound
            return bound + (upper - bound) * (rank - below) / (count - below)
        below, bound = count, upper
    return bound


def rate_of(history: Sequence[tuple[float, int]]) -> float:
    """Return the growth per second over pairs of time and count."""
    if len(history) < 2 or history[-1][0] == history[0][0]:  # noqa: PLR2004 - a rate needs two points
        return 0.0
    return max(0, history[-1][1] - history[0][1]) / (history[-1][0] - history[0][0])


def _processed(page: Page) -> int:
    return int(page.get((PREFIX + "messages_total", (("result", "processed"),)), 0.0))
