"""The arithmetic of the live view."""

from __future__ import annotations

from prometheus_client import generate_latest

from ingest.cli.watch import merged, quantile, rate_of, samples_of, totals_of
from ingest.metrics import Metrics


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
    assert (totals.stored, totals.attachments, totals.attachment_octets) == (6, 2, 2000)
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
