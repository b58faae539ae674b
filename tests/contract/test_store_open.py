"""Which store a URL names, and how its requests are counted."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.stores import open_store
from ingest.adapters.stores.folder import FolderStore
from ingest.adapters.stores.memory import MemoryStore
from ingest.adapters.stores.metered import MeteredStore
from ingest.adapters.stores.rest.store import RestStore
from ingest.adapters.stores.s3 import S3Store
from ingest.errors import ConfigError, ObjectExistsError, ObjectMissingError, StoreRefusedError, StoreUnavailableError
from ingest.metrics import Metrics
from tests.support.stores import stored_keys

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://invoices", "invoices", ""),
        ("s3://invoices/", "invoices", ""),
        ("s3://invoices/mail/in/", "invoices", "mail/in"),
        ("gs://invoices", "invoices", ""),
        ("gs://invoices/mail/in/", "invoices", "mail/in"),
        ("az://account/invoices", "account/invoices", ""),
        ("az://account/invoices/mail/in/", "account/invoices", "mail/in"),
        ("s3://invoices/a b#?%41", "invoices", "a b#?%41"),
    ],
)
def test_url_is_bucket_and_prefix(url: str, bucket: str, prefix: str) -> None:
    secrets = {"account_key": lambda: "key"}
    store, found = open_store(url, endpoint="http://127.0.0.1:1", keys=lambda: ("key", "secret"), secrets=secrets)
    assert isinstance(store, S3Store if url.startswith("s3:") else RestStore)
    assert (store.bucket, found) == (bucket, prefix)


@pytest.mark.parametrize(
    ("url", "folder"), [("file:///var/lib/mailhaul", "/var/lib/mailhaul"), ("file:///a%20b/ü/", "/a b/ü")]
)
def test_file_url_is_a_folder(url: str, folder: str) -> None:
    store, prefix = open_store(url)
    assert isinstance(store, FolderStore)
    assert (store.bucket, prefix) == (Path(folder).as_uri(), "")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3:",
        "s3://",
        "s3:///key",
        "file://",
        "file://relative/dir",
        "file:///a/../b",
        "/a",
        "gs://",
        "az://account",
        "az://account/",
        "az://account//prefix",
        "az://No Account/container",
        "s3://b/a//c",
    ],
)
def test_other_urls_are_config_errors(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^store: "):
        open_store(url)


def test_opening_touches_nothing(tmp_path: Path) -> None:
    open_store(f"file://{tmp_path}/store")
    assert list(tmp_path.iterdir()) == []


# --- metered -------------------------------------------------------------------------------------------------------


class Fault:
    """Raises what a test wants."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def __call__(self, operation: str, key: str) -> None:
        if self.error:
            raise self.error


@pytest.fixture
def fault() -> Fault:
    return Fault()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def store(fault: Fault, metrics: Metrics) -> MeteredStore:
    return MeteredStore(MemoryStore("bucket", fault), metrics)


def put(store: MeteredStore, *, only_if_absent: bool = False) -> None:
    digest = hashlib.sha256(b"bytes").hexdigest()
    store.put("a", io.BytesIO(b"bytes"), size=5, sha256=digest, content_type="a/b", only_if_absent=only_if_absent)


def counted(metrics: Metrics) -> dict[tuple[str, str], float]:
    """What was counted; the histogram has to agree."""
    found: dict[tuple[str, str], float] = {}
    for name in ("store_requests_total", "store_request_duration_seconds_count"):
        samples = [sample for family in metrics.registry.collect() for sample in family.samples]
        values = {
            (sample.labels["operation"], sample.labels["result"]): sample.value
            for sample in samples
            if sample.name == f"mailhaul_{name}" and sample.value
        }
        assert not found or found == values
        found = values
    return found


def test_each_request_is_counted_by_operation_and_result(store: MeteredStore, metrics: Metrics) -> None:
    assert store.bucket == "bucket"
    put(store)
    with pytest.raises(ObjectExistsError):
        put(store, only_if_absent=True)
    with store.open("a") as body:
        assert body.read() == b"bytes"
    with pytest.raises(ObjectMissingError), store.open("b"):
        pass
    assert store.stat("a")
    assert store.stat("b") is None
    assert stored_keys(store, "") == ["a"]
    store.delete("a")
    assert store.erase("a") == 0
    assert counted(metrics) == dict.fromkeys(
        [
            ("put", "ok"),
            ("put", "exists"),
            ("get", "ok"),
            ("get", "missing"),
            ("stat", "ok"),
            ("stat", "missing"),
            ("list", "ok"),
            ("delete", "ok"),
            ("erase", "ok"),
        ],
        1,
    )


@pytest.mark.parametrize(
    ("error", "result"), [(StoreUnavailableError("away"), "unavailable"), (StoreRefusedError("no"), "refused")]
)
def test_failures_are_counted_and_passed_on(
    store: MeteredStore, metrics: Metrics, fault: Fault, error: Exception, result: str
) -> None:
    fault.error = error
    calls: list[Callable[[], object]] = [
        lambda: put(store),
        lambda: store.open("a").__enter__(),
        lambda: store.stat("a"),
        lambda: store.delete("a"),
        lambda: store.erase("a"),
        lambda: stored_keys(store, ""),
    ]
    for call in calls:
        with pytest.raises(type(error)):
            call()
    assert counted(metrics) == {(name, result): 1 for name in ("put", "get", "stat", "delete", "erase", "list")}


def test_get_that_fails_while_read_is_not_counted_as_ok(store: MeteredStore, metrics: Metrics) -> None:
    put(store)
    with pytest.raises(StoreUnavailableError), store.open("a"):
        raise StoreUnavailableError
    assert counted(metrics) == {("put", "ok"): 1, ("get", "unavailable"): 1}
