"""Kyverno itself judges the releases, where it was built: `MAILHAUL_TEST_KYVERNO=1 make servers`."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from helm_python import Chart

from tests.support.releases import PROVIDERS, RELEASES, rendered_release
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

KYVERNO = Path(__file__).parents[2] / ".tools" / "kyverno"
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "production-on-kubernetes.md"
BEST_PRACTICES = "best-practices"

pytestmark = pytest.mark.skipif(
    not (KYVERNO / "kyverno").exists(), reason="Kyverno is not built: MAILHAUL_TEST_KYVERNO=1 make servers"
)


@cache
def _policies(form: str) -> str:
    own = {
        "policyType": form,
        "podSecurityStandard": "restricted",
        "includeOtherPolicies": ["require-non-root-groups"],
    }
    with Chart.load(KYVERNO / "policies") as chart:
        rendered = chart.render(own, name="policies", namespace="kyverno")
    return "---\n".join(text for name, text in rendered.items() if name.endswith(".yaml"))


def _judged(name: str, policies: str, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield policy, object and result of each judgement about a release."""
    where = KYVERNO / BEST_PRACTICES
    if policies != BEST_PRACTICES:
        where = folder / "policies.yaml"
        where.write_text(_policies(policies))
    objects = folder / "objects.yaml"
    objects.write_text(yaml.safe_dump_all(rendered_release(name).objects))
    done = subprocess.run(
        [KYVERNO / "kyverno", "apply", where, "--resource", objects, "--policy-report", "--output-format", "json"],
        env={"HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    report = json.loads(done.stdout[done.stdout.index("{") :])
    for result in report["results"]:
        for item in result["resources"]:
            yield result["policy"], item["name"], result["result"]


@pytest.mark.parametrize("name", [*PROVIDERS, "strict"])
@pytest.mark.parametrize("policies", ["ClusterPolicy", BEST_PRACTICES])
def test_kyverno_objects_to_nothing(name: str, policies: str, tmp_path: Path) -> None:
    judged = list(_judged(name, policies, tmp_path))
    assert len(judged) > 50
    assert [one for one in judged if one[2] != "pass"] == []


def test_kyverno_objects_to_nothing_in_its_newer_language(tmp_path: Path) -> None:
    """Which takes ten times as long, and asks for less: the defaults satisfy it too."""
    judged = list(_judged("small", "ValidatingPolicy", tmp_path))
    assert len(judged) > 50
    assert [one for one in judged if one[2] != "pass"] == []


@pytest.mark.parametrize("name", sorted(RELEASES.keys() - {*PROVIDERS, "strict"}))
def test_every_objection_to_the_defaults_is_explained(name: str, tmp_path: Path) -> None:
    failed = {policy for policy, _, result in _judged(name, "ClusterPolicy", tmp_path) if result == "fail"}
    assert failed == {"require-non-root-groups"}
    assert all(f"| `{policy}` |" in PAGE.read_text() for policy in failed)
