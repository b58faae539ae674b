"""The rule file as Prometheus and the chart read it, and the series in its expressions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ingest.metric_specs import SPECS

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "observability" / "rules.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"

# Labels that Prometheus or Kubernetes puts on every series.
TARGET_LABELS = frozenset({"namespace", "instance", "job", "pod"})

_FUNCTIONS_AND_WORDS = frozenset(
    {
        *(
            "absent",
            "avg",
            "avg_over_time",
            "changes",
            "clamp_max",
            "clamp_min",
            "count",
            "deriv",
            "histogram_quantile",
        ),
        *("increase", "label_replace", "max", "min", "rate", "sum", "time", "topk", "bottomk", "vector"),
        *("and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset"),
        "inf",
    }
)
# Series of Prometheus itself, with their labels.
_OF_PROMETHEUS = {
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "mailbox", "queue", "server", "sink"}),
    "up": frozenset[str](),
}


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of the rule file."""

    name: str
    expr: str
    wait: str
    severity: str
    annotations: dict[str, str]


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording rule: its name, expression and the labels that it sets."""

    name: str
    expr: str
    labels: dict[str, str]


def load_rules() -> tuple[list[Recording], list[Alert]]:
    """Both kinds of rules, in the order of the file."""
    rules: list[dict[str, Any]] = [
        rule for group in yaml.load(RULES.read_text(), Loader=yaml.CSafeLoader)["groups"] for rule in group["rules"]
    ]
    recordings = [
        Recording(rule["record"], rule["expr"], rule.get("labels", {})) for rule in rules if "record" in rule
    ]
    alerts = [
        Alert(rule["alert"], rule["expr"], rule.get("for", "0s"), rule["labels"]["severity"], rule["annotations"])
        for rule in rules
        if "alert" in rule
    ]
    return recordings, alerts


def exported_series() -> dict[str, frozenset[str]]:
    """The series that the code exports, as they are named in queries, and their labels."""
    series: dict[str, frozenset[str]] = {}
    for spec in SPECS:
        labels = frozenset(spec.labels)
        if spec.kind == "histogram":
            series[f"{spec.full_name}_bucket"] = labels | {"le"}
            series[f"{spec.full_name}_count"] = series[f"{spec.full_name}_sum"] = labels
        else:
            series[spec.full_name] = labels
    return series


def recorded_series() -> dict[str, frozenset[str]]:
    """The series that recording rules make, and their labels: those they keep, and those they set."""
    series: dict[str, frozenset[str]] = {}
    for rule in load_rules()[0]:
        kept = {label for labels in re.findall(r"\bby \(([^)]*)\)", rule.expr) for label in _split(labels)}
        series[rule.name] = frozenset(kept - {"le"}) | frozenset(rule.labels) | series.get(rule.name, frozenset())
    return series


def known_series() -> dict[str, frozenset[str]]:
    """All series that a query may use."""
    return {**exported_series(), **recorded_series(), **_OF_PROMETHEUS}


def names_in(expr: str) -> set[str]:
    """The series that an expression uses."""
    bare = re.sub(r'"(\\.|[^"\\])*"', '""', expr)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right) *\([^)]*\)", " ", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    words = set(re.findall(r"(?<![\w.:$])[a-zA-Z_][\w:]*", bare))
    return words - _FUNCTIONS_AND_WORDS


def unknown_in(expr: str) -> set[str]:
    """Return the series, or labels of a series, that an expression uses and nothing exports.

    A label in a matcher must be one of that series; one to group or join by must be one of some series in the
    expression, or made there by `label_replace`.
    """
    known = known_series()
    names = names_in(expr)
    unknown = {name for name in names if name not in known}
    for name, matchers in re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", expr):
        for label in re.findall(r"(\w+) *(?:=~|!~|!=|=)", matchers):
            if label not in known.get(name, frozenset()) | TARGET_LABELS:
                unknown.add(f"{name}{{{label}}}")
    at_hand = frozenset().union(*(known.get(name, frozenset()) for name in names)) | TARGET_LABELS
    at_hand |= frozenset(re.findall(r'label_replace\(.*?"(\w+)", "\$1"', expr, re.DOTALL))
    for labels in re.findall(r"\b(?:by|without|on|ignoring) *\(([^)]*)\)", expr):
        unknown |= {label for label in _split(labels) if label not in at_hand}
    return unknown


def _split(labels: str) -> list[str]:
    return [label.strip() for label in labels.split(",") if label.strip()]
