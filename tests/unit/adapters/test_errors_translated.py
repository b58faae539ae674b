"""Errors that servers seldom cause are translated where the adapter meets them, with a remedy."""

from __future__ import annotations

import resource
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dns.resolver
import pytest
from botocore.exceptions import ClientError, ParamValidationError
from botocore.parsers import ResponseParserError
from redis.connection import SSLConnection
from redis.sentinel import SentinelConnectionPool

from ingest.adapters.dkim import published_keys
from ingest.adapters.ledger.connection import RedisConnection
from ingest.adapters.sinks import amqp_errors, aws_errors
from ingest.adapters.sinks.batches import BatchRefusedError, UnavailableError
from ingest.adapters.sinks.jsonl import JsonLinesSink
from ingest.adapters.stores import s3_errors
from ingest.adapters.stores.metered import MeteredStore
from ingest.adapters.stores.s3_upload import require_etag
from ingest.adapters.stores.transfer import raise_exists
from ingest.errors import (
    ObjectExistsError,
    ObjectMissingError,
    SinkUnavailableError,
    StartError,
    StoreCorruptError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from ingest.metrics import Metrics
from ingest.testing.store import FaultyStore
from tests.support.http import event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_unknown_code_of_a_broker_is_named() -> None:
    class OddError(Exception):
        reply_code = 541

    error = amqp_errors.translated(OddError())
    assert isinstance(error, UnavailableError)
    assert (error.reason, "541" in str(error)) == ("amqp_541", True)


def test_event_that_boto3_refuses_to_send_is_refused() -> None:
    with pytest.raises(BatchRefusedError) as raised, aws_errors.translated("sqs:SendMessage"):
        raise ParamValidationError(report="MessageBody is too long")
    assert raised.value.reason == "invalid"


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (ObjectExistsError(""), "exists"),
        (ObjectMissingError(""), "missing"),
        (StoreCorruptError(""), "corrupt"),
        (StoreRefusedError(""), "refused"),
        (StoreUnavailableError(""), "unavailable"),
    ],
)
def test_request_that_fails_is_counted_by_its_result(error: StoreError, result: str) -> None:
    def fault(*_: str) -> None:
        raise error

    metrics = Metrics()
    with pytest.raises(type(error)):
        MeteredStore(FaultyStore(fault=fault), metrics).stat("key")
    labels = {"operation": "stat", "result": result}
    assert metrics.registry.get_sample_value("mailhaul_store_requests_total", labels) == 1


def answer(code: str, status: int) -> ClientError:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutObject")


def test_unknown_code_of_a_store_is_refused_and_named() -> None:
    with (
        pytest.raises(StoreRefusedError, match=r"OddCode, HTTP 418\): see its documentation"),
        s3_errors.translated(),
    ):
        raise answer("OddCode", 418)


def test_code_that_has_nothing_to_do_with_erasing_keeps_its_remedy() -> None:
    with pytest.raises(StoreRefusedError, match="OddCode") as raised, s3_errors.translated_erasing():
        raise answer("OddCode", 418)
    assert "erase" not in str(raised.value)


def test_server_whose_answers_are_not_those_of_a_store_is_named_as_such() -> None:
    with pytest.raises(StoreError, match="object store"), s3_errors.translated():
        raise ResponseParserError("no XML")
    with pytest.raises(StoreError, match="object store"):
        require_etag({})
    with pytest.raises(StoreUnavailableError, match="disappeared"):
        raise_exists(None, size=1, sha256="")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Limit the size of files; Python ignores the signal SIGXFSZ, so that writing raises an error."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_line_that_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonLinesSink("file", path)
    sink.deliver([event("first")])
    before = path.read_bytes()
    with files_of_at_most(len(before) + 10), pytest.raises(SinkUnavailableError, match="cannot be appended"):
        sink.deliver([event("second")])
    assert path.read_bytes() == before
    sink.close()


def test_dkim_needs_its_packages_and_a_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert published_keys() is not None

    def unconfigured(*_: object, **__: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver, "Resolver", unconfigured)
    with pytest.raises(StartError, match="no name server"):
        published_keys()
    monkeypatch.delitem(sys.modules, "ingest.adapters.dkim.keys", raising=False)
    monkeypatch.delitem(sys.modules, "ingest.adapters.dkim.resolver", raising=False)
    monkeypatch.setitem(sys.modules, "dns.resolver", None)
    with pytest.raises(StartError, match=r"mailhaul\[dkim\]"):
        published_keys()


@pytest.mark.parametrize("tls", [False, True])
def test_address_of_sentinels_makes_connections_to_the_primary_that_they_name(*, tls: bool) -> None:
    scheme = "rediss" if tls else "redis"
    connection = RedisConnection(f"{scheme}+sentinel://user:p@h1:1,h2:2/service/3", "mailhaul")
    pool = connection._pool
    assert isinstance(pool, SentinelConnectionPool)
    assert [one.connection_pool.connection_kwargs["port"] for one in pool.sentinel_manager.sentinels] == [1, 2]
    assert (pool.connection_kwargs["db"], pool.connection_kwargs["username"]) == (3, "user")
    connection.close()


@pytest.mark.parametrize("tls", [False, True])
def test_address_of_a_cluster_makes_connections_that_log_in_to_its_nodes(*, tls: bool) -> None:
    scheme = "rediss" if tls else "redis"
    connection = RedisConnection(f"{scheme}+cluster://user:p@h1:1,h2:2?ssl_ca_certs=/ca.pem", "mailhaul")
    made: Any = connection._pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py has no types here
    assert isinstance(made, SSLConnection) is tls
    assert getattr(made, "ca_certs", None) == ("/ca.pem" if tls else None)
    assert (made.username, made.password) == ("user", "p")
    connection.close()
