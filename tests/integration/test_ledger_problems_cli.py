"""Commands with a ledger that must not be used: nothing starts, and the remedy is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.service import mailhaul, write_config
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
