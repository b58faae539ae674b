"""The exporter: gauges about the whole system, read from ledger and broker at each scrape.

Only one process exposes them; if every worker did, sums over processes would count them several times.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from structlog import get_logger

from ingest import __version__
from ingest.admin.status import read_status
from ingest.errors import LedgerUnavailableError
from ingest.metric_labels import STAGES
from ingest.metric_specs import EXPORTER_SPECS, MAILBOX_SERIES
from ingest.ports.wakeups import Queue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ingest.admin.status import MailboxRow, Status
    from ingest.config import Config, ConfigSource
    from ingest.domain.mailbox import Mailbox
    from ingest.ports.status import MailboxStatus
    from ingest.ports.wakeups import Wakeups
    from ingest.wiring.runtime import Runtime

log = get_logger()

# Seconds between two looks at the certificates of mailboxes that have no series.
CERTIFICATES_EVERY = 300.0

Gauges = dict[str, GaugeMetricFamily]


class SystemCollector(Collector):
    """Reads the state of the system at each scrape, but only of as many mailboxes as have series.

    The other ones' certificates are read every few minutes: a hundred thousand mailboxes take seconds.
    """

    def __init__(self, runtime: Runtime, source: ConfigSource) -> None:
        self._runtime = runtime
        self._source = source
        self._read_certificates: float | None = None
        self._other_certificates: dict[str, float] = {}

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return nothing: the registry would otherwise collect at registration, when the ledger may not answer."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return all gauges; without the ledger only those that do not need it, with `mailhaul_ledger_up` 0."""
        gauges = {
            spec.name: GaugeMetricFamily(spec.full_name, spec.help, labels=spec.labels) for spec in EXPORTER_SPECS
        }
        gauges["build_info"].add_metric([__version__, os.environ.get("MAILHAUL_REVISION", "unknown")], 1)
        runtime = self._runtime
        boxes = list(runtime.mailboxes().values())
        shown = boxes[:MAILBOX_SERIES] if self._source.current().metrics.mailbox_label else []
        gauges["configuration_problems"].add_metric([], len(self._source.problems))
        try:
            status = read_status(
                runtime.ledger,
                runtime.events,
                shown,
                runtime.sinks,
                runtime.poll_pressure.update,
            )
            self._read_others(boxes[len(shown) :])
        except LedgerUnavailableError as error:
            log.warning("ledger.unavailable", task="scrape", error=error.code)
            gauges["ledger_up"].add_metric([], 0)
            return _filled(gauges)
        gauges["ledger_up"].add_metric([], 1)
        _mailboxes(gauges, status.mailboxes)
        ends = _first_ends(self._other_certificates, shown, {row.id: row.status for row in status.mailboxes})
        for server, end in ends.items():
            gauges["tls_certificate_not_after_timestamp_seconds"].add_metric([server], end)
        _pending(gauges, status, runtime.now().timestamp())
        _ledger(gauges, status)
        _queues(gauges, runtime.wakeups)
        _tasks(gauges, status, self._source.current())
        return _filled(gauges)

    def _read_others(self, boxes: Sequence[Mailbox]) -> None:
        now = self._runtime.monotonic()
        if self._read_certificates is None or now - self._read_certificates >= CERTIFICATES_EVERY:
            statuses = self._runtime.ledger.statuses([box.id for box in boxes])
            self._other_certificates = _first_ends({}, boxes, statuses)
            self._read_certificates = now


def _first_ends(
    known: Mapping[str, float], boxes: Iterable[Mailbox], statuses: Mapping[str, MailboxStatus | None]
) -> dict[str, float]:
    """Return when the first certificate of each server ends, of those known and those in the statuses."""
    ends = dict(known)
    for box in boxes:
        status = statuses.get(box.id)
        if status is not None and status.certificate_not_after:
            server = box.server.label
            ends[server] = min(ends.get(server, float("inf")), status.certificate_not_after)
    return ends


