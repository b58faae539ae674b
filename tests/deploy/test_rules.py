"""The rule file is valid, says what to do, and asks for nothing that is not exported."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from ingest.metric_specs import SPECS
from tests.support.rules import (
    ROOT,
    RULES,
    RUNBOOKS,
    Alert,
    exported_series,
    known_series,
    load_rules,
    names_in,
    unknown_in,
)
from tests.support.servers import find_program, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORDINGS, ALERTS = load_rules()
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)


@pytest.mark.prometheus
def test_promtool_accepts_every_rule() -> None:
    promtool = find_program("promtool")
    if promtool is None:
        missing("prometheus", "promtool")
    done = subprocess.run(
        [promtool, "check", "rules", "--lint-fatal", RULES], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_names_are_unique_and_ours() -> None:
    names = [alert.name for alert in ALERTS]
    assert len(set(names)) == len(names) >= 12
    assert all(name.startswith("Mailhaul") for name in names)
    assert all(recording.name.startswith("mailhaul:") for recording in RECORDINGS)


@each_alert
def test_every_alert_has_a_severity_a_summary_and_a_runbook(alert: Alert) -> None:
    assert alert.severity in {"critical", "warning"}
    assert set(alert.annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert len(alert.annotations["summary"]) > 20
    assert len(alert.annotations["description"]) > 60
    assert alert.annotations["runbook_url"] == f"https://mailhaul.example/docs/runbooks/{alert.name}.md"
    assert re.fullmatch(
        r"http://localhost:3000/d/mailhaul-(overview|detail)(\?var-mailbox=\{\{ \$labels\.mailbox \}\})?",
        alert.annotations["dashboard_url"],
    )


@each_alert
def test_an_alert_ends_with_its_threshold_alone(alert: Alert) -> None:
    """The chart puts another number there; the description holds with that one too, as it has none."""
    assert re.search(r" [<>] [0-9.]+\s*$", alert.expr)
    assert "{{" not in alert.annotations["description"]


@pytest.mark.parametrize("rule", [*RECORDINGS, *ALERTS], ids=lambda rule: rule.name)
def test_what_a_rule_asks_for_is_exported(rule: Alert) -> None:
    assert names_in(rule.expr)
    assert unknown_in(rule.expr) == set()


@each_alert
def test_labels_in_the_words_of_an_alert_are_kept_by_its_expression(alert: Alert) -> None:
    named = {name for text in alert.annotations.values() for name in re.findall(r"\$labels\.(\w+)", text)}
    grouped = {label for labels in re.findall(r"by \(([^)]*)\)", alert.expr) for label in labels.split(", ")}
    known = known_series()
    kept = grouped | {label for name in names_in(alert.expr) if ":" in name for label in known[name]}
    assert named <= kept


@each_alert
def test_each_alert_has_a_page_in_the_runbook(alert: Alert) -> None:
    text = (RUNBOOKS / f"{alert.name}.md").read_text()
    assert text.startswith(f"# {alert.name}\n\nSeverity: {alert.severity}.\n")
    for heading in ("## What it means", "## Look", "## Do"):
        assert heading in text
    assert f"({alert.name}.md)" in (RUNBOOKS / "README.md").read_text()


def test_no_page_in_the_runbook_is_about_an_alert_that_is_not_there() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == {alert.name for alert in ALERTS}


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_what_a_document_names_exists(page: Path) -> None:
    """Metrics, recorded series and alerts."""
    text = page.read_text()
    assert [name for name in _metrics_in(text) if not _is_exported(name)] == []
    assert {name for name in re.findall(r"mailhaul:[a-z]\w*:[\w:]+", text) if name not in known_series()} == set()
    assert set(re.findall(r"\bMailhaul[A-Z]\w+\b", text)) <= {alert.name for alert in ALERTS}


def test_every_exported_metric_is_described_in_the_documents() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    assert {spec.full_name for spec in SPECS} == set(_metrics_in(text))


def _metrics_in(text: str) -> Iterator[str]:
    yield from re.findall(r"\bmailhaul_[a-z0-9_]+", text)


def _is_exported(name: str) -> bool:
    exported = exported_series()
    families = {spec.full_name for spec in SPECS}
    return name in exported or name in families


def test_the_search_for_what_is_unknown_finds_it() -> None:
    assert unknown_in('rate(mailhaul_polls_total{result="success"}[5m]) > 1') == set()
    assert unknown_in("mailhaul_poll_total") == {"mailhaul_poll_total"}
    assert unknown_in('mailhaul_polls_total{phase="list"}') == {"mailhaul_polls_total{phase}"}
    assert unknown_in("sum by (phase) (mailhaul_polls_total)") == {"phase"}
    assert unknown_in("frobnicate(mailhaul_polls_total)") == {"frobnicate"}
    assert unknown_in('label_replace(mailhaul_queue_wakeups, "task", "$1", "queue", "(.+)")') == set()
