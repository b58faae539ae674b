"""Rules label messages and quarantine them, in their order; one that fails applies, and says so."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ingest.domain.cloudevents import event_of
from ingest.domain.events import MAX_EVENT_BYTES
from ingest.domain.mail import Address
from ingest.domain.marks import AppliedRule, Quarantine
from ingest.expressions import Expression
from ingest.usecases.process.rules import Rule, with_rules
from tests.support.habits import HABITS
from tests.support.processing import process

if TYPE_CHECKING:
    from ingest.domain.manifest import Manifest

NOW = datetime(2026, 11, 23, tzinfo=UTC)
INVOICES = Rule("invoices", Expression("documents.exists(d, d.kind == 'invoice')"), labels=("invoice", "finance"))


def processed(name: str, *rules: Rule) -> Manifest:
    raw = next(habit.raw for habit in HABITS if habit.name == name)
    return process(raw, rules=rules).manifest


def test_labels_are_in_manifest_and_event_with_the_rule_that_gave_them() -> None:
    manifest = processed("xml-invoice", INVOICES, Rule("all", Expression("true"), labels=("finance", "seen")))
    assert manifest.labels == ["invoice", "finance", "seen"]
    assert manifest.rules == [
        AppliedRule(name="invoices", labels=["invoice", "finance"]),
        AppliedRule(name="all", labels=["finance", "seen"]),
    ]
    assert manifest.quarantine is None
    data = json.loads(event_of(manifest, NOW).body)["data"]
    assert data["labels"] == ["invoice", "finance", "seen"]


def test_rule_that_does_not_hold_leaves_the_manifest_alone() -> None:
    assert processed("zip", INVOICES) == processed("zip")


def test_condition_sees_labels_and_quarantine_of_the_rules_before_it() -> None:
    manifest = processed(
        "xml-invoice",
        Rule("too-early", Expression("'invoice' in labels"), labels=("early",)),
        INVOICES,
        Rule("hold", Expression("'invoice' in labels"), quarantine=True),
        Rule("second", Expression("quarantine != null && rules.exists(r, r.name == 'hold')"), quarantine=True),
    )
    assert [rule.name for rule in manifest.rules] == ["invoices", "hold", "second"]
    assert manifest.quarantine == Quarantine(rule="hold")


def test_rule_that_fails_applies_with_a_defect() -> None:
    failing = Expression("envelope.return_path == 'x'")
    manifest = processed("plain-pdf", Rule("label", failing, labels=("odd",)), Rule("hold", failing, quarantine=True))
    assert manifest.labels == ["odd"]
    assert manifest.quarantine == Quarantine(rule="hold")
    assert [rule.failed for rule in manifest.rules] == [True, True]
    assert "rule_failed" in manifest.parse.defects
    assert manifest.parse.status == "complete"


def test_rule_that_would_run_for_ever_applies() -> None:
    text = "true"
    for name in "abcdefghijkl":
        text = f"{list(range(10))}.all({name}, {text})"
    manifest = processed("plain-pdf", Rule("endless", Expression(text), quarantine=True))
    assert manifest.quarantine == Quarantine(rule="endless")


def test_labels_and_quarantine_stay_in_the_largest_event() -> None:
    labels = tuple(f"{at:02}{'l' * 62}" for at in range(64))
    names = [f"{number:02}{'r' * 62}" for number in range(100)]
    rules = [Rule(name, Expression("true"), labels, quarantine=True) for name in names]
    manifest = with_rules(processed("ten-files"), rules)
    addresses = [Address(name="n" * 500, address="a" * 500)] * 50
    headers = manifest.headers.model_copy(update={"to": addresses, "from_": addresses})
    event = event_of(manifest.model_copy(update={"headers": headers}), NOW)
    assert len(event.body) <= MAX_EVENT_BYTES
    data = json.loads(event.body)["data"]
    assert len(data["labels"]) == 64
    assert data["quarantine"] == {"rule": names[0]}
    assert data["rules"] == []
