"""What a person meets: notes after the installation, and `helm test`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from helm_python import Chart

from ingest.config.load import load
from ingest.domain.mailbox import Tls
from tests.support.chart import FULL_NAME, render, values
from tests.support.chart_values import COMBINATIONS, EVERYTHING
from tools.documents.chart_schema import CHART

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.chart import Object


def test_the_mailbox_of_the_test_fits_the_configuration(tmp_path: Path) -> None:
    rendered = render(values())
    for name in ("-config", "-mailboxes", "-test"):
        for file, text in rendered.one("ConfigMap", name)["data"].items():
            (tmp_path / file).write_text(text)
    box = load(tmp_path, {}).mailboxes_by_id()["helm-test"]
    service = rendered.one("Service", "-test")
    (port,) = service["spec"]["ports"]
    assert (box.server.host, box.server.port) == (service["metadata"]["name"], port["port"])
    assert box.server.tls is Tls.NONE
    assert (tmp_path / "test-password").read_text()


def test_the_test_asks_for_that_mailbox_and_waits_shorter_than_its_pod_lives() -> None:
    pod = render(values(test={"timeout": 200})).one("Pod", "-test")
    arguments = pod["spec"]["containers"][0]["args"]
    assert arguments[:2] == ["probe", "helm-test"]
    assert arguments[arguments.index("--seconds") + 1] == "200"
    assert pod["spec"]["activeDeadlineSeconds"] > 200
    assert pod["spec"]["restartPolicy"] == "Never"


def _hook(item: Object) -> tuple[str, int, set[str]]:
    notes = item["metadata"]["annotations"]
    policy = set(notes["helm.sh/hook-delete-policy"].split(","))
    return notes["helm.sh/hook"], int(notes["helm.sh/hook-weight"]), policy


def test_the_mailbox_is_there_before_the_test_and_gone_after_it_however_it_ends() -> None:
    rendered = render(values())
    _, pod_weight, _ = _hook(rendered.one("Pod", "-test"))
    for item in (rendered.one("ConfigMap", "-test"), rendered.one("Service", "-test")):
        kind, weight, policy = _hook(item)
        assert kind == "test"
        assert weight < pod_weight
        assert policy == {"before-hook-creation", "hook-succeeded", "hook-failed"}


def test_the_running_pods_see_the_tests_mailbox_where_it_is_there() -> None:
    sources = render(values()).pod("poller")["volumes"][0]["projected"]["sources"]
    assert {"configMap": {"name": f"{FULL_NAME}-test", "optional": True}} in sources


def test_with_a_network_policy_pollers_reach_the_tests_server_and_nobody_else_does() -> None:
    rendered = render(values(networkPolicy={"enabled": True}))
    test = rendered.one("NetworkPolicy", "-test")["spec"]
    (rule,) = test["ingress"]
    assert rule["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "poller"
    (port,) = {entry["port"] for entry in rule["ports"]}
    labels = rendered.one("Pod", "-test")["metadata"]["labels"]
    assert test["podSelector"]["matchLabels"].items() <= labels.items()
    to_test = [entry for entry in rendered.one("NetworkPolicy", "-poller")["spec"]["egress"] if "to" in entry]
    assert [entry["ports"][0]["port"] for entry in to_test] == [port]
    assert rendered.one("Service", "-test")["spec"]["selector"].items() <= labels.items()


def test_without_it_nothing_of_it_is_there() -> None:
    rendered = render(values(test={"enabled": False}, networkPolicy={"enabled": True}))
    assert not [item for item in rendered.objects if item["metadata"]["name"].endswith("-test")]
    sources = rendered.pod("poller")["volumes"][0]["projected"]["sources"]
    assert not [source for source in sources if source["configMap"].get("optional")]


def _notes(**over: Any) -> str:
    return render(values(**over)).notes


def test_notes_describe_the_next_steps() -> None:
    notes = _notes()
    for command in (
        "kubectl -n mail rollout status deployment -l app.kubernetes.io/instance=demo",
        "helm -n mail test demo --timeout 7m",
        f"kubectl -n mail exec deploy/{FULL_NAME}-poller -- mailhaul status --config /etc/mailhaul",
    ):
        assert command in notes


@pytest.mark.parametrize(
    ("over", "words"),
    [
        (EVERYTHING, "in this namespace: audit, client, hook, ledger, m365, mailboxes, mq, own, store."),
        ({"config": {"mailboxes": []}}, "There is no mailbox yet"),
        ({}, "There is no sink"),
        (COMBINATIONS["trial"], "The ledger is the trial Valkey"),
        ({"metrics": {"podMonitor": {"enabled": True}}}, "alerts and dashboards need both"),
        ({"metrics": {"prometheusRule": {"enabled": True}}}, "Alerts need the exporter's metrics"),
        ({}, "Pods may connect to anything"),
    ],
)
def test_notes_say_what_is_missing(over: Object, words: str) -> None:
    assert words in _notes(**over)


def test_notes_do_not_mention_what_is_configured() -> None:
    sinks = [{"type": "webhook", "url": "https://erp.example", "secret": "env:HOOK"}]
    notes = _notes(config={"sinks": sinks}, networkPolicy={"enabled": True})
    assert notes.rstrip().endswith("in this namespace: mailboxes.")


def test_a_parent_chart_may_hold_it(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    shutil.copytree(CHART, parent / "charts" / "mailhaul")
    (parent / "Chart.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v2",
                "name": "parent",
                "version": "1.0.0",
                "dependencies": [{"name": "mailhaul", "version": "0.x", "condition": "mailhaul.enabled"}],
            }
        )
    )
    shared = {"imageRegistry": "mirror.example.org", "imagePullSecrets": ["pull"], "of": "the parent"}
    over = {"global": shared, "mailhaul": values(enabled=True, image={"pullSecrets": ["own"]})}
    with Chart.load(parent) as chart:
        assert "parent/charts/mailhaul/templates/deployments.yaml" in chart.render(
            over, name="demo", namespace="mail"
        )
        text = chart.render(over, name="demo", namespace="mail")["parent/charts/mailhaul/templates/deployments.yaml"]
        assert not chart.render({"mailhaul": {"enabled": False}}, name="demo", namespace="mail")
    (first, *_) = [item for item in yaml.safe_load_all(text) if item]
    pod = first["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "pull"}, {"name": "own"}]
    assert pod["containers"][0]["image"].startswith("mirror.example.org/mailhaul/mailhaul:")


def test_more_objects_are_rendered_as_templates() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-text'}\n"
    mapping = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-mapping"}}
    names = {item["metadata"]["name"] for item in render(values(extraObjects=[text, mapping])).of("ConfigMap")}
    assert {"demo-text", "demo-mapping"} <= names
