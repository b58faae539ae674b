"""Releases as they are run: valid, the same at each render, and with each objection of checkov explained."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.chart import KUBERNETES, render, validate
from tests.support.releases import EXAMPLES, PROVIDERS, RELEASES, rendered_release
from tests.support.servers import missing
from tests.support.waiting import PATIENCE
from tools.documents.chart_schema import CHART

if TYPE_CHECKING:
    from collections.abc import Mapping


ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "production-on-kubernetes.md").read_text()
CHECKOV = ROOT / ".tools" / "checkov" / "bin" / "checkov"
OF_THE_TEST = {"CKV_K8S_8", "CKV_K8S_9"}


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", RELEASES)
def test_release_is_valid(name: str, version: str) -> None:
    for item in rendered_release(name).objects:
        validate(item, version)


@pytest.mark.parametrize("name", RELEASES)
def test_release_is_rendered_the_same_again_and_has_no_hooks_but_tests(name: str) -> None:
    again = render(RELEASES[name], name="mailhaul")
    assert again.objects == rendered_release(name).objects
    hooks = {item["metadata"].get("annotations", {}).get("helm.sh/hook", "test") for item in again.objects}
    assert hooks == {"test"}


def test_templates_use_nothing_that_changes_from_render_to_render() -> None:
    unstable = re.compile(r"\b(rand[A-Z]\w*|now|uuidv4|gen[A-Z]\w*|lookup|htpasswd|bcrypt|Revision|IsUpgrade)\b")
    for path in sorted((CHART / "templates").rglob("*")):
        if path.is_file():
            actions = " ".join(
                re.findall(r"\{\{(.*?)\}\}", re.sub(r"\{\{-? ?/\*.*?\*/", "", path.read_text(), flags=re.DOTALL))
            )
            assert unstable.findall(re.sub(r'"[^"]*"', "", actions)) == [], path.name


@pytest.mark.parametrize("name", PROVIDERS)
def test_production_runs_two_of_everything_with_limits_and_policies(name: str) -> None:
    rendered = rendered_release(name)
    for process in ("poller", "relay", "scheduler"):
        assert rendered.one("Deployment", f"-{process}")["spec"]["replicas"] >= 2
        assert rendered.one("PodDisruptionBudget", f"-{process}")
    for deployment in rendered.of("Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["resources"]["limits"].keys() == {"cpu", "memory"}
        assert "@sha256:" in container["image"]
    kinds = {item["kind"] for item in rendered.objects}
    assert kinds >= {"NetworkPolicy", "PrometheusRule", "ServiceMonitor", "PodMonitor", "HorizontalPodAutoscaler"}


@pytest.mark.parametrize(
    "path", [EXAMPLES / f"{name}.yaml" for name in ("argocd-application", "flux-helmrelease", "external-secrets")]
)
def test_samples_for_operators_are_valid(path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))
    assert documents
    for item in documents:
        validate(item, KUBERNETES[-1])


def test_samples_name_files_and_secrets_that_are_there() -> None:
    application = yaml.safe_load((EXAMPLES / "argocd-application.yaml").read_text())
    chart, deployment = application["spec"]["sources"]
    assert (ROOT / chart["path"] / "Chart.yaml").exists()
    for file in chart["helm"]["valueFiles"]:
        assert file.startswith(f"${deployment['ref']}/")
        assert (EXAMPLES / Path(file).name).exists()
    secrets = {
        item["metadata"]["name"] for item in yaml.safe_load_all((EXAMPLES / "external-secrets.yaml").read_text())
    }
    assert all(name in rendered_release("aws").notes for name in secrets)
    release = list(yaml.safe_load_all((EXAMPLES / "flux-helmrelease.yaml").read_text()))[1]["spec"]
    assert release["timeout"] == "15m"
    assert rendered_release("aws").one("Deployment", "-poller")["spec"]["progressDeadlineSeconds"] < 15 * 60


def test_chart_is_described_as_repositories_want_it() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert described.keys() >= {"home", "sources", "icon", "maintainers", "annotations"}
    images = yaml.safe_load(described["annotations"]["artifacthub.io/images"])
    rendered = rendered_release("trial")
    valkey = rendered.one("StatefulSet", "-valkey")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert {item["image"] for item in images} == {rendered.container("poller")["image"], valkey}
    for name in ("changes", "links"):
        assert yaml.safe_load(described["annotations"][f"artifacthub.io/{name}"])


@pytest.fixture(scope="module")
def objections(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, set[tuple[str, str]]]:
    """Check and object of each of checkov's objections, by release."""
    if not CHECKOV.exists():
        missing("", "checkov", "tests/install-checkov")
    folder = tmp_path_factory.mktemp("objects")
    for name in RELEASES:
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(rendered_release(name).objects))
    done = subprocess.run(
        [
            CHECKOV,
            "--directory",
            folder,
            "--framework",
            "kubernetes",
            "--skip-download",
            "--quiet",
            "--output",
            "json",
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "CHECKOV_RUN_SCA_PACKAGE_SCAN_V2": "false"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 1_000
    assert report["summary"]["parsing_errors"] == 0
    found: dict[str, set[tuple[str, str]]] = {name: set() for name in RELEASES}
    for check in report["results"]["failed_checks"]:
        found[Path(check["file_path"]).stem].add((check["check_id"], check["resource"].rpartition(".")[2]))
    return found


@pytest.mark.parametrize("name", [*PROVIDERS, "strict"])
def test_checkov_objects_to_nothing_but_the_pod_of_the_test(
    name: str, objections: Mapping[str, set[tuple[str, str]]]
) -> None:
    assert objections[name] == {(check, "mailhaul-test") for check in OF_THE_TEST}


def test_every_objection_to_the_defaults_is_explained(objections: Mapping[str, set[tuple[str, str]]]) -> None:
    explained = set(re.findall(r"^\| `(CKV_\w+)` \|", PAGE, re.MULTILINE))
    assert {check for check, _ in objections["small"] | objections["trial"]} == explained
    assert {name for check, name in objections["trial"] if check in OF_THE_TEST} == {"mailhaul-test"}
