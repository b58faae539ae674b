"""The same with the `helm` program, where it is installed: it may be another version than the SDK's."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.chart import NAME, NAMESPACE, render, values
from tests.support.chart_values import COMBINATIONS
from tests.support.kubernetes import BUILT
from tests.support.servers import find_program
from tests.support.waiting import PATIENCE
from tools.documents.chart_schema import CHART

if TYPE_CHECKING:
    from pathlib import Path


def _helm(folder: Path, over: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm with values of ours, and with nothing of the user's."""
    program = find_program("helm") or BUILT / "helm"
    if not program.exists():
        pytest.skip("helm is not installed; the other tests of the chart use its SDK")
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(over))
    return subprocess.run(
        [program, *arguments, "--values", str(file), "--namespace", NAMESPACE, "--kube-version", "v1.32.0"],
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(
    "name",
    ["small", "everything", "keda", "alerts", "network", "trial", "console for others", "settings", "jobs otherwise"],
)
def test_helm_renders_what_its_sdk_renders(name: str, tmp_path: Path) -> None:
    wanted = values(**COMBINATIONS[name])
    done = _helm(tmp_path, wanted, "template", NAME, str(CHART))
    assert done.returncode == 0, done.stderr
    found = [item for item in yaml.safe_load_all(done.stdout) if item]

    def key(item: dict[str, Any]) -> tuple[str, str]:
        return item["kind"], item["metadata"]["name"]

    assert sorted(found, key=key) == sorted(render(wanted).objects, key=key)


def test_helm_lints_it(tmp_path: Path) -> None:
    done = _helm(tmp_path, values(**COMBINATIONS["everything"]), "lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_helm_refuses_what_cannot_work(tmp_path: Path) -> None:
    done = _helm(tmp_path, values(config={"store": ""}), "template", NAME, str(CHART))
    assert done.returncode != 0
    assert "config.store is missing: write where objects are kept" in done.stderr
    done = _helm(tmp_path, values(replicas=3), "template", NAME, str(CHART))
    assert done.returncode != 0
    assert "replicas" in done.stderr
