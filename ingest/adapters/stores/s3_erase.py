"""Erase objects of a bucket for good: in a versioned bucket a plain DELETE only hides an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ingest.adapters.stores.s3_errors import is_missing, not_a_store, not_understood

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from types_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class _Version:
    """One version of an object, or the marker that hides it.

    Attributes:
        id: None if the server has no versions.
        latest: whether readers get this version.
    """

    key: str
    id: str | None
    latest: bool


def erase(client: S3Client, bucket: str, prefix: str, keep: Collection[str]) -> int:
    """Remove every version of the objects whose key begins with `prefix`; of those in `keep` all but the latest.

    One request each: servers differ in the checksum that DeleteObjects must carry, and its answer hides refusals.
    Return how many were removed.

    Raises:
        ClientError, BotoCoreError: untranslated.
    """
    versions = [
        version for version in _versions(client, bucket, prefix) if not (version.latest and version.key in keep)
    ]
    # The latest last, so that no earlier version becomes visible if this is interrupted.
    for version in sorted(versions, key=lambda version: version.latest):
        _remove(client, bucket, version)
    return len(versions)


def _versions(client: S3Client, bucket: str, prefix: str) -> Iterable[_Version]:
    """List all versions, each once: a page may begin with the last entry of the page before."""
    try:
        return dict.fromkeys(_listed_versions(client, bucket, prefix))
    except ClientError as error:
        if not not_understood(error):
            raise
        return list(_listed_objects(client, bucket, prefix))  # Cloudflare R2 has no versions


def _listed_versions(client: S3Client, bucket: str, prefix: str) -> Iterator[_Version]:
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        _require_listing(page)
        for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            yield _Version(entry["Key"], entry["VersionId"], entry["IsLatest"])


def _listed_objects(client: S3Client, bucket: str, prefix: str) -> Iterator[_Version]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        _require_listing(page)
        for entry in page.get("Contents", ()):
            yield _Version(entry["Key"], None, latest=True)


def _require_listing(page: Mapping[str, Any]) -> None:
    if "IsTruncated" not in page:  # every listing has it, an empty one too
        raise not_a_store()


def _remove(client: S3Client, bucket: str, version: _Version) -> None:
    which: dict[str, Any] = {} if version.id is None else {"VersionId": version.id}
    try:
        client.delete_object(Bucket=bucket, Key=version.key, **which)
    except ClientError as error:
        if not is_missing(error):  # another process erased it
            raise
