"""The memory that the ledger's server reports."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.ledger import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from tests.support.valkey import LedgerBench, Valkey

LIMIT = 512 << 20


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Redis]:
    with closing(valkey.client()) as client:
        yield client
        client.config_set("maxmemory", 0)
        client.acl_deluser("tenant")


def test_memory_is_reported_or_unknown(bench: LedgerBench) -> None:
    memory = bench.ledger.memory()
    assert memory is None or (memory.used > 0 and memory.limit is None)


def test_memory_has_use_and_limit(valkey: Valkey, client: Redis) -> None:
    client.config_set("maxmemory", LIMIT)
    with closing(connect(valkey.url)[0]) as ledger:
        memory = ledger.memory()
    assert memory is not None
    assert 0 < memory.used < LIMIT
    assert memory.limit == LIMIT


def test_user_without_permission_for_info_works_and_has_no_memory(valkey: Valkey, client: Redis) -> None:
    client.execute_command("ACL", "SETUSER", "tenant", "on", ">secret", "~*", "&*", "+@all", "-info")  # type: ignore[no-untyped-call] # redis-py has no types here
    url = valkey.url.replace("redis://", "redis://tenant:secret@")
    with closing(connect(url)[0]) as ledger:
        assert ledger.memory() is None
        assert ledger.counts()["open"] == 0
