"""Whatever the values, the objects are valid in every Kubernetes version, and their pods are restricted."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from ingest.admin.check import PARTS_OF_ROLES
from tests.support.chart import KUBERNETES, PROCESSES, pod_specs, render, validate, values
from tests.support.chart_values import COMBINATIONS

if TYPE_CHECKING:
    from tests.support.chart import Rendered


@cache
def _rendered(name: str) -> Rendered:
    return render(values(**COMBINATIONS[name]))


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", COMBINATIONS)
def test_every_object_fits_the_schema_of_its_kind(name: str, version: str) -> None:
    objects = _rendered(name).objects
    assert objects
    for item in objects:
        validate(item, version)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_rendering_warns_of_nothing(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Helm warns of a default whose type differs from that of the value, at each render."""
    render(values(**COMBINATIONS[name]))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", COMBINATIONS)
def test_every_object_has_a_name_of_its_own_a_namespace_and_the_common_labels(name: str) -> None:
    names = set()
    for item in _rendered(name).objects:
        metadata = item["metadata"]
        assert len(metadata["name"]) <= 63
        names.add((item["kind"], metadata["name"]))
        if name == "more objects" and metadata["name"].endswith("-more"):
            continue
        assert metadata["namespace"] == COMBINATIONS[name].get("namespaceOverride", "mail")
        assert metadata["labels"]["app.kubernetes.io/instance"] == "demo"
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        assert metadata["labels"]["helm.sh/chart"].startswith("mailhaul-")
    assert len(names) == len(_rendered(name).objects)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_every_pod_is_restricted(name: str) -> None:
    """As the profile `restricted` of Kubernetes' pod security standards asks for, and a read-only root besides."""
    pods = list(pod_specs(_rendered(name).objects))
    assert pods
    for where, pod in pods:
        assert pod["automountServiceAccountToken"] is False, where
        assert pod["securityContext"]["runAsNonRoot"] is True, where
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), where
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, where
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, where
            assert "memory" in container["resources"]["limits"], where
        allowed = {"configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim"}
        for volume in pod.get("volumes", []):
            assert volume.keys() - {"name"} <= allowed, where


@pytest.mark.parametrize("process", PROCESSES)
def test_no_process_names_a_user_so_that_openshift_may_choose_one(process: str) -> None:
    rendered = _rendered("small")
    contexts = [rendered.pod(process)["securityContext"], rendered.container(process)["securityContext"]]
    for context in contexts:
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & context.keys()


@pytest.mark.parametrize("process", PROCESSES)
def test_process_knows_its_role(process: str) -> None:
    assert {"name": "MAILHAUL_ROLE", "value": process} in _rendered("small").container(process)["env"]
    assert process in PARTS_OF_ROLES


@pytest.mark.parametrize("name", COMBINATIONS)
def test_selectors_choose_the_pods_of_their_own_process_only(name: str) -> None:
    deployments = _rendered(name).of("Deployment")
    templates = [item["spec"]["template"]["metadata"]["labels"] for item in deployments]
    for item in deployments:
        wanted = item["spec"]["selector"]["matchLabels"]
        assert sum(wanted.items() <= labels.items() for labels in templates) == 1


def _mounted(container: dict[str, Any]) -> dict[str, str]:
    return {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_every_mount_has_its_volume_and_none_is_a_sub_path(name: str) -> None:
    """What is mounted by subPath does not follow changes."""
    for where, pod in pod_specs(_rendered(name).objects):
        volumes = [volume["name"] for volume in pod.get("volumes", [])]
        assert len(volumes) == len(set(volumes)), where
        for container in pod["containers"]:
            if container["name"] == "proxy":
                continue
            mounts = container.get("volumeMounts", [])
            assert {mount["name"] for mount in mounts} == set(volumes), where
            assert not [mount for mount in mounts if "subPath" in mount], where
            assert len({mount["mountPath"] for mount in mounts}) == len(mounts), where
