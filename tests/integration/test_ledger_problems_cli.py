"""Commands with a ledger that must not be used: nothing starts, and the remedy is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.service import mailhaul, write_config
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.cluster import Cluster


@pytest.fixture
def config(tmp_path: Path) -> Iterator[str]:
    """A configuration whose ledger evicts keys."""
    with Valkey(tmp_path, ("--maxmemory-policy", "allkeys-lru")) as server:
        yield str(write_config(tmp_path, [], ledger=server.url, sinks=[]))


@pytest.mark.parametrize("command", [["drain"], ["scheduler"], ["worker", "relay"], ["up"]])
def test_nothing_starts_with_a_ledger_that_evicts_keys(config: str, command: list[str]) -> None:
    done = mailhaul(*command, "--config", config)
    assert done.returncode == 2
    assert "set maxmemory-policy noeviction" in " ".join(done.stderr.split())


def test_check_reports_a_ledger_that_evicts_keys(config: str) -> None:
    done = mailhaul("check", "--config", config)
    assert done.returncode == 1
    assert "set maxmemory-policy noeviction" in " ".join(done.stdout.split())


@pytest.mark.parametrize("command", [["scheduler"], ["worker", "relay"], ["up"]])
def test_no_process_starts_with_a_cluster_and_no_broker(tmp_path: Path, cluster: Cluster, command: list[str]) -> None:
    done = mailhaul(*command, "--config", str(write_config(tmp_path, [], ledger=cluster.url, sinks=[])))
    assert done.returncode == 2
    assert "the ledger is a Redis Cluster, which Celery cannot use for wake-ups; set `broker`" in words(done.stderr)


@pytest.mark.parametrize("command", [["scheduler"], ["worker", "relay"], ["up"]])
def test_no_process_starts_with_a_clustered_broker(tmp_path: Path, cluster: Cluster, command: list[str]) -> None:
    broker = cluster.nodes[0].url
    config = write_config(tmp_path, [], ledger=cluster.url, broker=broker, sinks=[])
    done = mailhaul(*command, "--config", str(config))
    assert done.returncode == 2
    assert "the broker is a node of a Redis Cluster, which Celery cannot use; set `broker`" in words(done.stderr)


def test_check_tells_whether_the_broker_of_a_cluster_can_be_used(
    tmp_path: Path, cluster: Cluster, valkey: Valkey
) -> None:
    def checked(**broker: str) -> tuple[int, dict[str, dict[str, object]]]:
        config = write_config(tmp_path, [], ledger=cluster.url, sinks=[], **broker)
        done = mailhaul("check", "--json", "--config", str(config))
        return done.returncode, {finding["part"]: finding for finding in json.loads(done.stdout)["findings"]}

    code, found = checked(broker=valkey.url)
    assert (code, found["ledger"]["ok"], found["broker"]["detail"]) == (0, True, "answers")
    code, found = checked(broker=cluster.owner.url)
    assert (code, found["ledger"]["ok"], found["broker"]["ok"]) == (1, True, False)
    assert "the broker is a node of a Redis Cluster" in str(found["broker"]["detail"])
    code, found = checked()
    assert (code, found["broker"]["ok"]) == (1, False)
    assert "set `broker`" in str(found["broker"]["detail"])


def test_check_refuses_a_node_of_a_cluster_as_ledger_and_names_the_form(tmp_path: Path, cluster: Cluster) -> None:
    done = mailhaul("check", "--config", str(write_config(tmp_path, [], ledger=cluster.nodes[0].url, sinks=[])))
    assert done.returncode == 1
    assert "write redis+cluster://host:6379" in words(done.stdout)


def words(text: str) -> str:
    return " ".join(text.split())
