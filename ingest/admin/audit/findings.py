"""What verifying statements finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from ingest.domain.statement import Link

# Findings that are kept with their text; more of a kind are only counted.
_KEPT = 1_000


class Kind(StrEnum):
    """What is wrong."""

    MISSING = "missing"  # was stated and is not there, or a day has no statement
    ALTERED = "altered"  # is not what was stated
    ADDED = "added"  # is there, and was never stated
    SIGNATURE = "signature"  # a statement is not signed as it should be


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: what kind of thing.
        where: the key of an object or folder, or the day of a statement.
        text: what is wrong, for people.
    """

    kind: Kind
    where: str
    text: str


@dataclass(slots=True)
class AuditReport:
    """What verifying one mailbox found.

    Attributes:
        mailbox: its id.
        statements: how many statements were verified.
        first, last: the days of the first and the last.
        head: the hash of the last, for comparison with one that was published elsewhere.
        signed_by: ids of the keys that signed.
        messages: how many messages were compared with the store.
        objects: how many of their objects were read, or only looked up (`quick`).
        size: bytes of these.
        pending: how many messages the next statement will be about: stored, processed or erased since the last.
        unsettled: messages that were neither processed nor erased when they were last stated, by state.
        findings: the first 1,000.
        kinds: how many findings there are of each kind.
    """

    mailbox: str
    statements: int = 0
    first: date | None = None
    last: date | None = None
    head: Link | None = None
    signed_by: set[str] = field(default_factory=set)
    messages: int = 0
    objects: int = 0
    size: int = 0
    pending: int = 0
    unsettled: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    kinds: Counter[Kind] = field(default_factory=Counter)

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.kinds

    def add(self, kind: Kind, where: str, text: str) -> None:
        """Add a finding."""
        self.extend([Finding(kind, where, text)])

    def extend(self, findings: Iterable[Finding]) -> None:
        """Add findings."""
        for one in findings:
            self.kinds[one.kind] += 1
            if len(self.findings) < _KEPT:
                self.findings.append(one)
