"""The compose file: valid, confined, like the chart, and one with the files that it mounts."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator, validators

from ingest.config import ConfigSource
from ingest.demo.scene import DEMO_MAILBOXES
from tests.support.chart import render, values
from tests.support.chart_values import CONSOLE
from tests.support.compose import CONFIG, FILE, OURS, PROCESSES, grace, load, mounted, services
from tests.support.dashboards import FOLDER, load_boards
from tests.support.rules import ROOT, RULES
from tests.support.servers import find_program, missing
from tests.support.waiting import PATIENCE
from tools.documents.chart_schema import CHART

if TYPE_CHECKING:
    from pathlib import Path

SERVICES = services()
each_service = pytest.mark.parametrize("name", SERVICES)
each_process = pytest.mark.parametrize("name", PROCESSES)


def _errors(content: dict[str, Any]) -> list[str]:
    """What the Compose Specification's schema finds wrong."""
    packaged = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(packaged.read_text())
    validator = validators.validator_for(schema, default=Draft202012Validator)(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(content)]


def _binds() -> list[dict[str, Any]]:
    return [
        volume for service in SERVICES.values() for volume in service.get("volumes", []) if volume["type"] == "bind"
    ]


def test_it_follows_the_compose_specification() -> None:
    assert _errors(load()) == []
    assert _errors({"services": {"poller": {"imag": "mailhaul"}}}), "the schema lets anything through"


