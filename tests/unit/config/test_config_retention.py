"""`retention` and `store.lock`: periods as people write them, and rules that contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.config.load import load
from ingest.config.units import parse_period
from ingest.domain.retention import Period, RetentionRule
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400.0
BASE = "ledger: embedded\n"


def problem(path: Path, text: str) -> str:
    file = path / "mailhaul.yaml"
    file.write_text(BASE + text)
    with pytest.raises(ConfigError) as raised:
        load(file, {})
    (only,) = raised.value.problems
    return only


@pytest.mark.parametrize(
    ("written", "period"),
    [
        ("10y", Period(10)),
        ("1y30d", Period(1, 30 * DAY)),
        ("90d", Period(0, 90 * DAY)),
        ("36h", Period(0, 1.5 * DAY)),
        ("3600s", Period(0, 3600.0)),
    ],
)
def test_periods_are_calendar_years_and_durations(written: object, period: Period) -> None:
    assert parse_period(written) == period


@pytest.mark.parametrize(
    "written", ["", "0d", "0y", "ten years", "1000y", "101y", "1d1y", -1, True, None, [1], 10, 10.0, "10", "1y30"]
)
def test_other_forms_of_periods_and_numbers_without_a_unit_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="write a period"):
        parse_period(written)


def test_rules_and_lock_are_read(tmp_path: Path) -> None:
    file = tmp_path / "mailhaul.yaml"
    file.write_text(
        f"{BASE}store: {{url: 's3://mail/x', lock: {{mode: compliance, retain: 10y}}, tags: true}}\n"
        "retention:\n"
        "  - {name: invoices, mailboxes: [gone], labels: [invoice, tenant=de], keep: 10y}\n"
        "  - {name: raw, raw: 11y}\n"
    )
    config = load(file, {})
    assert config.store.lock is not None
    assert (config.store.lock.mode, config.store.lock.retain, config.store.tags) == ("compliance", Period(10), True)
    assert [section.rule() for section in config.retention] == [
        RetentionRule("invoices", frozenset({"gone"}), frozenset({"invoice", "tenant=de"}), keep=Period(10)),
        RetentionRule("raw", raw=Period(11)),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("store: file:///x\nretention: [{name: a}]\n", "write keep, raw or both"),
        ("store: file:///x\nretention: [{name: a, keep: 1y, raw: 365d}]\n", "raw must be shorter than keep"),
        (
            "store: file:///x\nretention: [{name: a, keep: 1y}, {name: a, raw: 1d}]\n",
            "is already the name of the rule",
        ),
        ("store: file:///x\nretention: [{name: a, keep: forever}]\n", "write a period with its units, such as 90d"),
        (
            "store: {url: 's3://mail/x', lock: {mode: compliance, retain: 10y}}\nretention: [{name: a, keep: 9y}]\n",
            "is shorter than store.lock.retain",
        ),
        (
            "store: {url: 's3://mail/x', lock: {mode: compliance, retain: 1y}}\nretention: [{name: a, raw: 90d}]\n",
            "is shorter than store.lock.retain",
        ),
        ("store: {url: 'gs://mail/x', lock: {mode: compliance, retain: 1y}}\n", "lock is an option for s3:// only"),
        ("store: {url: 'az://acc/mail', tags: true}\n", "tags is an option for s3:// only"),
        ("store: {url: 'file:///x', lock: {mode: compliance, retain: 1y}}\n", "lock is an option for s3:// only"),
        ("store: {url: 's3://mail/x', lock: {mode: strict, retain: 1y}}\n", "governance"),
    ],
)
def test_contradictions_are_named(tmp_path: Path, text: str, words: str) -> None:
    assert words in problem(tmp_path, text)
