"""The chart at a real API server, where one is at hand: install, upgrade, roll back; and its pods are admitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from helm_python import Config

from tests.support.chart import NAME, NAMESPACE, chart, merged, pod_specs, render, values
from tests.support.chart_values import COMBINATIONS, EVERYTHING
from tests.support.kubernetes import Kubernetes, assets

if TYPE_CHECKING:
    from collections.abc import Iterator

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