def test_compose_itself_takes_it() -> None:
    docker = find_program("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker has no compose here; the schema is tested without it")
    done = subprocess.run(
        [docker, "compose", "--file", FILE, "config", "--quiet"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@each_service
def test_a_container_may_do_no_more_than_it_has_to(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert "mem_limit" in service
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & service.keys()


def test_ports_are_open_to_this_machine_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_files_are_mounted_where_they_are_and_never_written() -> None:
    assert {volume["source"] for volume in _binds()} == {
        "./compose/mailhaul",
        "./compose/prometheus.yml",
        "./compose/grafana/provisioning",
        "./observability/rules.yaml",
        "./observability/dashboards",
    }
    for volume in _binds():
        assert FILE.parent.joinpath(volume["source"]).exists(), volume["source"]
        assert volume["read_only"] is True
        assert volume["bind"] == {"create_host_path": False}, "docker would make a folder of a file that is missing"


def test_volumes_are_all_named_and_all_used() -> None:
    used = {
        volume["source"]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume["type"] == "volume" and "source" in volume
    }
    assert used == set(load()["volumes"])


def test_services_wait_for_what_they_need_until_it_is_healthy() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, name
            assert "healthcheck" in SERVICES[needed] or needed in PROCESSES, f"{name} waits for {needed} forever"
    assert set(SERVICES["poller"]["depends_on"]) == {"valkey", "s3", "mail"}


@each_process
def test_a_process_is_started_and_ended_as_in_the_chart(name: str) -> None:
    chart = render(values())
    container, service = chart.container(name), SERVICES[name]
    assert service["command"] == container["args"]
    assert "entrypoint" not in service, "the image's is the command of the chart"
    assert grace(service) == chart.pod(name)["terminationGracePeriodSeconds"]
    assert service["mem_limit"] == container["resources"]["limits"]["memory"].replace("i", "").lower()
    assert "healthcheck" not in service, "the image says how the health of a process is asked for"
    places = {mount["mountPath"] for mount in container["volumeMounts"] if "/secrets/" not in mount["mountPath"]}
    given = {volume["target"] for volume in service["volumes"]}
    assert places <= given | {place.partition(":")[0] for place in service["tmpfs"]}
    # Every container of compose has access to every part, so that `check` needs no role.
    variables = {item["name"] for item in container["env"]} - {"HOME", "TMPDIR", "MAILHAUL_ROLE"}
    assert variables <= service["environment"].keys()


def test_console_is_started_as_in_the_chart_and_opens_to_the_token_that_is_documented() -> None:
    chart = render(values(**CONSOLE))
    container, service = chart.container("console"), SERVICES["console"]
    assert service["command"] == container["args"]
    assert grace(service) == chart.pod("console")["terminationGracePeriodSeconds"]
    assert service["mem_limit"] == container["resources"]["limits"]["memory"].replace("i", "").lower()
    console = ConfigSource(mounted(service, CONFIG), service["environment"]).current().console
    assert console is not None
    assert not console.loopback, "its port could not be published"
    assert service["ports"] == [f"127.0.0.1:{console.port}:{console.port}"]
    assert f"http://127.0.0.1:{console.port}/readyz" in service["healthcheck"]["test"][-1]
    assert str(console.catalog.parent) in [volume["target"] for volume in service["volumes"]]
    page = (ROOT / "docs" / "containers.md").read_text()
    found = re.search(rf"<http://localhost:{console.port}>.*token `([^`]+)`", page)
    assert found is not None
    assert [token.sha256 for token in console.tokens] == [hashlib.sha256(found[1].encode()).hexdigest()]


def test_servers_are_those_the_tests_use() -> None:
    chart = yaml.safe_load((CHART / "values.yaml").read_text())["valkey"]["image"]
    assert SERVICES["valkey"]["image"] == f"{chart['repository']}:{chart['tag']}"
    (version,) = re.findall(r"^version=(\S+)$", (ROOT / "tests" / "install-s3").read_text(), re.MULTILINE)
    assert SERVICES["s3"]["image"] == f"versity/versitygw:{version}"
    for name in ("prometheus", "grafana"):
        assert re.search(r":v?\d+\.\d+\.\d+$", SERVICES[name]["image"]), "an image that changes by itself"


def test_mailhaul_reads_its_configuration() -> None:
    for name in PROCESSES:
        source = ConfigSource(mounted(SERVICES[name], CONFIG), SERVICES[name]["environment"])
        config = source.current()
        assert set(config.mailboxes_by_id()) == {mailbox.user for mailbox in DEMO_MAILBOXES}
        assert not config.metrics.address.startswith("127."), "Prometheus could not reach it"


def test_prometheus_scrapes_every_process_and_reads_the_rules(tmp_path: Path) -> None:
    service = SERVICES["prometheus"]
    path = mounted(service, "/etc/prometheus/prometheus.yml")
    (job,) = yaml.safe_load(path.read_text())["scrape_configs"]
    (asked,) = job["dns_sd_configs"]
    assert set(asked["names"]) == set(OURS)
    config = ConfigSource(mounted(SERVICES["poller"], CONFIG), SERVICES["poller"]["environment"]).current()
    assert asked["port"] == config.metrics.port
    assert mounted(service, "/etc/prometheus/rules.yaml") == RULES

    promtool = find_program("promtool")
    if promtool is None:
        missing("prometheus", "promtool")
    shutil.copy(path, tmp_path)
    shutil.copy(RULES, tmp_path)
    done = subprocess.run(
        [promtool, "check", "config", tmp_path / path.name],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_shows_the_dashboards_from_that_prometheus() -> None:
    service = SERVICES["grafana"]
    folder = mounted(service, "/etc/grafana/provisioning")
    (provider,) = yaml.safe_load((folder / "dashboards" / "mailhaul.yaml").read_text())["providers"]
    assert mounted(service, provider["options"]["path"]) == FOLDER
    home = service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/overview.json"
    assert (FOLDER / "overview.json").is_file()

    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())["datasources"]
    asked = {
        variable["query"]
        for board in load_boards().values()
        for variable in board["templating"]["list"]
        if variable["type"] == "datasource"
    }
    assert asked == {source["type"]}
    scraped = yaml.safe_load(mounted(SERVICES["prometheus"], "/etc/prometheus/prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scraped["scrape_interval"]


def test_a_secret_is_written_once_and_services_refer_to_it() -> None:
    text, secrets = FILE.read_text(), list(load()["x-secrets"].values())
    assert all(text.count(secret) == secrets.count(secret) for secret in secrets)
    for service in SERVICES.values():
        given = service.get("environment", {})
        assert all(given[name] in secrets for name in given if name.endswith(("_KEY", "_PASSWORD")))


def test_what_the_document_adds_fits() -> None:
    """Compose merges files, each of which is valid by itself; the services have to be ours."""
    page = (ROOT / "docs" / "containers.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    content = yaml.safe_load(block.replace("!override", ""))  # compose's own: instead of what is below, not into it
    assert _errors(content) == []
    assert set(content["services"]) <= set(SERVICES)
    assert content["services"]["poller"]["depends_on"] == SERVICES["relay"]["depends_on"], "all but the mail"
