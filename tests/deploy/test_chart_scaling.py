"""How many pods there are, who says so, and how they come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ingest.metric_specs import SPECS
from tests.support.chart import ALL_PROCESSES, MAILBOX, PROCESSES, refusal, render, values
from tests.support.chart_values import COMBINATIONS, MANY, WORKERS

if TYPE_CHECKING:
    from tests.support.chart import Object

KEDA: Object = {"autoscaling": {"type": "keda"}}
ASKED: Object = {**MANY, "prometheus": {"address": "http://prometheus:9090"}}


def test_without_autoscaling_the_values_say_how_many_pods_there_are() -> None:
    rendered = render(values(poller={"replicas": 2}))
    assert rendered.one("Deployment", "-poller")["spec"]["replicas"] == 2
    assert rendered.of("HorizontalPodAutoscaler") == rendered.of("ScaledObject") == []


@pytest.mark.parametrize("process", WORKERS)
@pytest.mark.parametrize("kind", ["hpa", "keda"])
def test_an_autoscaler_has_its_deployment_for_itself(process: str, kind: str) -> None:
    """With `replicas` in its spec, a scaled Deployment would be set back by every upgrade."""
    rendered = render(values(**ASKED, **{process: {"autoscaling": {"type": kind}}}))
    scalers = rendered.of("HorizontalPodAutoscaler") + rendered.of("ScaledObject")
    assert [item["spec"]["scaleTargetRef"]["name"] for item in scalers] == [f"demo-mailhaul-{process}"]
    assert "replicas" not in rendered.one("Deployment", f"-{process}")["spec"]


def test_pods_come_at_once_and_go_one_by_one_after_a_while_of_calm() -> None:
    rendered = render(values(**ASKED, poller=KEDA, processor={"autoscaling": {"type": "hpa"}}))
    scaled = rendered.one("ScaledObject", "-poller")["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    hpa = rendered.one("HorizontalPodAutoscaler", "-processor")["spec"]["behavior"]
    for behavior, calm in ((scaled, 600), (hpa, 300)):
        assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
        assert behavior["scaleDown"]["stabilizationWindowSeconds"] == calm
        assert behavior["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]


def test_a_pod_has_time_to_finish_its_longest_step() -> None:
    rendered = render(values())
    grace = {process: rendered.pod(process)["terminationGracePeriodSeconds"] for process in PROCESSES}
    assert grace["poller"] >= 900
    assert grace["processor"] >= 330


@pytest.mark.parametrize("process", WORKERS)
def test_keda_asks_for_what_is_late_and_for_what_waits_in_this_namespace(process: str) -> None:
    spec = render(values(**ASKED, **{process: KEDA})).one("ScaledObject", f"-{process}")["spec"]
    queries = [trigger["metadata"]["query"] for trigger in spec["triggers"]]
    assert len(queries) == 2
    known = {item.full_name: item.labels for item in SPECS}
    for query in queries:
        name, _, labels = query.removeprefix("max(").removesuffix("})").partition("{")
        assert labels.startswith('namespace="mail"')
        written = {label.partition("=")[0] for label in labels.split(",")} - {"namespace"}
        assert written <= set(known[name])


def test_without_prometheus_there_are_as_many_pods_as_the_fallback_says() -> None:
    scaled = render(values(**ASKED, poller=KEDA)).one("ScaledObject", "-poller")["spec"]
    assert scaled["fallback"] == {"failureThreshold": 3, "replicas": 2}
    # KEDA falls back on averages only, and takes no answer for a zero by default.
    assert {trigger["metricType"] for trigger in scaled["triggers"]} == {"AverageValue"}
    assert {trigger["metadata"]["ignoreNullValues"] for trigger in scaled["triggers"]} == {"false"}


def _budgets(**over: Any) -> list[str]:
    found = render(values(**over)).of("PodDisruptionBudget")
    return sorted(item["metadata"]["name"].rpartition("-")[2] for item in found)


def test_budget_is_rendered_where_there_may_be_two_pods() -> None:
    assert _budgets() == ["scheduler"]
    assert _budgets(poller={"replicas": 2}) == ["poller", "scheduler"]
    assert _budgets(scheduler={"replicas": 1}) == []
    scaled = {"autoscaling": {"type": "hpa", "minReplicas": 1, "maxReplicas": 2}}
    assert _budgets(processor=scaled) == ["processor", "scheduler"]
    assert _budgets(relay={"replicas": 2, "pdb": {"enabled": False}}) == ["scheduler"]


def test_budget_never_prevents_a_drain() -> None:
    (budget,) = render(values()).of("PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_budget_may_say_how_many_pods_stay() -> None:
    (budget,) = render(values(scheduler={"replicas": 3, "pdb": {"minAvailable": 2}})).of("PodDisruptionBudget")
    spec = budget["spec"]
    assert (spec["minAvailable"], "maxUnavailable" in spec) == (2, False)
    assert render(values(scheduler={"replicas": 3, "pdb": {"minAvailable": "66%"}})).of("PodDisruptionBudget")


@pytest.mark.parametrize(("least", "replicas"), [(2, 2), ("51%", 2), ("67%", 3)])
def test_budget_that_keeps_all_pods_is_refused(least: int | str, replicas: int) -> None:
    scheduler = {"replicas": replicas, "pdb": {"minAvailable": least}}
    assert "scheduler.pdb.minAvailable would keep all" in refusal(values(scheduler=scheduler))


def test_one_console_has_neither_budget_nor_autoscaler() -> None:
    rendered = render(values(**COMBINATIONS["console"]))
    for kind in ("PodDisruptionBudget", "HorizontalPodAutoscaler", "ScaledObject"):
        assert not [item for item in rendered.of(kind) if item["metadata"]["name"].endswith("-console")]


def test_there_is_one_exporter_at_a_time() -> None:
    spec = render(values()).one("Deployment", "-exporter")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


@pytest.mark.parametrize("process", PROCESSES)
def test_pods_are_restarted_if_they_do_not_work_and_ready_once_they_reached_what_they_need(process: str) -> None:
    container = render(values()).container(process)
    pages = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for probe, page in pages.items():
        assert container[probe]["httpGet"] == {"path": page, "port": "metrics"}


@pytest.mark.parametrize("process", ALL_PROCESSES)
def test_rollout_whose_pods_do_not_become_ready_fails_in_time(process: str) -> None:
    deployment = render(values(**COMBINATIONS["console"], progressDeadlineSeconds=240)).one(
        "Deployment", f"-{process}"
    )
    assert deployment["spec"]["progressDeadlineSeconds"] == 240


def test_exporter_is_scraped_although_it_has_not_reached_the_ledger() -> None:
    assert render(values()).one("Service", "-exporter")["spec"]["publishNotReadyAddresses"] is True


def test_pods_of_a_process_are_spread_over_nodes_and_zones() -> None:
    for process in ALL_PROCESSES:
        constraints = render(values(**COMBINATIONS["console"])).pod(process)["topologySpreadConstraints"]
        assert [item["topologyKey"] for item in constraints] == [
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        ]
        for item in constraints:
            assert item["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == process


def test_every_process_is_scraped_once() -> None:
    rendered = render(values(**COMBINATIONS["monitors"]))
    (pods,) = rendered.of("PodMonitor")
    (service,) = rendered.of("ServiceMonitor")
    (component,) = pods["spec"]["selector"]["matchExpressions"]
    of_service = service["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
    assert sorted([*component["values"], of_service]) == sorted([*PROCESSES, "console"])
    assert rendered.one("Service", "-exporter")["metadata"]["labels"]["app.kubernetes.io/component"] == of_service


def test_more_mailboxes_than_the_chart_sees_may_have_any_number_of_pollers() -> None:
    boxes = [{**MAILBOX, "id": f"m{number}", "host": f"pop{number}.example.org"} for number in range(120)]
    assert render(values(config={"mailboxes": boxes}, poller={"replicas": 3})).objects
