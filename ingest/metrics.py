"""The metrics of a worker or of the console, as `ingest.metric_specs` declares them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ingest.metric_labels import ATTACHMENT_TYPES, POLL_RESULTS, SINK_RESULTS
from ingest.metric_specs import MAILBOX_SERIES, WORKER_SPECS, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEFECT_SERIES = 64


@dataclass
class Metrics:
    """The metrics of one process, created from their declarations."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    mailbox_label: bool = True
    specs: tuple[Spec, ...] = WORKER_SPECS

    def __post_init__(self) -> None:
        made = {spec.name: self._make(spec) for spec in self.specs}
        self._counters = {name: metric for name, metric in made.items() if isinstance(metric, Counter)}
        self._histograms = {name: metric for name, metric in made.items() if isinstance(metric, Histogram)}
        self._gauges = {name: metric for name, metric in made.items() if isinstance(metric, Gauge)}
        # What `labels` returned: asking it again takes longer than counting.
        self._series: dict[tuple[str, tuple[str, ...]], Counter] = {}
        self._observed: dict[tuple[str, tuple[str, ...]], Histogram] = {}
        self._codes: set[str] = set()
        self._mailboxes: set[str] = set()

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Add to a counter.

        Args:
            name: as declared.
            labels: values in the declared order.
            by: how much.
        """
        series = self._series.get((name, labels))
        if series is None:
            counter = self._counters[name]
            series = self._series[name, labels] = counter.labels(*labels) if labels else counter
        series.inc(by)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add one observation to a histogram; arguments as for `count`."""
        series = self._observed.get((name, labels))
        if series is None:
            histogram = self._histograms[name]
            series = self._observed[name, labels] = histogram.labels(*labels) if labels else histogram
        series.observe(value)

    def watch(self, name: str, value: Callable[[], float]) -> None:
        """Ask for the value of a gauge whenever it is scraped."""
        self._gauges[name].set_function(value)

    def poll_ended(self, mailbox: str, result: str) -> None:
        """Count a finished poll of a mailbox; the number of series is capped, and the label can be disabled."""
        self.count("polls_total", self._capped(mailbox), result)

    def ids_reset(self, mailbox: str) -> None:
        """Count a server's reset of its unique-ids."""
        self.count("unique_id_resets_total", self._capped(mailbox))

    def ids_unreliable(self, mailbox: str) -> None:
        """Count a poll whose unique-ids did not identify messages."""
        self.count("unique_ids_unreliable_total", self._capped(mailbox))

    def deletions_withheld(self, mailbox: str, count: int) -> None:
        """Count messages that were not deleted because the store did not hold them."""
        self.count("deletions_withheld_total", self._capped(mailbox), by=count)

    def deletions_repeated(self, mailbox: str, count: int) -> None:
        """Count messages that are deleted once more, because the server did not delete them."""
        self.count("deletions_repeated_total", self._capped(mailbox), by=count)

    def expect_polls(self, mailboxes: Iterable[str], servers: Iterable[str]) -> None:
        """Start the counters of these mailboxes and servers at 0, so that the first failure is an increase."""
        for server in servers:
            self._counters["polls_deferred_total"].labels(server)
        for mailbox in mailboxes:
            label = self._capped(mailbox)
            for result in POLL_RESULTS:
                self._counters["polls_total"].labels(label, result)
            for spec in WORKER_SPECS:
                if spec.labels == ("mailbox",):
                    self._counters[spec.name].labels(label)

    def expect_sinks(self, sinks: Iterable[str]) -> None:
        """Start the event counters of these sinks at 0."""
        for sink in sinks:
            for result in SINK_RESULTS:
                self._counters["events_published_total"].labels(sink, result)

    def defect(self, code: str) -> None:
        """Count one defect. Codes are fixed, yet capped: a bug that creates codes must not create series."""
        if code not in self._codes and len(self._codes) >= DEFECT_SERIES:
            code = "other"
        self._codes.add(code)
        self.count("parse_defects_total", code)

    def attachment(self, detected_type: str, size: int) -> None:
        """Count one stored attachment."""
        label = detected_type if detected_type in ATTACHMENT_TYPES else "other"
        self.count("attachments_total", label)
        self.count("attachment_bytes_total", label, by=size)

    def _capped(self, mailbox: str) -> str:
        if not self.mailbox_label:
            return ""
        if mailbox not in self._mailboxes and len(self._mailboxes) >= MAILBOX_SERIES:
            return "other"
        self._mailboxes.add(mailbox)
        return mailbox

    def _make(self, spec: Spec) -> Counter | Gauge | Histogram:
        metric: Counter | Gauge | Histogram
        if spec.kind == "counter":
            metric = Counter(spec.full_name, spec.help, spec.labels, registry=self.registry)
        elif spec.kind == "gauge":
            metric = Gauge(spec.full_name, spec.help, spec.labels, registry=self.registry)
        else:
            metric = Histogram(spec.full_name, spec.help, spec.labels, buckets=spec.buckets, registry=self.registry)
        for labels in spec.known:
            metric.labels(*labels)
        return metric
