"""How long messages are kept: the rules, and what follows from them for one message. No clock, no store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """A length of time: calendar years, and seconds."""

    years: int = 0
    seconds: float = 0.0

    def after(self, moment: datetime) -> datetime:
        """Return the moment that is this much later. A year after 29 February is 1 March, never earlier."""
        year = moment.year + self.years
        try:
            later = moment.replace(year=year)
        except ValueError:
            later = moment.replace(year=year, month=3, day=1)
        return later + timedelta(seconds=self.seconds)


def is_shorter(one: Period, other: Period) -> bool:
    """Return whether a period certainly ends before another one that begins at the same time."""
    begin = datetime(2000, 3, 1, tzinfo=UTC)  # no leap day for the longest time, so the one with years is shortest
    return one.after(begin) < other.after(begin)


@dataclass(frozen=True, slots=True)
class Lock:
    """The Object Lock that new raw mail, documents and statements get.

    Attributes:
        mode: `governance` can be lifted by an administrator with a special permission, `compliance` by nobody.
        retain: how long after an object was written.
    """

    mode: Literal["governance", "compliance"]
    retain: Period


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """How long some messages are kept.

    Attributes:
        name: in reports and tombstones.
        mailboxes: ids; empty: all.
        labels: labels given by rules, or `name=value` of a mailbox's labels, one of which a message must have; empty:
            not asked for.
        keep: after this the message is erased; None: never.
        raw: after this its raw mail is erased; None: with the message.
    """

    name: str
    mailboxes: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    keep: Period | None = None
    raw: Period | None = None

    def matches(self, mailbox: str, labels: Collection[str]) -> bool:
        """Return whether the rule is about a message of this mailbox with these labels."""
        if self.mailboxes and mailbox not in self.mailboxes:
            return False
        return not self.labels or not self.labels.isdisjoint(labels)

    def keep_until(self, stored_at: datetime) -> datetime:
        """Return when a message that was stored then is to be erased."""
        return FOREVER if self.keep is None else self.keep.after(stored_at)

    def raw_until(self, stored_at: datetime) -> datetime:
        """Return when the raw mail of a message that was stored then is to be erased."""
        return self.keep_until(stored_at) if self.raw is None else self.raw.after(stored_at)


@dataclass(frozen=True, slots=True)
class Term:
    """Until when a message and its raw mail are kept, and the names of the rules that decide it."""

    keep_until: datetime = FOREVER
    keep_rule: str = ""
    raw_until: datetime = FOREVER
    raw_rule: str = ""


def term_of(rules: Iterable[RetentionRule], mailbox: str, labels: Collection[str], stored_at: datetime) -> Term:
    """Return until when a message is kept: of all rules that match it, the longest; for ever if none does.

    Args:
        rules: all of them, in any order.
        mailbox: its id.
        labels: see `RetentionRule.labels`.
        stored_at: when the store wrote its raw mail.
    """
    found = [rule for rule in rules if rule.matches(mailbox, labels)]
    if not found:
        return Term()
    keep = max(found, key=lambda rule: rule.keep_until(stored_at))
    raw = max(found, key=lambda rule: rule.raw_until(stored_at))
    return Term(keep.keep_until(stored_at), keep.name, raw.raw_until(stored_at), raw.name)
