"""Fixtures that several folders of tests share; the servers behind them are in tests/support."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # it has no types

from tests.support.cluster import Cluster
from tests.support.redis import redis_62_server
from tests.support.valkey import LedgerBench, MemoryBench, Valkey, ValkeyBench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import Processor

pytest_plugins = [
    "tests.support.aws",
    "tests.support.clamav",
    "tests.support.clouds",
    "tests.support.courier",
    "tests.support.dovecot",
    "tests.support.kafka",
    "tests.support.prometheus",
    "tests.support.rabbitmq",
    "tests.support.s3",
    "tests.support.tls",
]

# By default an example that takes 0.2 seconds fails, or examples that are made too slowly, as any may be on a busy
# machine.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# By default structlog renders an exception with rich: a frame's source and variables, seconds for each.
_LOGGED_BY: list[Processor] = [
    structlog.processors.add_log_level,
    structlog.processors.format_exc_info,
    structlog.processors.JSONRenderer(default=repr),
]
structlog.configure(processors=_LOGGED_BY[:])

_SERVERS = frozenset(
    {
        "azurite",
        "clamd",
        "cluster",
        "courier",
        "dovecot_server",
        "fake_gcs",
        "kafka",
        "moto_server",
        "own_clamd",
        "own_dovecot",
        "prometheus_for",
        "redis_62",
        "rabbitmq",
        "s3_server",
        "valkey",
    }
)
# The longest first, so that no process is left alone with one of them at the end: random kills take five minutes in
# CI, and building the image takes two.
_ORDER = ("test_random_kills.py", "test_image_run.py", "e2e", "deploy", "integration", "model", "contract", "unit")
# These run in one process, one after another: Kafka and RabbitMQ take twenty seconds to start.
_BROKERS = frozenset(
    {
        "tests/contract/test_sink.py",
        "tests/contract/test_sink_amqp.py",
        "tests/contract/test_sink_kafka.py",
        "tests/contract/test_sink_traces.py",
        "tests/integration/test_sinks_cli.py",
    }
)


class _FilesTogether(LoadFileScheduling):  # type: ignore[misc]  # as above
    """Gives each process whole files, and one of them all that need a message broker."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "brokers" if file in _BROKERS else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Distribute the tests with the class above where pytest-xdist would with its own."""
    return _FilesTogether(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use a server, and put the long ones first."""
    for item in items:
        if _SERVERS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("server")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (_rank(item), item.path not in slow))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Fail the test that leaves a log other than it found, rather than a later one that reads its own."""
    yield
    left = structlog.get_config()["processors"]
    if left != _LOGGED_BY:
        structlog.configure(processors=_LOGGED_BY[:])
        pytest.fail(f"{item.nodeid} leaves the log to {left}")


def _rank(item: pytest.Item) -> int:
    """Files keep their order within a rank, and tests theirs within a file."""
    return next((rank for rank, name in enumerate(_ORDER) if name in item.path.parts), len(_ORDER))


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Valkey for the whole run; emptied before each test that uses it through `bench`."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_62(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Redis 6.2 for the whole run, like `valkey`."""
    with Valkey(tmp_path_factory.mktemp("redis-6.2"), program=redis_62_server()) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of three for the whole run, like `valkey`."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(params=["memory", "valkey", "redis_62", "cluster"])
def bench(request: pytest.FixtureRequest) -> Iterator[LedgerBench]:
    """A ledger and its event stream: the twin, and the Redis adapter on a new server, the oldest, and a cluster."""
    server = request.param
    made: LedgerBench = MemoryBench() if server == "memory" else ValkeyBench(request.getfixturevalue(server))
    yield made
    made.close()
