"""Metrics are declared once, start at zero, and stay bounded whatever mail brings."""

from __future__ import annotations

import pytest

from ingest.metrics import DEFECT_SERIES, SPECS, WORKER_SPECS, Metrics


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
