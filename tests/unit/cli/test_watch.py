"""The arithmetic of the live view."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import generate_latest, start_http_server

from ingest.cli.watch import (
    Totals,
    Watch,
    grown,
    merged,
    quantile,
    rate_of,
    samples_of,
    started_anew,
    totals_of,
    with_latency_of,
)
from ingest.metrics import Metrics
from ingest.testing.eventlog import MemoryEventLog
from ingest.testing.ledger import MemoryLedger
from tests.support.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

A = ("mailhaul_messages_total", (("result", "stored"),))
B = ("mailhaul_messages_total", (("result", "processed"),))


@contextmanager
def process(port: int, **messages: int) -> Iterator[None]:
    """A process that serves metrics: so many messages by result."""
    metrics = Metrics()
    for result, count in messages.items():
        metrics.count("messages_total", result, by=count)
    server, thread = start_http_server(port, "127.0.0.1", metrics.registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def page() -> str:
    metrics = Metrics()
    metrics.count("messages_total", "stored", by=3)
    metrics.attachment("application/pdf", 1000)
    metrics.count("events_published_total", "erp", "delivered", by=2)
    metrics.count("events_published_total", "erp", "unavailable", by=9)
    for _ in range(4):
        metrics.observe("end_to_end_latency_seconds", 0.7)
    return generate_latest(metrics.registry).decode()


def test_figures_add_up_over_processes() -> None:
    totals = totals_of(merged([samples_of(page()), samples_of(page())]))
    assert (totals.stored, totals.attachments, totals.attachment_bytes) == (6, 2, 2000)
    assert totals.delivered == {"erp": 4}
    assert totals.latency_p50 is not None
    assert 0.5 < totals.latency_p50 <= 1.0


def test_nothing_observed_is_no_quantile() -> None:
    assert quantile(0.5, []) is None
    assert quantile(0.5, [(1.0, 0.0), (float("inf"), 0.0)]) is None


def test_quantiles_are_interpolated_within_their_bucket() -> None:
    buckets = [(1.0, 0.0), (2.0, 10.0), (float("inf"), 20.0)]
    assert quantile(0.25, buckets) == 1.5
    assert quantile(0.95, buckets) == 2.0, "beyond the last bound nothing is known but the bound"


def test_the_rate_is_the_growth_over_the_window_and_never_negative() -> None:
    assert rate_of([(0.0, 10), (5.0, 20)]) == 2.0
    assert rate_of([(0.0, 10)]) == 0.0
    assert rate_of([(0.0, 10), (5.0, 0)]) == 0.0


def test_counters_go_down_only_in_a_process_that_started_anew() -> None:
    assert not started_anew({}, {A: 1.0})
    assert not started_anew({A: 1.0}, {A: 1.0, B: 5.0})
    assert started_anew({A: 2.0, B: 1.0}, {A: 1.0, B: 9.0})
    assert started_anew({A: 2.0}, {})


def test_what_was_added_is_the_difference() -> None:
    assert grown({A: 2.0}, {A: 5.0, B: 1.0}) == {A: 3.0, B: 1.0}


def test_latency_is_the_recent_one_where_there_was_any() -> None:
    all_time, recent = Totals(stored=9, latency_p50=4.0, latency_p95=8.0), Totals(latency_p50=0.2, latency_p95=0.4)
    assert with_latency_of(all_time, recent) == Totals(stored=9, latency_p50=0.2, latency_p95=0.4)
    assert with_latency_of(all_time, Totals()) == all_time


def test_sums_outlive_a_process_that_is_restarted() -> None:
    port = free_port()
    events = MemoryEventLog(time.time)
    watch = Watch(MemoryLedger(time.time, events), events, list, [], "127.0.0.1", {"poller": port})
    assert watch.snapshot([]).totals.stored == 0, "nobody answers yet"
    with process(port, stored=3, processed=2):
        assert watch.snapshot([]).totals.stored == 3
    assert watch.snapshot([]).totals.stored == 3
    with process(port, stored=1):
        assert watch.snapshot([]).totals.stored == 4
        totals = watch.snapshot([]).totals
        assert (totals.stored, totals.processed) == (4, 2)
    watch.close()
