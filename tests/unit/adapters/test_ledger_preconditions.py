"""What INFO reports of a ledger that must not be used."""

from __future__ import annotations

import pytest

from ingest.adapters.ledger.preconditions import problems_of
from ingest.ports.ledger import Severity


@pytest.mark.parametrize(
    ("version", "refused"),
    [
        ("5.0.7", True),
        ("6.0.16", True),
        ("6.2.0", False),
        ("7.2.4", False),
        ("10.0.1", False),
        ("", False),
        ("x", False),
    ],
)
def test_redis_before_6_2_is_refused_with_its_version(version: str, *, refused: bool) -> None:
    found = list(problems_of({"redis_version": version, "aof_enabled": 1}, ""))
    assert [(problem.severity, problem.code) for problem in found] == [(Severity.FATAL, "version")] * refused
    assert all(f"Redis {version}," in problem.text and "6.2 or later" in problem.text for problem in found)
