"""Retention and statements run on a schedule if that is asked for: one at a time, and with what they need only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.chart import ALL_PROCESSES, merged, refusal, render, values
from tests.support.chart_values import COMBINATIONS, EVERYTHING, JOBS

if TYPE_CHECKING:
    from tests.support.chart import Object, Rendered

COMMANDS = {"retention": ["purge", "retention", "--yes"], "audit": ["audit", "write"]}
each_job = pytest.mark.parametrize("job", COMMANDS)


@pytest.fixture(scope="module")
def jobs() -> Rendered:
    return render(values(**merged(COMBINATIONS["settings"], {"networkPolicy": {"enabled": True}})))


def _pod(rendered: Rendered, job: str) -> Object:
    spec: Object = rendered.one("CronJob", f"-{job}")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def _secrets(pod: Object) -> set[str]:
    return {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}


def test_nothing_runs_on_a_schedule_by_default() -> None:
    rendered = render(values(**EVERYTHING))
    assert rendered.of("CronJob") == []
    assert _secrets(rendered.pod("scheduler")) >= {"audit"}


@each_job
def test_job_runs_its_command_one_at_a_time_and_ends_in_time(job: str, jobs: Rendered) -> None:
    spec = jobs.one("CronJob", f"-{job}")["spec"]
    assert spec["schedule"] == JOBS[job]["schedule"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["suspend"] is False
    assert spec["startingDeadlineSeconds"] > 0
    run = spec["jobTemplate"]["spec"]
    assert run["activeDeadlineSeconds"] > 3_600
    assert run["backoffLimit"] == 2
    pod = _pod(jobs, job)
    assert pod["restartPolicy"] == "Never"
    assert pod["containers"][0]["args"] == [*COMMANDS[job], "--config", "/etc/mailhaul"]


def test_what_was_set_for_a_job_counts(jobs: Rendered) -> None:
    rendered = render(values(**COMBINATIONS["jobs otherwise"]))
    spec = rendered.one("CronJob", "-retention")["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["suspend"]) == ("@weekly", "Europe/Berlin", True)
    pod = _pod(rendered, "retention")
    assert pod["nodeSelector"] == {"disk": "slow"}
    assert pod["containers"][0]["args"][-1] == "--json"
    assert "timeZone" not in jobs.one("CronJob", "-audit")["spec"]


@each_job
def test_pods_of_jobs_get_what_was_set_for_all_pods_but_sidecars(job: str, jobs: Rendered) -> None:
    wanted = COMBINATIONS["settings"]["pods"]
    pod = _pod(jobs, job)
    names = ("schedulerName", "runtimeClassName", "priorityClassName", "dnsPolicy", "dnsConfig", "hostAliases")
    for name in (*names, "nodeSelector", "tolerations", "affinity", "initContainers"):
        assert pod[name] == wanted[name]
    assert wanted["securityContext"].items() <= pod["securityContext"].items()
    (container,) = pod["containers"]  # one that runs beside it would keep the job from ending
    assert (container["lifecycle"], container["envFrom"]) == (wanted["lifecycle"], wanted["envFrom"])
    assert wanted["env"][0] in container["env"]
    assert wanted["volumeMounts"][0] in container["volumeMounts"]
    template = jobs.one("CronJob", f"-{job}")["spec"]["jobTemplate"]
    for metadata in (template["metadata"], template["spec"]["template"]["metadata"]):
        assert metadata["labels"]["team"] == "mail"
        assert metadata["annotations"]["example.org/owner"] == "mail"
        assert metadata["labels"]["app.kubernetes.io/component"] == job
    assert wanted["labels"].items() <= template["spec"]["template"]["metadata"]["labels"].items()


def test_key_of_statements_is_where_they_are_written_alone() -> None:
    """So are the passwords of mailboxes and sinks kept from jobs, which need neither."""
    rendered = render(values(**COMBINATIONS["jobs otherwise"]))
    assert _secrets(_pod(rendered, "audit")) == {"ledger", "store", "audit"}
    assert _secrets(_pod(rendered, "retention")) == {"ledger", "store"}
    readers = [name for name in ALL_PROCESSES[:-1] if "audit" in _secrets(rendered.pod(name))]
    assert readers == []
    off = {"name": "MAILHAUL_AUDIT__ENABLED", "value": "false"}
    writers = [name for name in ALL_PROCESSES[:-1] if off not in rendered.container(name)["env"]]
    assert "scheduler" not in writers
    assert "in this namespace: audit," in rendered.notes


@each_job
def test_jobs_reach_ledger_and_store_and_nobody_reaches_them(job: str) -> None:
    rendered = render(values(**merged(COMBINATIONS["jobs otherwise"], {"test": {"enabled": False}})))
    policy = rendered.one("NetworkPolicy", f"-{job}")["spec"]
    assert (policy["policyTypes"], policy["ingress"]) == (["Ingress", "Egress"], [])
    labels = rendered.one("CronJob", f"-{job}")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    ledger, broker, store = 6379, 5671, 9000
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, ledger, broker, store}
    scheduler = rendered.one("NetworkPolicy", "-scheduler")["spec"]
    assert store not in {port["port"] for rule in scheduler["egress"] for port in rule["ports"]}


def test_jobs_are_selected_by_no_service_monitor_or_budget(jobs: Rendered) -> None:
    labels = [item["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"] for item in jobs.of("CronJob")]
    selectors = [item["spec"]["selector"] for item in jobs.of("Service")]
    for kind in ("Deployment", "PodDisruptionBudget"):
        selectors += [item["spec"]["selector"]["matchLabels"] for item in jobs.of(kind)]
    assert not [one for one in selectors for pod in labels if one.items() <= pod.items()]


@pytest.mark.parametrize(
    ("over", "words"),
    [
        (
            {"retention": {"schedule": "@daily"}},
            "write rules in config.retention",
        ),
        ({"audit": {"schedule": "@daily"}}, "set config.audit.enabled to true"),
        (
            merged(JOBS, {"audit": {"pod": {"sidecars": [{"name": "proxy"}]}}}),
            "audit.pod.sidecars would keep",
        ),
        ({"retention": {"schedule": "at night"}}, "schedule"),
        (merged(JOBS, {"config": {"store": "file:///mail"}}), "no volume of retention contains"),
    ],
)
def test_schedule_that_cannot_work_is_refused(over: dict[str, Any], words: str) -> None:
    assert words in refusal(values(**over))
