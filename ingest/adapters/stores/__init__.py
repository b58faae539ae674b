"""Object stores, opened by URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ingest.adapters.stores.folder import FolderStore
from ingest.adapters.stores.transfer import segments
from ingest.errors import ConfigError, StoreRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ingest.domain.retention import Lock
    from ingest.ports.store import Store

__all__ = ["open_store"]

_FORMS = "write s3://bucket/prefix, gs://bucket/prefix, az://account/container/prefix or file:///absolute/folder"
_BUCKETS = frozenset({"s3", "gs", "az"})


def open_store(
    url: str,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    path_style: bool = False,
    kms_key: str | None = None,
    keys: Callable[[], tuple[str, str] | None] = lambda: None,
    lock: Lock | None = None,
    tags: bool = False,
    secrets: Mapping[str, Callable[[], str]] | None = None,
) -> tuple[Store, str]:
    """Return the store that a URL names, and the prefix of all its keys (without outer slashes, may be empty).

    Nothing is connected or created yet.

    Args:
        url: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://account/container/prefix`, the prefix not
            URL-encoded, or `file:///folder`, with `%` URL-encoded.
        endpoint: URL of the server, if it is not the provider's.
        region: the server's region, for `s3://`.
        path_style: put the bucket into the path, for `s3://`.
        kms_key: encryption key, for `s3://` and `gs://`.
        keys: returns access key and secret key, or None, for `s3://`.
        lock: the Object Lock that raw mail, documents and statements get, for `s3://`.
        tags: tag new objects with what they are, for `s3://`.
        secrets: functions that return `credentials` for `gs://`, `account_key` or `sas_token` for `az://`, where they
            are configured.

    Raises:
        ConfigError: the URL has none of these forms.
    """
    scheme, _, rest = url.partition("://")
    if scheme != "s3" and (lock is not None or tags):
        raise ConfigError([f"store: lock and tags are for s3:// only, not for {scheme}://"])
    if scheme == "file":
        return _open_folder(rest), ""
    bucket, _, prefix = rest.partition("/")
    container, _, within = prefix.partition("/")
    if scheme not in _BUCKETS or not bucket or (scheme == "az" and not container):
        raise ConfigError([f"store: {url!r} is not the address of a store: {_FORMS}"])
    prefix = _checked_prefix((within if scheme == "az" else prefix).strip("/"))
    secrets = secrets or {}
    store: Store
    if scheme == "gs":
        # Imported here, like the others, because only one of them is needed.
        from ingest.adapters.stores.rest.opening import open_gcs  # noqa: PLC0415

        store = open_gcs(bucket, endpoint=endpoint, kms_key=kms_key, credentials=secrets.get("credentials"))
    elif scheme == "az":
        from ingest.adapters.stores.rest.opening import open_azure  # noqa: PLC0415

        key, token = secrets.get("account_key"), secrets.get("sas_token")
        store = open_azure(bucket, container, endpoint=endpoint, account_key=key, sas_token=token)
    else:
        # boto3 takes 40 MB and half a second.
        from ingest.adapters.stores.s3 import S3Store  # noqa: PLC0415

        store = S3Store(
            bucket,
            endpoint=endpoint,
            region=region,
            path_style=path_style,
            kms_key=kms_key,
            keys=keys,
            lock=lock,
            tags=tags,
        )
    return store, prefix


def _open_folder(rest: str) -> FolderStore:
    path = Path(unquote(rest))
    if not path.is_absolute() or ".." in path.parts:
        raise ConfigError([f"store: 'file://{rest}' names no absolute folder: {_FORMS}"])
    return FolderStore(path)


def _checked_prefix(prefix: str) -> str:
    if prefix:
        try:
            segments(prefix)
        except StoreRefusedError as error:
            raise ConfigError([f"store: the prefix {prefix!r} cannot be used: {error}"]) from error
    return prefix
