"""Metrics are declared once, start at zero, and stay bounded whatever mail brings."""

from __future__ import annotations

import pytest

from ingest.metric_labels import POLL_RESULTS, SINK_RESULTS
from ingest.metric_specs import SPECS, WORKER_SPECS
from ingest.metrics import DEFECT_SERIES, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_every_metric_has_a_unique_name_and_a_meaning() -> None:
    assert len({spec.name for spec in SPECS}) == len(SPECS)
    assert all(spec.help for spec in SPECS)
    assert all(spec.name.endswith("_total") == (spec.kind == "counter") for spec in SPECS)


def test_label_combinations_known_beforehand_start_at_zero() -> None:
    found = samples(Metrics())
    for spec in WORKER_SPECS:
        for labels in spec.known:
            name = spec.full_name if spec.kind == "counter" else f"{spec.full_name}_count"
            assert found[(name, labels)] == 0


def test_a_sender_cannot_make_series_by_inventing_types() -> None:
    metrics = Metrics()
    for number in range(100):
        metrics.attachment(f"application/x-{number}", 10)
    found = samples(metrics)
    assert found[("mailhaul_attachments_total", ("other",))] == 100
    assert found[("mailhaul_attachment_bytes_total", ("other",))] == 1000


def test_defect_codes_are_capped() -> None:
    metrics = Metrics()
    for number in range(DEFECT_SERIES + 10):
        metrics.defect(f"code_{number}")
    series = [key for key in samples(metrics) if key[0] == "mailhaul_parse_defects_total"]
    assert len(series) == DEFECT_SERIES + 1


@pytest.mark.parametrize(("label", "expected"), [(True, "invoices-de"), (False, "")])
def test_the_mailbox_label_can_be_switched_off(label: bool, expected: str) -> None:  # noqa: FBT001 - a parameter
    metrics = Metrics(mailbox_label=label)
    metrics.poll_ended("invoices-de", "success")
    assert samples(metrics)[("mailhaul_polls_total", (expected, "success"))] == 1


def test_counters_of_configured_mailboxes_servers_and_sinks_start_at_zero() -> None:
    """So that the first failure is an increase, on which an alert can fire."""
    metrics = Metrics()
    metrics.expect_polls(["a"], ["pop.example.org:995"])
    metrics.expect_sinks(["main"])
    found = samples(metrics)
    for name, labels in (
        *(("mailhaul_polls_total", ("a", result)) for result in POLL_RESULTS),
        *(("mailhaul_events_published_total", ("main", result)) for result in SINK_RESULTS),
        ("mailhaul_polls_deferred_total", ("pop.example.org:995",)),
        ("mailhaul_deletions_withheld_total", ("a",)),
    ):
        assert found[(name, labels)] == 0


def test_mailboxes_beyond_a_number_share_one_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.metrics.MAILBOX_SERIES", 2)
    metrics = Metrics()
    for mailbox in ("a", "b", "c", "d", "a"):
        metrics.poll_ended(mailbox, "success")
    found = samples(metrics)
    counts = [found[("mailhaul_polls_total", (label, "success"))] for label in ("a", "b", "other")]
    assert counts == [2, 1, 2]
