"""What `mailhaul up` runs, and where its metrics are."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from ingest.cli.children import PROCESSES, children, free_ports, metrics_ports, url_host
from ingest.config import ConfigSource
from ingest.errors import StartError
from tests.support.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path


def source(folder: Path, port: int, **environ: str) -> ConfigSource:
    path = folder / "mailhaul.yaml"
    path.write_text(f"store: file://{folder}/store\nledger: embedded\nmetrics: {{port: {port}}}\n")
    return ConfigSource(path, environ)


def test_every_process_gets_the_ledger_and_a_port_of_its_own(tmp_path: Path) -> None:
    made = {child.name: child for child in children(source(tmp_path, 9464), "unix:///run/x.sock", 7000)}
    assert set(made) == {"exporter", "poller", "processor", "relay", "scheduler"}
    assert all(child.environment["MAILHAUL_LEDGER"] == "unix:///run/x.sock" for child in made.values())
    ports = {"exporter": 7000, "poller": 7001, "processor": 7002, "relay": 7003, "scheduler": 7004}
    assert {name: int(child.environment["MAILHAUL_METRICS__PORT"]) for name, child in made.items()} == ports
    assert metrics_ports(7000) == ports
    assert list(made["poller"].arguments[1:]) == [
        *("-m", "ingest.cli", "worker", "poll"),
        *("--config", str(tmp_path / "mailhaul.yaml")),
    ]


def test_the_scheduler_ends_before_the_workers_and_they_before_the_exporter(tmp_path: Path) -> None:
    order = {child.name: child.order for child in children(source(tmp_path, 9464), "unix:///x", 7000)}
    assert order["scheduler"] < order["poller"] == order["processor"] == order["relay"] < order["exporter"]


def test_logs_are_for_people_unless_the_configuration_wants_json(tmp_path: Path) -> None:
    for environ, wanted in (({}, "text"), ({"MAILHAUL_LOG__FORMAT": "json"}, "json")):
        for child in children(source(tmp_path, 9464, **environ), "unix:///x", 7000):
            assert child.environment["MAILHAUL_LOG__FORMAT"] == wanted


@pytest.mark.parametrize("taken", range(len(PROCESSES) + 1))
def test_a_demonstration_goes_elsewhere_when_a_port_is_taken_a_service_says_so(tmp_path: Path, taken: int) -> None:
    wanted = free_port()
    config = source(tmp_path, wanted).current()
    with socket.create_server(("127.0.0.1", wanted + taken)):
        found = free_ports(config, may_move=True)
        assert not range(found, found + 6).count(wanted + taken)
        with pytest.raises(StartError, match=rf"the ports {wanted} to {wanted + 5} .* metrics\.port"):
            free_ports(config, may_move=False)


def test_an_address_stands_in_a_url_as_it_must() -> None:
    assert [url_host(address) for address in ("127.0.0.1", "::1", "localhost")] == ["127.0.0.1", "[::1]", "localhost"]
