"""Object Lock on a real S3 server: what is locked, what that forbids, and that it is known beforehand."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ingest.adapters.stores import open_store
from ingest.adapters.stores.metered import MeteredStore
from ingest.domain.keys import Layout
from ingest.domain.retention import Lock, Period
from ingest.errors import ConfigError, ObjectExistsError, StoreRefusedError
from ingest.metrics import Metrics
from ingest.ports.store import Protected
from tests.support.s3 import require_locks
from tests.support.stores import put, read, stored_keys
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

    from ingest.adapters.stores.s3 import S3Store
    from tests.support.s3 import S3Server

FOLDER = f"mail/box/2026/11/23/{'0a' * 16}"
RAW, DOCUMENT, MANIFEST = f"{FOLDER}/raw.eml", f"{FOLDER}/attachments/2-i.pdf", f"{FOLDER}/message.json"
NOW = datetime(2026, 11, 27, 16, 0, 0, 500_000, tzinfo=UTC)
TEN_YEARS = Lock("compliance", Period(years=10))
MIB = 2**20


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    """A bucket with Object Lock, and so with versions."""
    require_locks()
    return s3_server.make_bucket(f"locks-{uuid.uuid4().hex}", versions=True)


@pytest.fixture
def client(s3_server: S3Server) -> Iterator[S3Client]:
    made = s3_server.client()
    yield made
    made.close()


# Seconds. A server refuses a lock that has ended when the object reaches it, as on a busy machine it soon has.
SOON = 6


def locked_for(server: S3Server, bucket: str, seconds: float, **options: Any) -> S3Store:
    """A store whose locks end that soon."""
    return server.open(bucket, lock=Lock("compliance", Period(seconds=seconds)), **options)


@pytest.mark.parametrize("size", [5_000, 2 * MIB, 6 * MIB])
@pytest.mark.parametrize("mode", ["governance", "compliance"])
def test_raw_mail_and_documents_are_locked_and_nothing_else(
    s3_server: S3Server, client: S3Client, bucket: str, size: int, mode: Any
) -> None:
    """Sent directly, by boto3, and in parts."""
    lock = Lock(mode, Period(years=10, seconds=86_400))
    store = s3_server.open(bucket, lock=lock, now=lambda: NOW, single_bytes=4 * MIB, part_bytes=5 * MIB, tags=True)
    content = b"x" * size
    statement = Layout("mail").statement("box", NOW.date())
    all_kinds = {
        RAW: "raw",
        DOCUMENT: "document",
        f"{FOLDER}/body.txt": "body",
        MANIFEST: "manifest",
        "mail/box/_state/seen": "state",
        statement: "statement",
    }
    for key in all_kinds:
        put(store, key, content)
    for key in (RAW, DOCUMENT, statement):
        found = client.get_object_retention(Bucket=bucket, Key=key)["Retention"]
        assert found["Mode"] == mode.upper()
        assert found["RetainUntilDate"] == datetime(2036, 11, 28, 16, 0, 1, tzinfo=UTC)
    assert [found.key for found in store.protected(FOLDER)] == [DOCUMENT, RAW]
    for key, kind in all_kinds.items():
        (tag,) = client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        assert (tag["Key"], tag["Value"]) == ("mailhaul-kind", kind)


def test_locked_object_cannot_be_erased(s3_server: S3Server, bucket: str) -> None:
    store = s3_server.open(bucket, lock=TEN_YEARS)
    begun = datetime.now(UTC)
    put(store, RAW, b"mail")
    (found,) = MeteredStore(store, Metrics()).protected(FOLDER)
    assert (found.key, found.until is not None) == (RAW, True)
    ends = TEN_YEARS.retain.after(begun).timestamp()
    assert ends <= (found.until or 0) <= ends + PATIENCE
    with pytest.raises(StoreRefusedError, match="Object Lock"):
        store.erase(FOLDER)
    assert read(store, RAW) == b"mail"


def test_object_can_be_erased_once_its_lock_has_ended(s3_server: S3Server, bucket: str) -> None:
    store, begun = locked_for(s3_server, bucket, SOON), time.time()
    put(store, RAW, b"mail")
    eventually(lambda: not store.protected(FOLDER))
    assert time.time() >= begun + SOON
    assert store.erase(FOLDER) == 1
    assert stored_keys(store, "") == []


def test_storing_the_same_again_neither_fails_nor_shortens_the_lock(
    s3_server: S3Server, client: S3Client, bucket: str
) -> None:
    put(s3_server.open(bucket, lock=TEN_YEARS, now=lambda: NOW), RAW, b"mail", only_if_absent=True)
    shorter = s3_server.open(bucket, lock=Lock("governance", Period(seconds=3600)))
    for _ in range(2):
        with pytest.raises(ObjectExistsError):
            put(shorter, RAW, b"mail", only_if_absent=True)
    put(shorter, RAW, b"mail")  # what processes again, such as documents, writes a new version
    versions = client.list_object_versions(Bucket=bucket, Prefix=RAW)["Versions"]
    found = [
        client.get_object_retention(Bucket=bucket, Key=RAW, VersionId=version["VersionId"])["Retention"]["Mode"]
        for version in versions
    ]
    assert found == ["GOVERNANCE", "COMPLIANCE"]
    assert max(found.until or 0 for found in shorter.protected(FOLDER)) > (NOW + timedelta(days=3650)).timestamp()


def test_what_purge_leaves_is_not_locked(s3_server: S3Server, bucket: str) -> None:
    store = s3_server.open(bucket, lock=TEN_YEARS)
    put(store, RAW, b"")
    put(store, MANIFEST, b"{}")
    assert store.protected(FOLDER) == []
    assert store.erase(FOLDER, [MANIFEST]) == 1


def test_legal_hold_of_the_store_is_set_and_removed(s3_server: S3Server, bucket: str) -> None:
    store = locked_for(s3_server, bucket, SOON)
    for key in (RAW, DOCUMENT, MANIFEST):
        put(store, key, b"mail")
    assert MeteredStore(store, Metrics()).set_legal_hold(FOLDER, on=True) == 3
    held = [Protected(DOCUMENT, None), Protected(MANIFEST, None), Protected(RAW, None)]
    assert store.protected(FOLDER) == held
    assert s3_server.open(bucket).protected(FOLDER) == held  # whoever asks
    assert store.set_legal_hold(FOLDER, on=False) == 3
    eventually(lambda: not store.protected(FOLDER))
    assert s3_server.open(bucket).set_legal_hold(FOLDER, on=True) == 0  # where no lock is configured
    assert store.protected(FOLDER) == []


def test_bucket_without_object_lock_is_reported(s3_server: S3Server, bucket: str, client: S3Client) -> None:
    plain = s3_server.make_bucket(f"plain-{uuid.uuid4().hex}")
    assert s3_server.open(plain).describe_lock() == ""
    put(s3_server.open(plain), RAW, b"mail")
    assert s3_server.open(plain).protected(FOLDER) == []
    with pytest.raises(StoreRefusedError, match="has no Object Lock"):
        s3_server.open(plain, lock=TEN_YEARS).describe_lock()
    with pytest.raises(StoreRefusedError):
        put(s3_server.open(plain, lock=TEN_YEARS), RAW, b"mail 2")

    locked = MeteredStore(s3_server.open(bucket, lock=TEN_YEARS), Metrics())
    assert locked.describe_lock().startswith("Object Lock in mode compliance for raw mail and documents, no default")
    default: Any = {"Mode": "GOVERNANCE", "Days": 30}
    client.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": default}}
    )
    assert locked.describe_lock().endswith("the bucket's own default: governance for 30 days")
    assert "the bucket has Object Lock" in s3_server.open(bucket).describe_lock()


def test_missing_permission_to_see_locks_is_named(s3_server: S3Server, bucket: str) -> None:
    store = s3_server.open(bucket, s3_server.stranger, lock=TEN_YEARS)
    for ask in (lambda: store.protected(FOLDER), store.describe_lock):
        with pytest.raises(StoreRefusedError, match="s3:GetBucketObjectLockConfiguration"):
            ask()


def test_earlier_versions_of_one_object_are_erased(s3_server: S3Server, client: S3Client, bucket: str) -> None:
    store = s3_server.open(bucket)
    for key, content in ((RAW, b"mail"), (f"{RAW}2", b"other"), (f"{RAW}2", b"other"), (RAW, b"")):
        put(store, key, content)
    assert MeteredStore(store, Metrics()).erase_versions(RAW) == 1
    left = client.list_object_versions(Bucket=bucket)["Versions"]
    assert sorted((version["Key"], version["Size"]) for version in left) == [(RAW, 0), (f"{RAW}2", 5), (f"{RAW}2", 5)]


@pytest.mark.parametrize("url", ["file:///tmp/x", "gs://bucket", "az://account/container"])
def test_other_stores_are_not_opened_with_a_lock(url: str) -> None:
    with pytest.raises(ConfigError, match="lock"):
        open_store(url, lock=TEN_YEARS)
