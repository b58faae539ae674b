"""The address of the metrics, as `mailhaul health` reads it, is the one that the process serves them on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.config import ConfigSource
from ingest.config.metrics_address import METRICS_ADDRESS, METRICS_PORT, metrics_address

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BASE = "store: file:///s\nledger: embedded\n"


@pytest.mark.parametrize(
    ("section", "variables"),
    [
        ("", {}),
        ("metrics: {port: 9000}", {}),
        ("metrics: {address: '::', port: '9000', mailbox_label: false}", {}),
        ("metrics: {address: metrics.example.org}", {"MAILHAUL_METRICS__PORT": "9001"}),
        ("metrics: {port: 9000}", {"mailhaul_metrics__address": "10.0.0.1", "MAILHAUL_METRICS__PORT": ""}),
        ("metrics: {port: 9000}", {"MAILHAUL_METRICS": '{"port": 9002}', "MAILHAUL_METRICS__ADDRESS": "::1"}),
        ("metrics: &m {port: 9000}\nlog: {}", {"MAILHAUL_METRICSX": "1", "MAILHAUL_PORT": "2"}),
    ],
)
def test_both_read_the_same_address(section: str, variables: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "mailhaul.yaml"
    path.write_text(BASE + section)
    metrics = ConfigSource(path, variables).current().metrics
    assert metrics_address(path, variables) == (metrics.address, metrics.port)


def test_files_of_a_folder_and_variables_alone_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BASE)
    (tmp_path / "b.yaml").write_text("metrics: {port: 9000}")
    assert metrics_address(tmp_path, {}) == (METRICS_ADDRESS, 9000)
    assert metrics_address(None, {"MAILHAUL_METRICS__ADDRESS": "::"}) == ("::", METRICS_PORT)


@pytest.mark.parametrize(
    "section", ["metrics: 3", "metrics: {port: 70000}", "metrics: {port: 0}", "metrics: {port: true}", "metrics: ["]
)
def test_invalid_section_is_left_to_the_models(section: str, tmp_path: Path) -> None:
    path = tmp_path / "mailhaul.yaml"
    path.write_text(BASE + section)
    assert metrics_address(path, {}) is None


def test_problem_elsewhere_does_not_make_a_process_unhealthy(tmp_path: Path) -> None:
    """The process still works with the configuration that it read before."""
    path = tmp_path / "mailhaul.yaml"
    path.write_text("stoer: file:///s\nmetrics: {port: 9000}\n")
    assert metrics_address(path, {}) == (METRICS_ADDRESS, 9000)
