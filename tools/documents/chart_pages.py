"""Generated files of the chart: its schema, its README, and copies of rules and dashboards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tools.documents.chart_schema import CHART, Value, chart_values, schema_text

OBSERVABILITY = Path(__file__).parents[2] / "deploy" / "observability"

_README = """\
# Mailhaul's Helm chart

Runs [Mailhaul](../../README.md) on Kubernetes 1.27 or later: pollers, processors, relays, schedulers, an
exporter, and on request the console. [docs/kubernetes.md](../../docs/kubernetes.md) leads from nothing to a running
release, and covers sizes, scaling, upgrades and security.

    helm install mailhaul helm/mailhaul -n mail --create-namespace -f my-values.yaml
    helm test mailhaul -n mail

Values that cannot work are rejected with a remedy. `values.schema.json` lets editors complete and check; under
`config` it is [Mailhaul's own](../../docs/configuration.md). Generated from `values.yaml` by `make docs`.

## Values

| Value | Default | Meaning |
|---|---|---|
{values}

## Alerts

With `metrics.prometheusRule.enabled`. What to do about each: [docs/runbooks](../../docs/runbooks).

| Alert | Fires when | For | Severity |
|---|---|---|---|
{alerts}
"""


def chart_pages() -> dict[Path, str]:
    """Return every file and its content."""
    return {
        CHART / "values.schema.json": schema_text(alerts=[alert["alert"] for alert in alerts()]),
        CHART / "README.md": _README.format(
            values="\n".join(_rows(chart_values())), alerts="\n".join(_alert_row(alert) for alert in alerts())
        ),
        CHART / "files" / "rules.yaml": (OBSERVABILITY / "rules.yaml").read_text(),
        **{
            CHART / "files" / "dashboards" / path.name: path.read_text()
            for path in sorted(OBSERVABILITY.glob("dashboards/*.json"))
        },
    }


def alerts() -> list[dict[str, Any]]:
    """Return every alert of the rules."""
    groups = yaml.safe_load((OBSERVABILITY / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def _alert_row(alert: dict[str, Any]) -> str:
    comparison, threshold = alert["expr"].split()[-2:]
    cells = (
        f"`{alert['alert']}`",
        f"value {comparison} {threshold}",
        alert.get("for", ""),
        alert["labels"]["severity"],
    )
    return f"| {' | '.join(cells)} |"


def _rows(values: list[Value]) -> list[str]:
    """Return a row for each value, and for each section that has a comment."""
    meanings = {value.name: value.meaning for value in values}
    rows = []
    for value in values:
        meaning = value.meaning or _as_elsewhere(value, meanings)
        if value.section and meaning:
            rows.append(f"| **`{value.name}`** | | {meaning} |")
        elif not value.section:
            rows.append(f"| `{value.name}` | `{json.dumps(value.default, ensure_ascii=False)}` | {meaning} |")
    return rows


def _as_elsewhere(value: Value, meanings: dict[str, str]) -> str:
    """Return a reference to the same value of another section."""
    rest = ".".join(value.path[1:])
    return next(
        (f"as `{name}`" for name in (f"poller.{rest}", rest) if meanings.get(name) and name != value.name), ""
    )