def _queues(gauges: Gauges, wakeups: Wakeups) -> None:
    for queue in Queue:
        gauges["queue_wakeups"].add_metric([queue], wakeups.waiting(queue))
        gauges["queue_oldest_wakeup_age_seconds"].add_metric([queue], wakeups.oldest_age(queue))


def _tasks(gauges: Gauges, status: Status, config: Config) -> None:
    """Add the tasks that are configured: the records of others, which no longer run, would raise alerts."""
    configured = {
        "catalog": config.console is not None,
        "retention": bool(config.retention),
        "statements": config.audit.enabled,
    }
    for task, found in status.tasks.items():
        if not configured.get(task):
            continue
        if found.succeeded_at is not None:
            gauges["task_success_timestamp_seconds"].add_metric([task], found.succeeded_at)
        if found.unfinished_since is not None:
            gauges["task_unfinished_timestamp_seconds"].add_metric([task], found.unfinished_since)


def _filled(gauges: Gauges) -> list[GaugeMetricFamily]:
    return [gauge for gauge in gauges.values() if gauge.samples]


def _mailboxes(gauges: Gauges, rows: Iterable[MailboxRow]) -> None:
    for row in rows:
        gauges["mailbox_poll_interval_seconds"].add_metric([row.id], row.interval)
        gauges["mailbox_enabled"].add_metric([row.id], int(not row.inactive))
        last_success = row.status.last_success if row.status else None
        gauges["mailbox_last_success_timestamp_seconds"].add_metric([row.id], last_success or 0)
        if row.status and row.status.expires_after is not None:
            gauges["mailbox_server_retention_seconds"].add_metric([row.id], row.status.expires_after)
        gauges["mailbox_backlog_messages"].add_metric([row.id], row.status.backlog_messages if row.status else 0)
        gauges["mailbox_backlog_bytes"].add_metric([row.id], row.status.backlog_bytes if row.status else 0)
        gauges["mailbox_troubled_messages"].add_metric([row.id], row.status.troubled if row.status else 0)
        gauges["mailbox_left_out_messages"].add_metric([row.id], row.status.left_out if row.status else 0)


def _ledger(gauges: Gauges, status: Status) -> None:
    gauges["event_stream_entries"].add_metric([], status.counts["events"])
    gauges["polling_stopped"].add_metric([], int(status.polling_stopped))
    if status.memory is not None:
        gauges["ledger_memory_bytes"].add_metric([], status.memory.used)
        if status.memory.limit is not None:
            gauges["ledger_memory_limit_bytes"].add_metric([], status.memory.limit)


def _pending(gauges: Gauges, status: Status, now: float) -> None:
    waiting = max((lag.entries for lag in status.sinks.values()), default=0)
    oldest = max((lag.oldest_age for lag in status.sinks.values()), default=0.0)
    age = max(0.0, now - status.oldest_pending) if status.oldest_pending else 0.0
    by_stage = {"process": (status.counts["open"], age), "publish": (waiting, oldest)}
    for stage in STAGES:
        count, seconds = by_stage[stage]
        gauges["pending_messages"].add_metric([stage], count)
        gauges["pending_oldest_age_seconds"].add_metric([stage], seconds)
    gauges["failed_messages"].add_metric([], status.counts["failed"])
    for sink, lag in status.sinks.items():
        gauges["sink_waiting_events"].add_metric([sink], lag.entries)
        gauges["sink_oldest_event_age_seconds"].add_metric([sink], lag.oldest_age)
        gauges["sink_disabled"].add_metric([sink], int(sink in status.disabled))
        answer = status.answers.get(sink)
        if answer is not None and answer.failing_since is not None:
            gauges["sink_unavailable"].add_metric([sink, answer.answer], 1)
    gauges["dead_letters"].add_metric([], status.counts["dead_letters"])
    gauges["schedule_lag_seconds"].add_metric([], status.schedule.lag)
    gauges["due_mailboxes"].add_metric([], status.schedule.due)
    if status.last_tick is not None:
        gauges["scheduler_last_tick_timestamp_seconds"].add_metric([], status.last_tick)
