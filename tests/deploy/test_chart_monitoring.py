"""Rules and dashboards of `deploy/observability`, as a release has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.chart import refusal, render, values
from tools.documents.chart_pages import OBSERVABILITY, alerts

if TYPE_CHECKING:
    from tests.support.chart import Object, Rendered

ALERTS = {alert["alert"]: alert for alert in alerts()}


def _rendered(**options: Any) -> Rendered:
    return render(values(metrics={"prometheusRule": {"enabled": True, **options}}))


def _rules(rendered: Rendered) -> list[Object]:
    (item,) = rendered.of("PrometheusRule")
    return [rule for group in item["spec"]["groups"] for rule in group["rules"]]


def _alerts(**options: Any) -> dict[str, Object]:
    return {rule["alert"]: rule for rule in _rules(_rendered(**options)) if "alert" in rule}


def test_no_monitoring_objects_by_default() -> None:
    rendered = render(values())
    assert rendered.of("PrometheusRule") == []
    assert not [item for item in rendered.of("ConfigMap") if item["metadata"]["name"].endswith("-dashboards")]


def test_every_rule_is_there_as_it_stands_in_its_source() -> None:
    found = _alerts()
    assert found == ALERTS
    assert [rule for rule in _rules(_rendered()) if "record" in rule]


@pytest.mark.parametrize("name", ALERTS)
def test_the_threshold_of_each_alert_may_be_another(name: str) -> None:
    before, after = ALERTS[name]["expr"], _alerts(alerts={name: {"threshold": 4711.5}})[name]["expr"]
    assert after.split()[-1] == "4711.5"
    assert after.split()[:-1] == before.split()[:-1]


def test_a_threshold_may_be_nothing() -> None:
    assert _alerts(alerts={"MailhaulPollersBehind": {"threshold": 0}})["MailhaulPollersBehind"]["expr"].endswith(
        "> 0"
    )


def test_an_alert_may_be_switched_off_and_its_time_and_severity_changed() -> None:
    found = _alerts(
        alerts={"MailhaulPollersBehind": {"enabled": False}, "MailhaulLedgerDown": {"for": "7m", "severity": "page"}}
    )
    assert found.keys() == ALERTS.keys() - {"MailhaulPollersBehind"}
    assert found["MailhaulLedgerDown"]["for"] == "7m"
    assert found["MailhaulLedgerDown"]["labels"] == {"severity": "page"}
    assert found["MailhaulLedgerDown"]["expr"] == ALERTS["MailhaulLedgerDown"]["expr"]


def test_an_alert_that_does_not_exist_is_refused() -> None:
    words = refusal(values(metrics={"prometheusRule": {"alerts": {"MailhaulPoller": {"enabled": False}}}}))
    assert "additional properties 'MailhaulPoller' not allowed" in words


def test_alerts_carry_more_labels_and_links_to_where_you_keep_things() -> None:
    found = _alerts(
        alertLabels={"team": "mail"}, documentsUrl="https://wiki.example/m/", grafanaUrl="https://g.example"
    )
    for name, alert in found.items():
        assert alert["labels"]["team"] == "mail"
        assert alert["annotations"]["runbook_url"] == f"https://wiki.example/m/docs/runbooks/{name}.md"
        assert alert["annotations"]["dashboard_url"].startswith("https://g.example/d/mailhaul-")


def test_dashboards_arrive_byte_for_byte() -> None:
    rendered = render(values(metrics={"dashboards": {"enabled": True, "annotations": {"folder": "Mail"}}}))
    item = rendered.one("ConfigMap", "-dashboards")
    assert item["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert item["metadata"]["annotations"] == {"folder": "Mail"}
    sources = {
        f"mailhaul-{path.name}": json.loads(path.read_text()) for path in OBSERVABILITY.glob("dashboards/*.json")
    }
    assert sources
    assert {name: json.loads(text) for name, text in item["data"].items()} == sources
