"""Releases as they are run: valid, the same at each render, and with each objection of checkov explained."""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.chart import KUBERNETES, merged, pod_specs, render, validate
from tests.support.servers import missing
from tests.support.waiting import PATIENCE
from tools.documents.chart_schema import CHART

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.chart import Rendered

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "kubernetes"
PAGE = (ROOT / "docs" / "howto" / "production-on-kubernetes.md").read_text()
CHECKOV = ROOT / ".tools" / "checkov" / "bin" / "checkov"
PROVIDERS = ("aws", "google", "bare-metal")
OF_THE_TEST = {"CKV_K8S_8", "CKV_K8S_9"}


def _values(*files: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for file in files:
        values = merged(values, yaml.safe_load(file.read_text()))
    return values


RELEASES = {
    **{name: _values(EXAMPLES / "values-production.yaml", EXAMPLES / f"values-{name}.yaml") for name in PROVIDERS},
    **{path.stem.removesuffix("-values"): _values(path) for path in sorted((CHART / "ci").glob("*-values.yaml"))},
}


@cache
def _rendered(name: str) -> Rendered:
    return render(RELEASES[name], name="mailhaul")


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", RELEASES)
def test_release_is_valid(name: str, version: str) -> None:
    for item in _rendered(name).objects:
        validate(item, version)


@pytest.mark.parametrize("name", RELEASES)
def test_release_is_rendered_the_same_again_and_has_no_hooks_but_tests(name: str) -> None:
    again = render(RELEASES[name], name="mailhaul")
    assert again.objects == _rendered(name).objects
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
    rendered = _rendered(name)
    for process in ("poller", "relay", "scheduler"):
        assert rendered.one("Deployment", f"-{process}")["spec"]["replicas"] >= 2
        assert rendered.one("PodDisruptionBudget", f"-{process}")
    for deployment in rendered.of("Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["resources"]["limits"].keys() == {"cpu", "memory"}
        assert "@sha256:" in container["image"]
    kinds = {item["kind"] for item in rendered.objects}
    assert kinds >= {"NetworkPolicy", "PrometheusRule", "ServiceMonitor", "PodMonitor", "HorizontalPodAutoscaler"}


@pytest.mark.parametrize("name", RELEASES)
def test_release_follows_the_usual_best_practices(name: str) -> None:
    """What Kyverno's set of this name asks of pods and Services, as far as an object shows it."""
    rendered = _rendered(name)
    for item in rendered.objects:
        assert item["metadata"]["namespace"] != "default"
        assert item["metadata"]["labels"]["app.kubernetes.io/name"]
    for service in rendered.of("Service"):
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"
        assert "externalIPs" not in service["spec"]
    for where, pod in pod_specs(rendered.objects):
        for container in pod["containers"]:
            assert not container["image"].endswith(":latest"), where
            assert "hostPort" not in str(container.get("ports")), where
            # What ends by itself has nobody who waits for it: the policy leaves out Jobs, too.
            ends = where.startswith(("Pod ", "CronJob "))
            probes = set() if ends else {"livenessProbe", "readinessProbe"}
            assert probes <= container.keys(), where
            assert container["resources"]["requests"].keys() >= {"cpu", "memory", *_disk(where)}, where
            assert "memory" in container["resources"]["limits"], where


def _disk(where: str) -> set[str]:
    return set() if where.startswith("StatefulSet") else {"ephemeral-storage"}


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
    assert all(name in _rendered("aws").notes for name in secrets)
    release = list(yaml.safe_load_all((EXAMPLES / "flux-helmrelease.yaml").read_text()))[1]["spec"]
    assert release["timeout"] == "15m"
    assert _rendered("aws").one("Deployment", "-poller")["spec"]["progressDeadlineSeconds"] < 15 * 60


def test_chart_is_described_as_repositories_want_it() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert described.keys() >= {"home", "sources", "icon", "maintainers", "annotations"}
    images = yaml.safe_load(described["annotations"]["artifacthub.io/images"])
    rendered = _rendered("trial")
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
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(_rendered(name).objects))
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
