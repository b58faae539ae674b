"""Patterns have to match the same on every Python that Mailhaul runs on."""

from __future__ import annotations

import importlib
import pkgutil
import re
from re import _constants, _parser  # type: ignore[attr-defined]  # not public: it takes patterns apart
from typing import TYPE_CHECKING, Any

import pytest

import ingest.containers
import ingest.invoices
import ingest.mime
import ingest.texts

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where it matches too little, the text is read more slowly, with the same result.
_HARMLESS = {"ingest.mime.fields._PLAIN"}


def _patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    for package in (ingest.mime, ingest.containers, ingest.invoices, ingest.texts):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern):
                    yield f"{found.name}.{name}", value


def _looks_around(node: Any, *, committed: bool = False) -> bool:
    """Return whether a parsed pattern has a lookahead or lookbehind in a possessive repetition or an atomic group."""
    if isinstance(node, tuple) and node and isinstance(node[0], int):
        if committed and node[0] in (_constants.ASSERT, _constants.ASSERT_NOT):
            return True
        committed = committed or node[0] in (_constants.POSSESSIVE_REPEAT, _constants.ATOMIC_GROUP)
    if isinstance(node, (tuple, list, _parser.SubPattern)):
        return any(_looks_around(part, committed=committed) for part in node)
    return False


@pytest.mark.parametrize(
    ("pattern", "expected"), [("(?:a|b(?!c))*+", True), ("(?:a|b(?!c))*", False), ("a++", False)]
)
def test_a_lookahead_that_python_3_11_2_mismatches_is_found(pattern: str, expected: bool) -> None:  # noqa: FBT001
    assert _looks_around(_parser.parse(pattern)) is expected


def test_no_possessive_group_has_a_lookahead() -> None:
    """Up to Python 3.11.4, such a group matches too little: subjects stayed encoded on Debian 12 (CPython 106052)."""
    found = [name for name, pattern in _patterns() if _looks_around(_parser.parse(pattern.pattern, pattern.flags))]
    assert set(found) == _HARMLESS
