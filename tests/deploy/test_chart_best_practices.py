"""What Kyverno's set of best practices asks for, by the names of its policies, checked on rendered objects.

The set itself is not published as a package. Its policies that change objects (`add-…`) have nothing to check.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.chart import merged, pod_specs, render
from tests.support.releases import RELEASES, rendered_release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.chart import Object, Rendered

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "production-on-kubernetes.md"
# Of what ends by itself nobody asks whether it is ready; the policy leaves these out too.
ENDING = ("Pod ", "CronJob ")


def _containers(rendered: Rendered) -> Iterator[tuple[str, Object]]:
    for where, pod in pod_specs(rendered.objects):
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            yield where, container


def _host_sockets(rendered: Rendered) -> Iterator[str]:
    yield from (where for where, pod in pod_specs(rendered.objects) if "hostPath" in str(pod.get("volumes")))


def _default_namespace(rendered: Rendered) -> Iterator[str]:
    yield from (one["kind"] for one in rendered.objects if one["metadata"].get("namespace", "default") == "default")


def _empty_hosts(rendered: Rendered) -> Iterator[str]:
    for ingress in rendered.of("Ingress"):
        yield from ("Ingress" for rule in ingress["spec"]["rules"] if not rule.get("host"))


def _latest(rendered: Rendered) -> Iterator[str]:
    for where, container in _containers(rendered):
        name = container["image"].rpartition("/")[2]
        if ":" not in name or name.endswith(":latest"):
            yield where


def _kept_capabilities(rendered: Rendered) -> Iterator[str]:
    for where, container in _containers(rendered):
        if container["securityContext"]["capabilities"] != {"drop": ["ALL"]}:
            yield where


def _labels(rendered: Rendered) -> Iterator[str]:
    for item in rendered.objects:
        template = item.get("spec", {}).get("template", item)
        for metadata in (item["metadata"], template["metadata"]):
            if not metadata["labels"].get("app.kubernetes.io/name"):
                yield item["kind"]


def _probes(rendered: Rendered) -> Iterator[str]:
    for where, pod in pod_specs(rendered.objects):
        for container in pod["containers"]:
            if not where.startswith(ENDING) and not {"livenessProbe", "readinessProbe"} <= container.keys():
                yield where


def _resources(rendered: Rendered) -> Iterator[str]:
    for where, container in _containers(rendered):
        resources = container["resources"]
        wanted = {"cpu", "memory", "ephemeral-storage"}
        if not resources["requests"].keys() >= wanted or "memory" not in resources["limits"]:
            yield where


def _writable_root(rendered: Rendered) -> Iterator[str]:
    for where, container in _containers(rendered):
        if container["securityContext"]["readOnlyRootFilesystem"] is not True:
            yield where


def _node_ports(rendered: Rendered) -> Iterator[str]:
    yield from ("Service" for one in rendered.of("Service") if one["spec"].get("type", "ClusterIP") != "ClusterIP")


def _external_addresses(rendered: Rendered) -> Iterator[str]:
    yield from ("Service" for one in rendered.of("Service") if "externalIPs" in one["spec"])


def _host_ports(rendered: Rendered) -> Iterator[str]:
    yield from (where for where, container in _containers(rendered) if "hostPort" in str(container.get("ports")))


POLICIES: dict[str, Callable[[Rendered], Iterator[str]]] = {
    "disallow-cri-sock-mount": _host_sockets,
    "disallow-default-namespace": _default_namespace,
    "disallow-empty-ingress-host": _empty_hosts,
    "disallow-host-ports": _host_ports,
    "disallow-latest-tag": _latest,
    "require-drop-all": _kept_capabilities,
    "require-labels": _labels,
    "require-pod-probes": _probes,
    "require-pod-requests-limits": _resources,
    "require-ro-rootfs": _writable_root,
    "restrict-node-port": _node_ports,
    "restrict-service-external-ips": _external_addresses,
}


@pytest.mark.parametrize("policy", POLICIES)
def test_releases_follow_the_policy(policy: str) -> None:
    for name in RELEASES:
        assert list(POLICIES[policy](rendered_release(name))) == [], name


def test_images_come_from_one_registry_if_that_is_asked_for() -> None:
    """As `restrict-image-registries` does."""
    over: dict[str, Any] = {"global": {"imageRegistry": "registry.example.org"}}
    for name, values in RELEASES.items():
        for where, container in _containers(render(merged(values, over), name="mailhaul")):
            assert container["image"].startswith("registry.example.org/"), (name, where)


@cache
def _broken() -> Rendered:
    """A release that breaks every policy."""
    container = {
        "name": "wrong",
        "image": "registry.example.org/wrong",
        "ports": [{"containerPort": 1, "hostPort": 1}],
        "securityContext": {"capabilities": {}, "readOnlyRootFilesystem": False},
        "resources": {"requests": {}, "limits": {}},
    }
    wrong = [
        {"kind": "Service", "spec": {"type": "NodePort", "externalIPs": ["192.0.2.1"]}},
        {"kind": "Ingress", "spec": {"rules": [{"host": ""}]}},
        {
            "kind": "Deployment",
            "spec": {
                "template": {
                    "metadata": {"labels": {}},
                    "spec": {"containers": [container], "volumes": [{"name": "host", "hostPath": {"path": "/run"}}]},
                }
            },
        },
    ]
    metadata = {"name": "wrong", "namespace": "default", "labels": {"app.kubernetes.io/name": "wrong"}}
    return type(rendered_release("small"))([{"metadata": metadata, **item} for item in wrong], "")


@pytest.mark.parametrize("policy", POLICIES)
def test_policy_notices_what_breaks_it(policy: str) -> None:
    assert list(POLICIES[policy](_broken()))


def test_page_names_the_policies_that_are_checked() -> None:
    named = set(re.findall(r"`((?:disallow|require|restrict)-[a-z-]+)`", PAGE.read_text()))
    assert named >= {*POLICIES, "restrict-image-registries"}
