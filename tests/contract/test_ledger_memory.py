"""How full the ledger is, as far as its server tells."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.ledger import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from tests.support.valkey import Bench, Valkey

LIMIT = 512 << 20


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Redis]:
    with closing(valkey.client()) as client:
        yield client
        client.config_set("maxmemory", 0)
        client.acl_deluser("tenant")


def test_a_ledger_tells_at_most_what_it_can(bench: Bench) -> None:
    memory = bench.ledger.memory()
    assert memory is None or (memory.used > 0 and memory.limit is None)


def test_the_server_tells_what_it_uses_and_may_use(valkey: Valkey, client: Redis) -> None:
    client.config_set("maxmemory", LIMIT)
    with closing(connect(valkey.url)[0]) as ledger:
        memory = ledger.memory()
    assert memory is not None
    assert 0 < memory.used < LIMIT
    assert memory.limit == LIMIT


def test_a_user_who_may_not_ask_is_told_nothing_and_works_nevertheless(valkey: Valkey, client: Redis) -> None:
    client.execute_command("ACL", "SETUSER", "tenant", "on", ">secret", "~*", "&*", "+@all", "-info")  # type: ignore[no-untyped-call] # redis-py has no types here
    url = valkey.url.replace("redis://", "redis://tenant:secret@")
    with closing(connect(url)[0]) as ledger:
        assert ledger.memory() is None
        assert ledger.counts()["open"] == 0
