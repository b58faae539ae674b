"""Erasing in a bucket that keeps versions: nothing of the content is left, nothing pretends to be gone."""

from __future__ import annotations

import hashlib
import io
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from ingest.adapters.stores.s3_erase import erase
from ingest.errors import StoreRefusedError
from tests.support.s3 import require_locks
from tests.support.stores import stored_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

    from ingest.adapters.stores.s3 import S3Store
    from tests.support.s3 import S3Server


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    return s3_server.make_bucket(f"versions-{uuid.uuid4().hex}", versions=True)


@pytest.fixture
def client(s3_server: S3Server) -> Iterator[S3Client]:
    made = s3_server.client()
    yield made
    made.close()


def put(store: S3Store, key: str, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    store.put(key, io.BytesIO(content), size=len(content), sha256=digest, content_type="text/plain")


def versions(client: S3Client, bucket: str) -> list[tuple[str, bool]]:
    """Key of each version and each marker, and whether it is the latest."""
    found = client.list_object_versions(Bucket=bucket)
    entries = [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]
    return [(entry["Key"], entry["IsLatest"]) for entry in entries]


def test_every_version_and_every_marker_goes(s3_server: S3Server, client: S3Client, bucket: str) -> None:
    store = s3_server.open(bucket)
    for key in ("box/m/a", "box/m/a", "box/m/deleted", "box/m/sub/b", "box/other"):
        put(store, key, key.encode())
    store.delete("box/m/deleted")
    assert len(versions(client, bucket)) == 6
    assert store.erase("box/m") == 5
    assert versions(client, bucket) == [("box/other", True)]


def test_kept_objects_keep_their_latest_version_only(s3_server: S3Server, client: S3Client, bucket: str) -> None:
    store = s3_server.open(bucket)
    for content in (b"secret", b"secret too", b"record"):
        put(store, "box/m/message.json", content)
    put(store, "box/m/raw.eml", b"secret")
    assert store.erase("box/m", keep=["box/m/message.json"]) == 3
    assert versions(client, bucket) == [("box/m/message.json", True)]
    with store.open("box/m/message.json") as body:
        assert body.read() == b"record"


def test_locked_objects_stay_and_are_reported(s3_server: S3Server, client: S3Client, bucket: str) -> None:
    require_locks()
    store = s3_server.open(bucket)
    put(store, "box/m/raw.eml", b"held")
    client.put_object_legal_hold(Bucket=bucket, Key="box/m/raw.eml", LegalHold={"Status": "ON"})
    with pytest.raises(StoreRefusedError, match="Object Lock or a legal hold"):
        store.erase("box/m")
    assert stored_keys(store, "") == ["box/m/raw.eml"]
    client.put_object_legal_hold(Bucket=bucket, Key="box/m/raw.eml", LegalHold={"Status": "OFF"})
    assert store.erase("box/m") == 1


def test_missing_permission_to_erase_is_named(s3_server: S3Server, bucket: str) -> None:
    with pytest.raises(StoreRefusedError, match="s3:DeleteObjectVersion"):
        s3_server.open(bucket, s3_server.stranger).erase("box/m")


@pytest.fixture
def stubbed() -> Iterator[tuple[S3Client, Stubber]]:
    """Answers as servers give them that cannot be had here."""
    keys: dict[str, Any] = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    made = boto3.session.Session().client("s3", region_name="us-east-1", **keys)
    with Stubber(made) as stubber:
        yield made, stubber
        stubber.assert_no_pending_responses()
    made.close()


def test_server_without_versions_lists_objects(stubbed: tuple[S3Client, Stubber]) -> None:
    client, stubber = stubbed
    where = {"Bucket": "b", "Prefix": "m/"}
    stubber.add_client_error("list_object_versions", "NotImplemented", http_status_code=501, expected_params=where)
    stubber.add_response(
        "list_objects_v2", {"IsTruncated": False, "Contents": [{"Key": "m/a"}, {"Key": "m/keep"}]}, where
    )
    stubber.add_response("delete_object", {}, {"Bucket": "b", "Key": "m/a"})
    assert erase(client, "b", "m/", ["m/keep"]) == 1


def test_latest_version_is_removed_last(stubbed: tuple[S3Client, Stubber]) -> None:
    """Also when another erases beside us."""
    client, stubber = stubbed
    listed = [{"Key": "m/a", "VersionId": id_, "IsLatest": id_ == "3"} for id_ in "321"]
    stubber.add_response(
        "list_object_versions", {"IsTruncated": False, "Versions": listed}, {"Bucket": "b", "Prefix": "m/"}
    )
    for id_ in "21":
        stubber.add_response("delete_object", {}, {"Bucket": "b", "Key": "m/a", "VersionId": id_})
    gone = {"Bucket": "b", "Key": "m/a", "VersionId": "3"}
    stubber.add_client_error("delete_object", "NoSuchVersion", http_status_code=404, expected_params=gone)
    assert erase(client, "b", "m/", []) == 3
