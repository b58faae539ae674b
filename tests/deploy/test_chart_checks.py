"""Values that cannot work are refused, with words that say what to do, and without quoting what may be a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import helm_python
import pytest
import yaml

from ingest import __version__
from tests.support.chart import MAILBOX, chart, refusal, render, values
from tests.support.chart_values import COMBINATIONS, EVERYTHING
from tools.documents.chart_schema import CHART

if TYPE_CHECKING:
    from tests.support.chart import Object

HPA = {"type": "hpa"}
KEDA = {"type": "keda"}


def _mailboxes(*more: Object, **options: Any) -> Object:
    return {"mailboxes": [{**MAILBOX, **options}, *more]}


BY_SCHEMA: dict[str, tuple[Object, str]] = {
    "an unknown value": ({"replicas": 3}, "additional properties 'replicas' not allowed"),
    "an unknown option": ({"config": {"stroe": "x"}}, "at '/config': additional properties 'stroe' not allowed"),
    "an unknown option of a mailbox": (
        {"config": _mailboxes(hots="x")},
        "at '/config/mailboxes/0': additional properties 'hots' not allowed",
    ),
    "an unknown kind of sink": (
        {"config": {"sinks": [{"type": "carrier-pigeon"}]}},
        "at '/config/sinks/0/type': value must be",
    ),
    "a sink without its secret": (
        {"config": {"sinks": [{"type": "webhook", "url": "https://x"}]}},
        "at '/config/sinks/0': missing property 'secret'",
    ),
    "both autoscalers": ({"poller": {"autoscaling": {"type": "both"}}}, "must be one of 'none', 'hpa', 'keda'"),
    "a number in words": ({"config": {"workers": {"processes": "two"}}}, "got string, want integer"),
    "fewer than no pods": ({"relay": {"replicas": -1}}, "at '/relay/replicas': minimum: got -1, want 0"),
    "a digest that is none": ({"image": {"digest": "latest"}}, "at '/image/digest': 'latest' does not match"),
    "a port of the chart's": ({"config": {"metrics": {"port": 1}}}, "additional properties 'port' not allowed"),
}


@pytest.mark.parametrize("name", BY_SCHEMA)
def test_the_schema_refuses(name: str) -> None:
    over, words = BY_SCHEMA[name]
    assert words in refusal(values(**over))


CONTRADICTIONS: dict[str, tuple[Object, str]] = {
    "no store": ({"config": {"store": ""}}, "config.store is missing: write where"),
    "no ledger": ({"config": {"ledger": ""}}, "config.ledger is missing: write redis://"),
    "two ledgers": ({"valkey": {"enabled": True}}, "config.ledger and valkey.enabled contradict each other"),
    "a ledger for one machine": ({"config": {"ledger": "embedded"}}, "serves one machine only"),
    "a cluster without a broker": (
        {"config": {"ledger": "redis+cluster://a,b"}},
        "config.ledger is a Redis Cluster, config.broker is missing, and Celery cannot use",
    ),
    "a cluster as the broker": (
        {"config": {"ledger": "redis+cluster://a,b", "broker": "redis+cluster://a,b"}},
        "config.broker is a Redis Cluster, and Celery cannot use",
    ),
    "a mailbox twice": ({"config": _mailboxes(MAILBOX)}, "config.mailboxes has invoices twice"),
    "a key of a client certificate": (
        {
            "config": _mailboxes(
                client_certificate={"certificate": "secret:a/tls.crt", "key": "-----BEGIN PRIVATE KEY"}
            )
        },
        "client_certificate.key of the mailbox invoices is not a reference",
    ),
    "a password": (
        {"config": _mailboxes(auth={"type": "password", "username": "u", "password": "hunter2"})},
        "a password under config is not a reference",
    ),
    "a secret of a name that cannot be": (
        {"config": _mailboxes(auth={"type": "password", "username": "u", "password": "secret:Upper/key"})},
        "write secret:NAME/KEY",
    ),
    "the password of a ledger": ({"config": {"ledger": "redis://:hunter2@ledger:6379/0"}}, "config.ledger holds a"),
    "half a reference": ({"config": {"broker": "secret:broker"}}, "config.broker names no key of a Secret"),
    "no time for a session": (
        {"poller": {"terminationGracePeriodSeconds": 900}},
        "poller.terminationGracePeriodSeconds is 900, and a mail session may take",
    ),
    "no time for one mailbox's session": ({"config": _mailboxes(deadlines={"poll": "1h"})}, "write 3630 or more"),
    "no time for sessions": ({"config": {"defaults": {"deadlines": {"poll": "1h30m"}}}}, "write 5430 or more"),
    "no time for a message": ({"processor": {"terminationGracePeriodSeconds": 300}}, "write 345 or more"),
    "no time for a sink": (
        {"config": {"sinks": [{"type": "webhook", "url": "https://x", "secret": "env:X", "timeout": "1m"}]}},
        "relay.terminationGracePeriodSeconds is 120, and a sink may take three times its timeout: write 210 or more",
    ),
    "fewer at most than at least": (
        {"poller": {"autoscaling": {**HPA, "minReplicas": 5}}},
        "poller.autoscaling.minReplicas is above maxReplicas",
    ),
    "a scaler that asks nobody": ({"relay": {"autoscaling": KEDA}}, "write prometheus.address"),
    "a fallback that is too large": (
        {"prometheus": {"address": "http://p"}, "relay": {"autoscaling": {**KEDA, "fallbackReplicas": 9}}},
        "relay.autoscaling.fallbackReplicas is above maxReplicas",
    ),
    "a share of nothing": (
        {"relay": {"autoscaling": HPA, "resources": {"requests": {"cpu": None}}}},
        "write relay.resources.requests.cpu",
    ),
    "a second autoscaler": (
        {
            "poller": {"autoscaling": HPA},
            "extraObjects": [
                {"kind": "ScaledObject", "spec": {"scaleTargetRef": {"name": "demo-mailhaul-poller"}}},
            ],
        },
        "two autoscalers would fight",
    ),
    "more connections than Redis allows": ({"ledgerConnections": 64}, "all pods together may open"),
    "more connections than Valkey allows": (
        {"config": {"ledger": ""}, "valkey": {"enabled": True, "maxClients": 50}},
        "valkey.maxClients is 50",
    ),
    "pollers that no server lets in": ({"poller": {"replicas": 3}}, "3 pollers with 50 threads each"),
    "a folder in the pod": (
        {"config": {"store": "file:///store"}},
        "config.store is a folder that no volume of poller",
    ),
    "a file in the pod": (
        {"config": {"sinks": [{"type": "jsonl", "path": "/events"}]}},
        "no volume of relay contains",
    ),
    "little memory": (
        {"config": {"workers": {"processes": 8}}},
        "processor.resources.limits.memory is 2Gi, and each of the 8 processes",
    ),
    "little room": ({"poller": {"scratchSize": "100Mi"}}, "poller.scratchSize is smaller than the largest message"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions_are_refused_with_a_remedy(name: str) -> None:
    over, words = CONTRADICTIONS[name]
    assert words in refusal(values(**over))


def test_all_contradictions_are_reported_together() -> None:
    words = refusal(values(config={"store": "", "ledger": ""}, processor={"terminationGracePeriodSeconds": 1}))
    assert words.count("\n- ") == 3


@pytest.mark.parametrize(
    "over",
    [
        {"config": _mailboxes(auth={"type": "password", "username": "u", "password": "hunter2"})},
        {"config": {"ledger": "redis://:hunter2@ledger:6379/0"}},
        {"config": {"broker": "amqp://u:hunter2@mq"}},
        {"config": {"store": {"url": "s3://b", "access_key": "hunter2", "secret_key": "hunter2"}}},
        {"config": {"store": {"url": "gs://b", "credentials": "hunter2"}}},
        {"config": {"store": {"url": "az://a/c", "account_key": "hunter2"}}},
        {"config": {"store": {"url": "az://a/c", "sas_token": "hunter2"}}},
        {"config": {"audit": {"key": "hunter2"}}},
    ],
)
def test_secret_written_into_values_is_not_repeated_in_the_error(over: Object) -> None:
    assert "hunter2" not in refusal(values(**over))


@pytest.mark.parametrize(
    "over",
    [
        # Two pollers ride out the loss of a node, however few mailboxes there are.
        {"poller": {"replicas": 2}},
        {"poller": {"replicas": 3}, "mailboxConfigMaps": ["many"]},
        {"poller": {"replicas": 3}, "config": {"workers": {"poll_threads": 1}, **_mailboxes(
            *({**MAILBOX, "id": f"m{number}"} for number in range(9)))}},
        {"ledgerConnections": 200},
    ],
)  # fmt: skip
def test_valid_values_are_accepted(over: Object) -> None:
    assert render(values(**over)).objects


def test_subchart_accepts_global_values() -> None:
    assert render(values(**{"global": {"anything": {"at": "all"}}, "enabled": True, "tags": {"mail": True}})).objects


@pytest.mark.parametrize("over", [{}, *COMBINATIONS.values()])
def test_lint_finds_nothing(over: Object) -> None:
    report = helm_python.lint(CHART, values(**over), strict=True, namespace="mail", kube_version="v1.32.0")
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


def test_the_schema_has_every_option_that_the_values_show() -> None:
    schema = chart().schema
    assert schema is not None
    options = schema["properties"]["config"]["properties"]
    assert options.keys() == chart().values["config"].keys()


def test_the_charts_application_is_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


def test_all_options_are_accepted() -> None:
    assert render(values(**EVERYTHING)).objects
