"""The chart at a real API server, where one is at hand: install, upgrade, roll back; and its pods are admitted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from helm_python import Config

from tests.support.chart import NAME, NAMESPACE, chart, merged, pod_specs, render, values
from tests.support.chart_values import COMBINATIONS, EVERYTHING
from tests.support.crds import KINDS, definition
from tests.support.kubernetes import Kubernetes, assets
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "examples" / "kubernetes"
SAMPLES = ("argocd-application", "flux-helmrelease", "external-secrets")
TRIAL: dict[str, Any] = {"config": {"ledger": ""}, "valkey": {"enabled": True}, "networkPolicy": {"enabled": True}}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """With one namespace, in which pods have to be restricted."""
    with Kubernetes(assets(), tmp_path_factory.mktemp("kubernetes")) as server:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        server.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": labels}}).raise_for_status()
        yield server


def _poller(cluster: Kubernetes) -> dict[str, Any]:
    return cluster.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}-mailhaul-poller")


def _map(cluster: Kubernetes, name: str) -> str:
    data: dict[str, str] = cluster.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{NAME}-mailhaul-{name}")["data"]
    return "".join(data.values())


def test_a_release_is_installed_upgraded_and_rolled_back(cluster: Kubernetes) -> None:
    first = values(**TRIAL)
    second = merged(first, {"poller": {"replicas": 2}, "config": {"store": "s3://other/mail", "mailboxes": []}})
    with Config(kubeconfig_content=cluster.kubeconfig, namespace=NAMESPACE) as helm:
        helm.install(chart(), NAME, first, namespace=NAMESPACE)
        before = _poller(cluster)
        assert before["spec"]["replicas"] == 1
        assert "invoices" in _map(cluster, "mailboxes")

        helm.upgrade(chart(), NAME, second, namespace=NAMESPACE)
        after = _poller(cluster)
        assert after["spec"]["replicas"] == 2
        assert after["spec"]["template"] != before["spec"]["template"]
        assert "s3://other/mail" in _map(cluster, "config")

        helm.rollback(NAME, version=1)
        assert _poller(cluster)["spec"]["template"] == before["spec"]["template"]
        assert _poller(cluster)["spec"]["replicas"] == 1
        assert "s3://invoices/mail" in _map(cluster, "config")
        assert len(helm.history(NAME)) == 3

        helm.uninstall(NAME)
    left = cluster.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments")["items"]
    assert left == []


@pytest.mark.parametrize("over", [TRIAL, EVERYTHING, COMBINATIONS["pods"], COMBINATIONS["folders"]])
def test_every_pod_is_admitted_where_pods_have_to_be_restricted(cluster: Kubernetes, over: dict[str, Any]) -> None:
    over = merged(over, {"pods": {"priorityClassName": ""}})
    for where, spec in pod_specs(render(values(**over)).objects):
        pod = {"metadata": {"name": "judged"}, "spec": spec}
        answer = cluster.create(f"/api/v1/namespaces/{NAMESPACE}/pods", pod, dry_run=True)
        assert answer.status_code == 201, f"{where}: {answer.text}"


def test_a_pod_that_is_not_restricted_is_refused(cluster: Kubernetes) -> None:
    """Else the test above would see nothing."""
    pod = {"metadata": {"name": "free"}, "spec": {"containers": [{"name": "one", "image": "one"}]}}
    assert cluster.create(f"/api/v1/namespaces/{NAMESPACE}/pods", pod, dry_run=True).status_code == 403


@pytest.fixture(scope="module")
def operators(cluster: Kubernetes) -> Kubernetes:
    """The server, which knows the kinds of all operators."""
    for kind in KINDS:
        body = definition(kind)
        cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body).raise_for_status()
    paths = [f"/apis/{version}/{definition(kind)['spec']['names']['plural']}" for kind, version in KINDS.items()]
    eventually(lambda: all(cluster.find(path) is not None for path in paths))
    return cluster


def _refusals(server: Kubernetes, items: list[dict[str, Any]]) -> list[str]:
    for namespace in {item["metadata"].get("namespace", "default") for item in items}:
        server.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    answers = [(item, server.create(server.path_of(item), item, dry_run=True)) for item in items]
    return [f"{item['kind']}: {answer.text}" for item, answer in answers if answer.status_code != 201]


@pytest.mark.parametrize("name", COMBINATIONS)
def test_every_object_is_accepted_by_the_server(operators: Kubernetes, name: str) -> None:
    """It knows rules that no schema has: of names, schedules, selectors, and what definitions say in CEL."""
    objects = render(values(**COMBINATIONS[name])).objects
    # Pods are judged above.
    assert _refusals(operators, [item for item in objects if item["kind"] != "Pod"]) == []


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_for_operators_are_accepted_by_the_server(operators: Kubernetes, name: str) -> None:
    documents = list(yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text()))
    assert _refusals(operators, documents) == []


def test_server_refuses_what_a_definition_does_not_allow(operators: Kubernetes) -> None:
    """Else the tests above would see nothing."""
    (application,) = yaml.safe_load_all((EXAMPLES / "argocd-application.yaml").read_text())
    wrong = merged(application, {"spec": {"destinations": []}})
    (refusal,) = _refusals(operators, [wrong])
    assert "unknown field" in refusal
