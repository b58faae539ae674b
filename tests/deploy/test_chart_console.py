"""The console runs only if it knows who may come in, and is reached by those who may reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.chart import PROCESSES, merged, refusal, render, values
from tests.support.chart_values import COMBINATIONS, CONSOLE

if TYPE_CHECKING:
    from tests.support.chart import Object, Rendered

ON: dict[str, Any] = {"console": {"enabled": True}}


def _console(**over: Any) -> Rendered:
    return render(values(**merged(CONSOLE, over)))


def _section(rendered: Rendered) -> Object:
    text = rendered.one("ConfigMap", "-config")["data"]["mailhaul.yaml"]
    section: Object = yaml.safe_load(text)["console"]
    return section


def _volume(rendered: Rendered, name: str) -> Object:
    (volume,) = [volume for volume in rendered.pod("console")["volumes"] if volume["name"] == name]
    return volume  # type: ignore[no-any-return]


def test_no_console_by_default() -> None:
    names = [item["metadata"]["name"] for item in render(values()).objects]
    assert not [name for name in names if "console" in name]


@pytest.mark.parametrize(
    ("over", "words"),
    [
        (ON, "console.enabled needs to know who may come in: write config.console.tokens"),
        (
            merged(ON, {"config": {"console": {"hosts": ["mail.example.org"]}}}),
            "config.console.oidc or config.console.proxy",
        ),
        (merged(CONSOLE, {"console": {"ingress": {"enabled": True}}}), "write them in config.console.hosts"),
        (
            merged(CONSOLE, {"console": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}}}),
            "console.httpRoute.enabled needs names to serve",
        ),
        (
            merged(CONSOLE, {"console": {"httpRoute": {"enabled": True}}}),
            "write console.httpRoute.parentRefs",
        ),
        (
            merged(CONSOLE, {"config": {"console": {"database": "postgresql://u:hunter2@db/mail"}}}),
            "config.console.database is not a reference",
        ),
        (
            merged(CONSOLE, {"config": {"console": {"catalog": "/srv/catalog.sqlite"}}}),
            "config.console.catalog is a file that no volume of console contains",
        ),
        (merged(CONSOLE, {"console": {"scratchSize": "64Mi"}}), "console.scratchSize is smaller than the largest"),
    ],
)
def test_console_that_cannot_work_or_lets_everybody_in_is_refused(over: Object, words: str) -> None:
    message = refusal(values(**over))
    assert words in message
    assert "hunter2" not in message


def test_console_listens_on_the_address_of_the_pod_and_keeps_its_catalog_on_a_volume() -> None:
    rendered = _console(metrics={"address": "::"})
    section, container = _section(rendered), rendered.container("console")
    assert section["address"] == "::"
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "catalog"]
    assert section["catalog"].startswith(f"{mount['mountPath']}/")
    assert "emptyDir" in _volume(rendered, "catalog")
    assert container["args"] == ["console", "--config", "/etc/mailhaul"]
    assert {"name": "MAILHAUL_ROLE", "value": "console"} in container["env"]


def test_there_is_one_console_at_a_time() -> None:
    spec = _console().one("Deployment", "-console")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_probes_service_ingress_and_policy_use_the_port_that_is_configured() -> None:
    rendered = render(values(**COMBINATIONS["console for others"]))
    container = rendered.container("console")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8000, "metrics": 9464}
    pages = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for probe, page in pages.items():
        assert container[probe]["httpGet"] == {"path": page, "port": "http"}
    service = rendered.one("Service", "-console")
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    labels = rendered.one("Deployment", "-console")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    policy = rendered.one("NetworkPolicy", "-console")["spec"]
    assert policy["ingress"] == [
        {"ports": [{"protocol": "TCP", "port": 9464}]},
        {"ports": [{"protocol": "TCP", "port": 8000}], "from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
    ]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 6379, 443, 5432}


def test_ingress_serves_the_names_that_the_console_answers_to_with_tls() -> None:
    rendered = render(values(**COMBINATIONS["console for others"]))
    spec = rendered.one("Ingress", "-console")["spec"]
    hosts = _section(rendered)["hosts"]
    assert [rule["host"] for rule in spec["rules"]] == hosts
    assert spec["tls"] == [{"hosts": hosts, "secretName": "console-tls"}]
    service = rendered.one("Service", "-console")
    for rule in spec["rules"]:
        backend = rule["http"]["paths"][0]["backend"]["service"]
        assert backend["name"] == service["metadata"]["name"]
        assert backend["port"]["name"] in [port["name"] for port in service["spec"]["ports"]]
    assert "https://mail.example.org/" in rendered.notes


def test_notes_name_the_ways_to_log_in_that_are_configured() -> None:
    oidc = {
        "url": "https://mail.example.org",
        "issuer": "https://login.example.org",
        "client_id": "mailhaul",
        "client_secret": "secret:console/client",
        "roles": [{"group": "*"}],
    }
    both = _console(config={"console": {"oidc": oidc}}).notes
    assert "log in with a token of config.console.tokens or at the identity provider:" in both
    alone = render(values(**merged(ON, {"config": {"console": {"oidc": oidc}}}))).notes
    assert "log in at the identity provider:" in alone


def test_route_leads_from_a_gateway_to_the_consoles_service() -> None:
    rendered = render(values(**COMBINATIONS["console behind a gateway"]))
    spec = rendered.one("HTTPRoute", "-console")["spec"]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "gateways", "sectionName": "https"}]
    assert spec["hostnames"] == _section(rendered)["hosts"]
    (backend,) = spec["rules"][0]["backendRefs"]
    service = rendered.one("Service", "-console")
    assert backend["name"] == service["metadata"]["name"]
    assert backend["port"] in [port["port"] for port in service["spec"]["ports"]]
    assert "https://mail.example.org/" in rendered.notes


def test_console_with_an_identity_provider_gets_its_secrets_and_reaches_it_alone() -> None:
    oidc = {
        "url": "https://mail.example.org",
        "issuer": "https://login.example.org:8443/realms/main",
        "client_id": "mailhaul",
        "client_secret": "secret:console/client",
        "ca": "secret:private-ca/ca.crt",
        "roles": [{"group": "mail-admins", "role": "operator"}],
    }
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "login"}}}]
    policy = {"enabled": True, "identityProvider": peers, "targetPorts": {"identityProvider": [8080]}}
    rendered = render(values(**merged(ON, {"config": {"console": {"oidc": oidc}}, "networkPolicy": policy})))
    found = _section(rendered)["oidc"]
    assert found["client_secret"] == "file:/run/secrets/mailhaul/console/client"
    assert found["ca"] == "/run/secrets/mailhaul/private-ca/ca.crt"
    ports = [{"protocol": "TCP", "port": port} for port in (8443, 8080)]
    rule = {"ports": ports, "to": peers}
    processes = (*PROCESSES, "console")
    reaching = [one for one in processes if rule in rendered.one("NetworkPolicy", f"-{one}")["spec"]["egress"]]
    readers = [
        (process, volume["secret"]["secretName"])
        for process in processes
        for volume in rendered.pod(process)["volumes"]
        if volume.get("secret", {}).get("secretName") in {"console", "private-ca"}
    ]
    assert reaching == ["console"]
    assert sorted(readers) == [("console", "console"), ("console", "private-ca")]


def test_secret_of_the_catalog_is_mounted_into_the_console_alone() -> None:
    rendered = render(values(**COMBINATIONS["console for others"]))
    assert _section(rendered)["database"] == "file:/run/secrets/mailhaul/catalog/url"
    readers = [
        process
        for process in (*PROCESSES, "console")
        for volume in rendered.pod(process)["volumes"]
        if volume.get("secret", {}).get("secretName") == "catalog"
    ]
    assert readers == ["console"]
    assert "Secrets that must exist in this namespace: catalog" in rendered.notes


def test_console_sees_neither_passwords_of_mailboxes_nor_of_sinks() -> None:
    rendered = render(values(**merged(COMBINATIONS["everything"], CONSOLE)))
    secrets = {volume["secret"]["secretName"] for volume in rendered.pod("console")["volumes"] if "secret" in volume}
    assert secrets == {"ledger", "store"}


@pytest.mark.parametrize(("group", "context"), [(10001, 10001), (0, None)])
def test_catalog_on_a_claim_can_be_written_by_the_group_of_the_pod(group: int, context: int | None) -> None:
    rendered = _console(console={"persistence": {"enabled": True, "fsGroup": group}})
    (claim,) = rendered.of("PersistentVolumeClaim")
    assert _volume(rendered, "catalog")["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    assert rendered.pod("console")["securityContext"].get("fsGroup") == context


def test_catalog_without_a_claim_is_requested_from_the_disk_of_the_node() -> None:
    def requested(**persistence: Any) -> str:
        request: str = _console(console={"persistence": persistence}).container("console")["resources"]["requests"][
            "ephemeral-storage"
        ]
        return request

    assert (requested(), requested(enabled=True)) == ("3200Mi", "1152Mi")


def test_console_counts_among_the_connections_to_the_ledger() -> None:
    enough = 60 + 18 + 14 + 10 + 10  # of poller, processor, relay, schedulers, exporter
    assert render(values(ledgerConnections=enough)).objects
    assert "all pods together may open 162" in refusal(values(**CONSOLE, ledgerConnections=enough))
