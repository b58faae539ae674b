"""Erasing objects of a bucket for good: a bucket that keeps versions only hides what is deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ingest.adapters.stores.s3_errors import is_missing, not_understood

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from types_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class _Version:
    """One version of an object, or the marker that hides it.

    Attributes:
        id: None where the server knows no versions.
        latest: whether it is what a reader gets now.
    """

    key: str
    id: str | None
    latest: bool


def erase(client: S3Client, bucket: str, prefix: str, keep: Collection[str]) -> int:
    """Remove every version of the objects whose key begins so; of those in `keep` all but the latest.

    Each by a request of its own: servers differ in the checksum that DeleteObjects has to carry, and its answer hides
    refusals. Returns how many were removed.

    Raises:
        ClientError, BotoCoreError: as the server or botocore said it.
    """
    doomed = [
        version for version in _versions(client, bucket, prefix) if not (version.latest and version.key in keep)
    ]
    # The latest last, so that nothing comes to light again when this breaks off.
    for version in sorted(doomed, key=lambda version: version.latest):
        _remove(client, bucket, version)
    return len(doomed)


def _versions(client: S3Client, bucket: str, prefix: str) -> Iterable[_Version]:
    """All of them, each once: a page may begin with what the one before ended with."""
    try:
        return dict.fromkeys(_listed_versions(client, bucket, prefix))
    except ClientError as error:
        if not not_understood(error):
            raise
        return list(_listed_objects(client, bucket, prefix))  # as of Cloudflare R2, which keeps none


def _listed_versions(client: S3Client, bucket: str, prefix: str) -> Iterator[_Version]:
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            yield _Version(entry["Key"], entry["VersionId"], entry["IsLatest"])


def _listed_objects(client: S3Client, bucket: str, prefix: str) -> Iterator[_Version]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            yield _Version(entry["Key"], None, latest=True)


def _remove(client: S3Client, bucket: str, version: _Version) -> None:
    which: dict[str, Any] = {} if version.id is None else {"VersionId": version.id}
    try:
        client.delete_object(Bucket=bucket, Key=version.key, **which)
    except ClientError as error:
        if not is_missing(error):  # somebody else erases it too
            raise
