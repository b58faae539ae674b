"""What docs/kubernetes.md and the how-to for Microsoft 365 show works."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
import yaml

from tests.support.chart import KUBERNETES, render, validate

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "kubernetes.md").read_text()
MICROSOFT = (DOCS / "howto" / "microsoft365-on-kubernetes.md").read_text()
EXAMPLES = [text for page in (PAGE, MICROSOFT) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]


def _first_steps() -> str:
    found = re.search(r"<<'END'\n(.*?)\n    END", PAGE, re.DOTALL)
    assert found is not None
    return textwrap.dedent(found[1])


@pytest.mark.parametrize("text", [_first_steps(), *EXAMPLES])
def test_every_example_of_values_can_be_installed(text: str) -> None:
    objects = render(yaml.safe_load(text), name="mailhaul").objects
    assert objects
    for item in objects:
        validate(item, KUBERNETES[-1])


def test_there_are_examples_to_try() -> None:
    assert len(EXAMPLES) >= 5


def test_documented_commands_name_objects_of_the_release() -> None:
    names = {item["metadata"]["name"] for item in render(yaml.safe_load(_first_steps()), name="mailhaul").objects}
    assert set(re.findall(r"deploy/([a-z-]+)", PAGE + MICROSOFT)) <= names
