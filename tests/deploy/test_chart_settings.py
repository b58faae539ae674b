"""What operators set on objects and pods without changing the chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.chart import ALL_PROCESSES, merged, refusal, render, values
from tests.support.chart_values import COMBINATIONS

if TYPE_CHECKING:
    from tests.support.chart import Object, Rendered


@pytest.fixture(scope="module")
def settings() -> Rendered:
    return render(values(**COMBINATIONS["settings"]))


def _pods(rendered: Rendered) -> list[Object]:
    """Return the templates of all pods, with their metadata."""
    templates = [item["spec"]["template"] for item in rendered.objects if "template" in item.get("spec", {})]
    return [*templates, *rendered.of("Pod")]


@pytest.mark.parametrize("name", ["settings", "settings of a trial"])
def test_every_object_has_the_common_labels_and_annotations_and_so_have_its_pods(name: str) -> None:
    rendered = render(values(**COMBINATIONS[name]))
    for item in [*rendered.objects, *_pods(rendered)]:
        assert item["metadata"]["labels"]["team"] == "mail"
        assert item["metadata"]["annotations"]["example.org/owner"] == "mail"


def test_common_labels_select_no_pods_and_replace_none_of_the_charts(settings: Rendered) -> None:
    for item in settings.of("Deployment"):
        assert "team" not in item["spec"]["selector"]["matchLabels"]
        assert item["metadata"]["labels"]["app.kubernetes.io/name"] == "mailhaul"
        labels = item["spec"]["template"]["metadata"]["labels"]
        assert item["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_objects_are_in_the_namespace_that_was_set(settings: Rendered) -> None:
    assert {item["metadata"]["namespace"] for item in settings.objects} == {"elsewhere"}
    assert "kubectl -n elsewhere exec" in settings.notes


@pytest.mark.parametrize("process", ALL_PROCESSES)
def test_pods_of_every_process_get_what_was_set_for_them(process: str, settings: Rendered) -> None:
    wanted = COMBINATIONS["settings"]["pods"]
    template = settings.one("Deployment", f"-{process}")["spec"]["template"]
    for name in ("labels", "annotations"):
        assert wanted[name].items() <= template["metadata"][name].items()
    pod = template["spec"]
    names = ("schedulerName", "runtimeClassName", "priorityClassName", "dnsPolicy", "dnsConfig", "hostAliases")
    for name in (*names, "nodeSelector", "tolerations", "affinity", "initContainers"):
        assert pod[name] == wanted[name]
    assert wanted["securityContext"].items() <= pod["securityContext"].items()
    assert wanted["volumes"][0] in pod["volumes"]
    own, *sidecars = pod["containers"]
    assert sidecars == wanted["sidecars"]
    assert (own["lifecycle"], own["envFrom"]) == (wanted["lifecycle"], wanted["envFrom"])
    assert wanted["env"][0] in own["env"]
    assert wanted["volumeMounts"][0] in own["volumeMounts"]


@pytest.mark.parametrize("process", ALL_PROCESSES)
def test_a_process_overrides_what_was_set_for_all_pods(process: str) -> None:
    pod = {
        "schedulerName": "own", "runtimeClassName": "own", "priorityClassName": "own", "dnsPolicy": "Default",
        "nodeSelector": {"disk": "own"}, "topologySpreadConstraints": [], "sidecars": [], "extraArgs": ["--own"],
    }  # fmt: skip
    rendered = render(values(**merged(COMBINATIONS["settings"], {process: {"pod": pod}})))
    found = rendered.pod(process)
    assert {name: found[name] for name in ("schedulerName", "runtimeClassName", "priorityClassName")} == {
        "schedulerName": "own", "runtimeClassName": "own", "priorityClassName": "own",
    }  # fmt: skip
    assert (found["dnsPolicy"], found["nodeSelector"]) == ("Default", {"disk": "own"})
    assert "topologySpreadConstraints" not in found
    (container,) = found["containers"]
    assert container["args"][-1] == "--own"
    other = next(one for one in ALL_PROCESSES if one != process)
    assert rendered.pod(other)["schedulerName"] == "binpack"


@pytest.mark.parametrize("process", ALL_PROCESSES)
def test_resources_grace_and_disk_are_those_of_the_process(process: str) -> None:
    own: dict[str, Any] = {
        "terminationGracePeriodSeconds": 1111,
        "scratchSize": "6Gi",
        "resources": {"limits": {"cpu": 3, "memory": "3Gi"}},
    }
    rendered = render(values(**merged(COMBINATIONS["settings"], {process: own})))
    pod, container = rendered.pod(process), rendered.container(process)
    assert pod["terminationGracePeriodSeconds"] == 1111
    assert container["resources"]["limits"] == {"cpu": 3, "memory": "3Gi"}
    assert container["resources"]["requests"]["ephemeral-storage"] == "6272Mi"
    assert {"name": "scratch", "emptyDir": {"sizeLimit": "6Gi"}} in pod["volumes"]


def test_process_gets_its_extra_arguments_after_its_own(settings: Rendered) -> None:
    assert settings.container("relay")["args"] == ["worker", "relay", "--config", "/etc/mailhaul", "--verbose"]
    assert settings.container("poller")["args"] == ["worker", "poll", "--config", "/etc/mailhaul", "--help"]
    assert settings.container("console")["args"] == ["console", "--config", "/etc/mailhaul", "--help"]


def test_nothing_is_rendered_of_what_was_not_set() -> None:
    pod = render(values()).pod("poller")
    assert pod.keys() == {
        "automountServiceAccountToken", "containers", "enableServiceLinks", "securityContext", "serviceAccountName",
        "terminationGracePeriodSeconds", "topologySpreadConstraints", "volumes",
    }  # fmt: skip


@pytest.mark.parametrize("process", ALL_PROCESSES)
def test_rollouts_go_as_was_set_except_where_there_is_one_pod(process: str, settings: Rendered) -> None:
    spec = settings.one("Deployment", f"-{process}")["spec"]
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 1}}
    assert spec["strategy"] == ({"type": "Recreate"} if process in {"exporter", "console"} else rolling)
    assert spec["revisionHistoryLimit"] == 1


def test_services_have_the_ip_families_and_each_its_own_annotations(settings: Rendered) -> None:
    own = {"exporter": "example.org/scrape", "console": "example.org/login"}
    for service in settings.of("Service"):
        assert service["spec"]["ipFamilyPolicy"] == "PreferDualStack"
        assert service["spec"]["ipFamilies"] == ["IPv6", "IPv4"]
        found = service["metadata"]["annotations"].keys() & set(own.values())
        assert found == {note for name, note in own.items() if service["metadata"]["name"].endswith(f"-{name}")}


def test_vertical_autoscalers_scale_the_processes_that_are_named(settings: Rendered) -> None:
    found = settings.of("VerticalPodAutoscaler")
    targets = [item["spec"]["targetRef"]["name"].rpartition("-")[2] for item in found]
    assert targets == list(ALL_PROCESSES)
    for item, process in zip(found, targets, strict=True):
        (policy,) = item["spec"]["resourcePolicy"]["containerPolicies"]
        assert policy["containerName"] == settings.container(process)["name"]
        assert (policy["minAllowed"], policy["maxAllowed"]) == ({"memory": "256Mi"}, {"cpu": 2})


def test_vertical_autoscaler_of_a_console_that_does_not_run_is_refused() -> None:
    assert "names console, which does not run" in refusal(values(verticalAutoscaling={"processes": ["console"]}))


def test_two_autoscalers_of_the_same_cpu_are_refused() -> None:
    both: dict[str, Any] = {
        "processor": {"autoscaling": {"type": "hpa"}},
        "verticalAutoscaling": {"processes": ["processor"]},
    }
    assert "both follow the CPU of processor" in refusal(values(**both))
    assert render(values(**merged(both, {"verticalAutoscaling": {"controlledResources": ["memory"]}}))).objects


@pytest.mark.parametrize(("process", "request_"), [("poller", "4224Mi"), ("relay", "640Mi"), ("exporter", "192Mi")])
def test_pods_request_the_disk_that_they_may_use(process: str, request_: str) -> None:
    """GKE Autopilot limits a pod to its request, and evicts it above."""
    assert render(values()).container(process)["resources"]["requests"]["ephemeral-storage"] == request_


@pytest.mark.parametrize(("persistent", "request_"), [(True, "128Mi"), (False, "3200Mi")])
def test_trial_valkey_requests_the_disk_that_its_data_may_take(persistent: bool, request_: str) -> None:  # noqa: FBT001
    over = {
        "config": {"ledger": ""},
        "valkey": {"enabled": True, "persistence": {"enabled": persistent, "size": "3Gi"}},
    }
    pod = render(values(**over)).one("StatefulSet", "-valkey")["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["requests"]["ephemeral-storage"] == request_
    limits = [volume["emptyDir"] for volume in pod.get("volumes", [])]
    assert limits == ([] if persistent else [{"sizeLimit": "3Gi"}])


def test_request_for_the_disk_follows_the_scratch_size_unless_it_is_set() -> None:
    over = {"poller": {"scratchSize": "10Gi"}, "relay": {"resources": {"requests": {"ephemeral-storage": "1Gi"}}}}
    rendered = render(values(**over))
    assert rendered.container("poller")["resources"]["requests"]["ephemeral-storage"] == "10368Mi"
    assert rendered.container("relay")["resources"]["requests"]["ephemeral-storage"] == "1Gi"


def test_default_image_may_exist() -> None:
    """An image without a namespace is one of Docker's official ones."""
    image = render(values()).container("poller")["image"]
    registry, *path = image.split("/")
    assert "." in registry
    assert len(path) >= 2
    assert path[-1].partition(":")[2]


@pytest.mark.parametrize(
    ("persistent", "words"), [(True, "nothing is lost"), (False, "loses its data, which Mailhaul rebuilds")]
)
def test_notes_say_what_a_drain_does_to_a_trial_valkey(persistent: bool, words: str) -> None:  # noqa: FBT001
    over = {"config": {"ledger": ""}, "valkey": {"enabled": True, "persistence": {"enabled": persistent}}}
    rendered = render(values(**over))
    assert words in rendered.notes
    template = rendered.one("StatefulSet", "-valkey")["spec"]["template"]
    kept = template["metadata"].get("annotations", {}).get("cluster-autoscaler.kubernetes.io/safe-to-evict")
    assert kept == (None if persistent else "false")


def test_trial_valkey_runs_where_the_other_pods_run() -> None:
    valkey = render(values(**COMBINATIONS["settings of a trial"])).one("StatefulSet", "-valkey")
    assert valkey["spec"]["template"]["spec"]["tolerations"] == [{"operator": "Exists"}]
