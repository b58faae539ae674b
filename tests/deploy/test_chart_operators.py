"""Objects for operators fit what these operators publish: their own definitions, not ours of them."""

from __future__ import annotations

import re
import textwrap
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from jsonschema import ValidationError

from tests.support.chart import KUBERNETES, render, validate, values
from tests.support.chart_values import COMBINATIONS
from tests.support.crds import KINDS

if TYPE_CHECKING:
    from tests.support.chart import Object

ROOT = Path(__file__).parents[2]
SAMPLES = [path for path in sorted((ROOT / "examples" / "kubernetes").glob("*.yaml")) if "values" not in path.name]
PAGES = [ROOT / "docs" / "kubernetes.md", *sorted((ROOT / "docs" / "howto").glob("*kubernetes*.md"))]


@cache
def _objects() -> list[Object]:
    """Every object for an operator that a sample, a page or the chart has."""
    texts = [path.read_text() for path in SAMPLES]
    for page in PAGES:
        texts += map(textwrap.dedent, re.findall(r"(?:^    .*\n)+", page.read_text(), re.MULTILINE))
    shown = [one for text in texts if "apiVersion:" in text for one in yaml.safe_load_all(text)]
    rendered = [one for over in COMBINATIONS.values() for one in render(values(**over)).objects]
    return [one for one in [*shown, *rendered] if one["kind"] in KINDS]


def test_every_kind_is_shown_or_rendered_somewhere() -> None:
    assert {one["kind"] for one in _objects()} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_objects_fit_the_definition_of_their_operator(kind: str) -> None:
    found = [one for one in _objects() if one["kind"] == kind]
    for item in found:
        assert item["apiVersion"] == KINDS[kind]
        validate(item, KUBERNETES[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_field_that_an_operator_does_not_know_is_noticed(kind: str) -> None:
    """Operators drop such a field without a word, and do what it was to prevent."""
    wrong = deepcopy(next(one for one in _objects() if one["kind"] == kind))
    wrong["spec"]["misspelled"] = True
    with pytest.raises(ValidationError, match="misspelled"):
        validate(wrong, KUBERNETES[-1])
