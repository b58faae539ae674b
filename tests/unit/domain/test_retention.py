"""How long a message is kept: periods by the calendar, and the longest of several rules."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from ingest.domain import keys
from ingest.domain.keys import Layout
from ingest.domain.retention import FOREVER, Period, RetentionRule, Term, is_shorter, term_of

STORED = datetime(2026, 11, 27, 16, 5, tzinfo=UTC)
YEAR, DECADE, QUARTER = Period(years=1), Period(years=10), Period(seconds=90 * 86_400)


def day(year: int, month: int, number: int) -> datetime:
    return datetime(year, month, number, 16, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("begin", "period", "end"),
    [
        (STORED, DECADE, day(2036, 11, 27)),
        (STORED, QUARTER, day(2027, 2, 25)),
        (STORED, Period(1, 86_400), day(2027, 11, 28)),
        (day(2024, 2, 29), YEAR, day(2025, 3, 1)),
        (day(2024, 2, 29), Period(years=4), day(2028, 2, 29)),
    ],
)
def test_years_are_calendar_years_and_never_end_early(begin: datetime, period: Period, end: datetime) -> None:
    assert period.after(begin) == end


def test_a_year_is_not_certainly_longer_than_its_days() -> None:
    assert is_shorter(Period(seconds=364 * 86_400), YEAR)
    assert not is_shorter(Period(seconds=365 * 86_400), YEAR)
    assert not is_shorter(YEAR, YEAR)


@pytest.mark.parametrize(
    ("rules", "term"),
    [
        ([], Term()),
        ([RetentionRule("other", mailboxes=frozenset({"b"}), keep=YEAR)], Term()),
        ([RetentionRule("other", labels=frozenset({"private"}), keep=YEAR)], Term()),
        ([RetentionRule("all", keep=YEAR)], Term(day(2027, 11, 27), "all", day(2027, 11, 27), "all")),
        # The longest counts, whatever the order.
        (
            [RetentionRule("long", labels=frozenset({"invoice"}), keep=DECADE), RetentionRule("all", keep=YEAR)],
            Term(day(2036, 11, 27), "long", day(2036, 11, 27), "long"),
        ),
        (
            [RetentionRule("all", keep=YEAR), RetentionRule("de", labels=frozenset({"tenant=de"}), keep=DECADE)],
            Term(day(2036, 11, 27), "de", day(2036, 11, 27), "de"),
        ),
        # A rule without `keep` keeps for ever, and one without `raw` keeps it with the message.
        (
            [RetentionRule("all", keep=YEAR), RetentionRule("raw", raw=QUARTER)],
            Term(FOREVER, "raw", day(2027, 11, 27), "all"),
        ),
        (
            [RetentionRule("both", keep=YEAR, raw=QUARTER)],
            Term(day(2027, 11, 27), "both", day(2027, 2, 25), "both"),
        ),
        # Mailbox and label are both asked for.
        ([RetentionRule("x", frozenset({"a"}), frozenset({"private"}), keep=YEAR)], Term()),
        ([RetentionRule("x", frozenset({"b"}), frozenset({"invoice"}), keep=YEAR)], Term()),
    ],
)
def test_the_longest_matching_rule_counts_and_without_one_a_message_is_kept_for_ever(
    rules: list[RetentionRule], term: Term
) -> None:
    assert term_of(rules, "a", {"invoice", "tenant=de"}, STORED) == term
    assert term_of(rules[::-1], "a", {"invoice", "tenant=de"}, STORED) == term


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("raw.eml", "raw"),
        ("top.eml", "raw"),
        ("attachments/2-raw.eml", "document"),
        ("quarantine/2-x.exe", "document"),
        ("updates/12/attachments/2-i.pdf", "document"),
        ("updates/1/body.txt", "body"),
        ("updates/1/previous.json", "manifest"),
        ("message.json", "manifest"),
        ("raw-erased.json", "manifest"),
        ("body.txt", "body"),
        ("derived/body.html", "body"),
    ],
)
def test_kind_of_an_object_follows_from_its_key(name: str, kind: str) -> None:
    for place in ("2026/11/27", "undated"):
        assert keys.kind(f"mail/team/a/{place}/{'0a' * 16}/{name}") == kind
    assert keys.kind(f"mail/a/_state/{name}") == "state"


@pytest.mark.parametrize("layout", [Layout(), Layout("mail/team")])
def test_statements_and_their_entries_are_a_kind_of_their_own(layout: Layout) -> None:
    day = date(2026, 11, 27)
    assert keys.kind(layout.statement("a", day)) == "statement"
    assert keys.kind(layout.statement_entries("a", day, "0a" * 32)) == "statement"
    assert keys.kind(f"{layout.statements('a')}other.json") == "state"
