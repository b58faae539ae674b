"""Erase objects of a bucket for good: in a versioned bucket a plain DELETE only hides an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ingest.adapters.stores.s3_errors import is_missing, not_a_store, not_understood

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from types_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, or the marker that hides it.

    Attributes:
        id: None if the server has no versions.
        latest: whether readers get this version.
        marker: whether it is the marker of a deletion, which is never locked.
    """

    key: str
    id: str | None
    latest: bool
    marker: bool = False


def erase(client: S3Client, bucket: str, prefix: str, keep: Collection[str]) -> int:
    """Remove every version of the objects whose key begins with `prefix`; of those in `keep` all but the latest.

    One request each: servers differ in the checksum that DeleteObjects must carry, and its answer hides refusals.
    Return how many were removed.

    Raises:
        ClientError, BotoCoreError: untranslated.
    """
    return _erase(client, bucket, prefix, lambda version: not (version.latest and version.key in keep))


def erase_versions(client: S3Client, bucket: str, key: str) -> int:
    """Remove every version of one object but the latest; returns and raises as `erase` does."""
    return _erase(client, bucket, key, lambda version: version.key == key and not version.latest)


def which(bucket: str, version: Version) -> dict[str, Any]:
    """Return boto3's arguments that name a version."""
    return {"Bucket": bucket, "Key": version.key} | ({} if version.id is None else {"VersionId": version.id})


def _erase(client: S3Client, bucket: str, prefix: str, wanted: Callable[[Version], bool]) -> int:
    versions = [version for version in versions_of(client, bucket, prefix) if wanted(version)]
    # The latest last, so that no earlier version becomes visible if this is interrupted.
    for version in sorted(versions, key=lambda version: version.latest):
        _remove(client, bucket, version)
    return len(versions)


def versions_of(client: S3Client, bucket: str, prefix: str) -> Iterable[Version]:
    """List all versions, each once: a page may begin with the last entry of the page before."""
    try:
        return dict.fromkeys(_listed_versions(client, bucket, prefix))
    except ClientError as error:
        if not not_understood(error):
            raise
        return list(_listed_objects(client, bucket, prefix))  # Cloudflare R2 has no versions


def _listed_versions(client: S3Client, bucket: str, prefix: str) -> Iterator[Version]:
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        _require_listing(page)
        for entry in page.get("Versions", ()):
            yield Version(entry["Key"], entry["VersionId"], entry["IsLatest"])
        for marker in page.get("DeleteMarkers", ()):
            yield Version(marker["Key"], marker["VersionId"], marker["IsLatest"], marker=True)


def _listed_objects(client: S3Client, bucket: str, prefix: str) -> Iterator[Version]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        _require_listing(page)
        for entry in page.get("Contents", ()):
            yield Version(entry["Key"], None, latest=True)


def _require_listing(page: Mapping[str, Any]) -> None:
    if "IsTruncated" not in page:  # every listing has it, an empty one too
        raise not_a_store()


def _remove(client: S3Client, bucket: str, version: Version) -> None:
    try:
        client.delete_object(**which(bucket, version))
    except ClientError as error:
        if not is_missing(error):  # another process erased it
            raise
