"""Prometheus' own unit tests of rules: series go in, alerts come out."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.rules import RULES, load_rules
from tests.support.servers import find_program, missing
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert as it is received: its labels without name and severity, and its summary."""

    summary: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Series, and what one alert does with them.

    Attributes:
        alert: its name.
        story: what happens, in a few words.
        series: values from minute 0 on, one each minute, in promtool's notation.
        minute: when the alert is looked at.
        fires: what must fire then; nothing else of this alert may.
    """

    alert: str
    story: str
    series: Mapping[str, str]
    minute: int
    fires: tuple[Firing, ...] = ()


def judge(scenario: Scenario, folder: Path) -> str:
    """Return promtool's report of a failed scenario, expected and actual alerts; empty if it passed.

    Args:
        scenario: to be played.
        folder: for the file that promtool reads.
    """
    promtool = find_program("promtool")
    if promtool is None:
        missing("prometheus", "promtool")
    (alert,) = [alert for alert in load_rules()[1] if alert.name == scenario.alert]
    expected = [
        {
            "exp_labels": {"severity": alert.severity, **firing.labels},
            "exp_annotations": {
                **alert.annotations,
                "summary": firing.summary,
                "dashboard_url": alert.annotations["dashboard_url"].replace(
                    "{{ $labels.mailbox }}", firing.labels.get("mailbox", "")
                ),
            },
        }
        for firing in scenario.fires
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in scenario.series.items()],
        "alert_rule_test": [
            {"eval_time": f"{scenario.minute}m", "alertname": scenario.alert, "exp_alerts": expected}
        ],
    }
    content = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        # Else in any order, and values may be a minute old.
        "group_eval_order": ["mailhaul-recording", "mailhaul-alerts"],
        "tests": [test],
    }
    path = folder / "test.yaml"
    path.write_text(json.dumps(content))
    done = subprocess.run(
        [promtool, "test", "rules", path], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr
