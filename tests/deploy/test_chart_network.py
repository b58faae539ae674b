"""With a network policy, pods talk to whom the configuration names, and to nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.chart import MAILBOX, PROCESSES, merged, render, values
from tests.support.chart_values import COMBINATIONS, EVERYTHING

if TYPE_CHECKING:
    from tests.support.chart import Object, Rendered

ON: dict[str, Any] = {"networkPolicy": {"enabled": True}, "test": {"enabled": False}}
DNS = 53


def _egress(rendered: Rendered, process: str) -> list[Object]:
    rules: list[Object] = rendered.one("NetworkPolicy", f"-{process}")["spec"]["egress"]
    return rules


def _ports(rendered: Rendered, process: str) -> set[int]:
    """Ports that a process may connect to, besides those of name servers."""
    return {port["port"] for rule in _egress(rendered, process) for port in rule["ports"]} - {DNS}


def _opened(process: str, **config: Any) -> set[int]:
    return _ports(render(values(**merged(ON, {"config": config}))), process)


def _mailbox(**options: Any) -> dict[str, Any]:
    return {"mailboxes": [{**MAILBOX, **options}]}


def test_no_network_policy_by_default() -> None:
    assert render(values()).of("NetworkPolicy") == []


def test_every_process_reaches_name_servers_and_the_ledger_and_lets_metrics_be_scraped() -> None:
    rendered = render(values(**merged(ON, {"config": {"ledger": "rediss://ledger:6390/0"}})))
    for process in PROCESSES:
        policy = rendered.one("NetworkPolicy", f"-{process}")["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert policy["ingress"] == [{"ports": [{"protocol": "TCP", "port": 9464}]}]
        assert {(port["protocol"], port["port"]) for port in policy["egress"][0]["ports"]} == {
            ("UDP", 53),
            ("TCP", 53),
        }
        assert 6390 in _ports(rendered, process)


def test_each_process_reaches_what_it_works_with() -> None:
    rendered = render(values(**merged(ON, EVERYTHING)))
    ledger, broker, store = 6379, 5671, 9000
    everywhere = {ledger, broker}
    assert _ports(rendered, "poller") == {*everywhere, store, 110, 2995, 995, 443, 1080}
    assert _ports(rendered, "processor") == {*everywhere, store, 3310}
    assert _ports(rendered, "relay") == {*everywhere, store, 8443, 443, 5671, 9093, 9094}
    assert _ports(rendered, "scheduler") == {*everywhere, store}
    assert _ports(rendered, "exporter") == everywhere


def test_scheduler_reaches_the_store_only_if_it_writes_statements() -> None:
    rendered = render(values(**merged(merged(ON, EVERYTHING), {"config": {"audit": {"enabled": False}}})))
    assert 9000 not in _ports(rendered, "scheduler")


@pytest.mark.parametrize(
    ("address", "ports"),
    [
        ("redis://ledger", {6379}),
        ("redis://user@ledger:7000/0", {7000}),
        ("valkeys://[2001:db8::1]:6400/0", {6400}),
        # Sentinels tell where the servers are, whose port the chart cannot know.
        ("redis+sentinel://a:26379,b:26380/mail", {26379, 26380, 6379}),
        ("unix:///run/redis.sock", set()),
        ("secret:ledger/url", {6379}),
    ],
)
def test_the_port_of_a_ledger_stands_in_its_address(address: str, ports: set[int]) -> None:
    assert _opened("scheduler", ledger=address) == ports


def test_the_nodes_of_a_cluster_tell_where_the_others_are() -> None:
    opened = _opened("scheduler", ledger="rediss+cluster://a:7000,b:7001", broker="amqp://h:5673//")
    assert opened == {7000, 7001, 6379, 5673}


@pytest.mark.parametrize(
    ("config", "port"),
    [
        (_mailbox(), 995),
        (_mailbox(tls="none"), 110),
        (_mailbox(tls="starttls", port=1110), 1110),
        ({**_mailbox(), "defaults": {"tls": "starttls"}}, 110),
        ({**_mailbox(), "defaults": {"port": 9955}}, 9955),
        # A port among the defaults is for mailboxes without a `tls` of their own.
        ({**_mailbox(tls="implicit"), "defaults": {"port": 9955}}, 995),
        (_mailbox(proxy={"url": "http://proxy.example:3128"}), 3128),
        ({**_mailbox(), "defaults": {"proxy": {"url": "socks5://proxy.example:1080"}}}, 1080),
    ],
)
def test_the_ports_of_mail_servers_follow_the_mailboxes(config: Object, port: int) -> None:
    store_and_ledger = {443, 6379}
    assert _opened("poller", **config) - store_and_ledger == {port}


def test_a_server_of_tokens_is_reached() -> None:
    auth = {"type": "oauth2", "username": "u", "client_id": "c", "client_secret": "env:S"}
    assert 8443 in _opened("poller", **_mailbox(auth={**auth, "token_url": "https://id.example:8443/token"}))


@pytest.mark.parametrize(
    ("tracing", "ports"), [(None, set()), ({}, {4318}), ({"endpoint": "http://collector:4400"}, {4400})]
)
def test_a_collector_of_traces_is_reached_where_there_is_one(tracing: object, ports: set[int]) -> None:
    for process in ("poller", "processor", "relay"):
        assert _opened(process, tracing=tracing) - {443, 6379, 995} == ports


def test_mailboxes_outside_the_chart_use_the_configured_ports() -> None:
    over = merged(ON, {"mailboxConfigMaps": ["tenants"], "networkPolicy": {"mailPorts": [2110]}})
    assert 2110 in _ports(render(values(**over)), "poller")


@pytest.mark.parametrize(
    ("store", "port"),
    [
        ("gs://invoices/mail", 443),
        ("az://account/invoices/mail", 443),
        ({"url": "gs://invoices/mail", "endpoint": "https://gcs.example.org:4443"}, 4443),
    ],
)
def test_the_port_of_a_cloud_store_is_opened(store: object, port: int) -> None:
    assert _opened("processor", store=store) == {port, 6379}


def test_a_folder_as_store_opens_nothing() -> None:
    over = merged(ON, COMBINATIONS["folders"])
    assert _ports(render(values(**over)), "processor") == {6379}


def test_peers_may_be_narrowed() -> None:
    rendered = render(values(**COMBINATIONS["network with peers"]))
    for process in ("poller", "processor", "relay"):
        rules = [rule for rule in _egress(rendered, process) if rule["ports"][0]["port"] not in {80, 1110, 3310}]
        assert all(rule["to"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}] for rule in rules)


@pytest.mark.parametrize(
    ("kind", "process", "others"),
    [
        ("ledger", "scheduler", ()),
        ("store", "scheduler", ("exporter",)),
        ("mail", "poller", ("relay", "processor")),
        ("sinks", "relay", ("poller", "processor")),
        ("scan", "processor", ("poller", "relay")),
        ("tracing", "poller", ("scheduler",)),
    ],
)
def test_ports_behind_a_service_are_opened_for_the_pods_that_connect_to_it(
    kind: str, process: str, others: tuple[str, ...]
) -> None:
    """A policy sees a connection after the Service has translated its port, as 443 to MinIO's 9000."""
    tracing = {"config": {"tracing": {"endpoint": "http://collector:4318"}}}
    pods = [{"podSelector": {"matchLabels": {"v1.min.io/tenant": "mail"}}}]
    policy = {"networkPolicy": {"targetPorts": {kind: [7070, "https-minio"]}, kind: pods}}
    rendered = render(values(**merged(merged(merged(ON, EVERYTHING), tracing), policy)))
    (rule,) = [rule for rule in _egress(rendered, process) if 7070 in [port["port"] for port in rule["ports"]]]
    assert {"protocol": "TCP", "port": "https-minio"} in rule["ports"]
    assert rule["to"] == pods
    assert not [other for other in others if 7070 in _ports(rendered, other)]


def test_ports_behind_a_service_open_nothing_where_nothing_is_configured() -> None:
    rendered = render(values(**merged(ON, {"networkPolicy": {"targetPorts": {"sinks": [7070], "scan": [7071]}}})))
    assert not {7070, 7071} & (_ports(rendered, "relay") | _ports(rendered, "processor"))


def test_a_trial_valkey_talks_to_the_releases_pods_alone() -> None:
    rendered = render(values(**COMBINATIONS["trial"]))
    spec = rendered.one("NetworkPolicy", "-valkey")["spec"]
    (rule,) = spec["ingress"]
    assert rule["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "demo"
    assert spec["egress"] == []
    (to_ledger,) = [rule for rule in _egress(rendered, "relay") if rule["ports"][0]["port"] == 6379]
    assert to_ledger["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "valkey"
