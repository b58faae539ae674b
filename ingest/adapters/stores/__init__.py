"""Object stores, opened by URL."""

from __future__ import annotations

from dataclasses import dataclass
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
    scheme, _, path = url.partition("://")
    if scheme != "s3" and (lock is not None or tags):
        raise ConfigError([f"store: lock and tags are for s3:// only, not for {scheme}://"])
    opener = _OPENERS.get(scheme)
    if opener is None:
        raise _no_store(url)
    secrets = secrets or {}
    return opener(path, _Options(endpoint, region, path_style, kms_key, keys, lock, tags, secrets))


@dataclass(frozen=True, slots=True)
class _Options:
    """The arguments of `open_store`."""

    endpoint: str | None
    region: str | None
    path_style: bool
    kms_key: str | None
    keys: Callable[[], tuple[str, str] | None]
    lock: Lock | None
    tags: bool
    secrets: Mapping[str, Callable[[], str]]


def _open_s3(path: str, options: _Options) -> tuple[Store, str]:
    # Imported here, like the others, because only one of them is needed. boto3 takes 40 MB and half a second.
    from ingest.adapters.stores.s3 import S3Store  # noqa: PLC0415

    bucket, prefix = _split("s3", path)
    store = S3Store(
        bucket,
        endpoint=options.endpoint,
        region=options.region,
        path_style=options.path_style,
        kms_key=options.kms_key,
        keys=options.keys,
        lock=options.lock,
        tags=options.tags,
    )
    return store, _checked_prefix(prefix)


def _open_gcs(path: str, options: _Options) -> tuple[Store, str]:
    from ingest.adapters.stores.rest.opening import open_gcs  # noqa: PLC0415

    bucket, prefix = _split("gs", path)
    prefix, credentials = _checked_prefix(prefix), options.secrets.get("credentials")
    return open_gcs(bucket, endpoint=options.endpoint, kms_key=options.kms_key, credentials=credentials), prefix


def _open_azure(path: str, options: _Options) -> tuple[Store, str]:
    from ingest.adapters.stores.rest.opening import open_azure  # noqa: PLC0415

    account, within = _split("az", path)
    container, _, prefix = within.partition("/")
    if not container:
        raise _no_store(f"az://{path}")
    prefix, key, token = _checked_prefix(prefix), options.secrets.get("account_key"), options.secrets.get("sas_token")
    return open_azure(account, container, endpoint=options.endpoint, account_key=key, sas_token=token), prefix


def _open_folder(path: str, _: _Options) -> tuple[Store, str]:
    folder = Path(unquote(path))
    if not folder.is_absolute() or ".." in folder.parts:
        raise ConfigError([f"store: 'file://{path}' names no absolute folder: {_FORMS}"])
    return FolderStore(folder), ""


_OPENERS: dict[str, Callable[[str, _Options], tuple[Store, str]]] = {
    "s3": _open_s3,
    "gs": _open_gcs,
    "az": _open_azure,
    "file": _open_folder,
}


def _split(scheme: str, path: str) -> tuple[str, str]:
    """Return the bucket or account, and what follows it."""
    first, _, rest = path.partition("/")
    if not first:
        raise _no_store(f"{scheme}://{path}")
    return first, rest


def _no_store(url: str) -> ConfigError:
    return ConfigError([f"store: {url!r} is not the address of a store: {_FORMS}"])


def _checked_prefix(prefix: str) -> str:
    prefix = prefix.strip("/")
    if prefix:
        try:
            segments(prefix)
        except StoreRefusedError as error:
            raise ConfigError([f"store: the prefix {prefix!r} cannot be used: {error}"]) from error
    return prefix
