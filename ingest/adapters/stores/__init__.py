"""Object stores, opened by URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ingest.adapters.stores.folder import FolderStore
from ingest.adapters.stores.transfer import segments
from ingest.errors import ConfigError, StoreRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.ports.store import Store

__all__ = ["open_store"]

_FORMS = "write s3://bucket/prefix or file:///absolute/folder"


def open_store(
    url: str,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    path_style: bool = False,
    kms_key: str | None = None,
    keys: Callable[[], tuple[str, str] | None] = lambda: None,
) -> tuple[Store, str]:
    """Return the store that a URL names, and the prefix of all its keys (without outer slashes, may be empty).

    Nothing is connected or created yet. All arguments but the first are for `s3://`; see `S3Store`.

    Args:
        url: `s3://bucket/prefix`, the prefix not URL-encoded, or `file:///folder`, with `%` URL-encoded.
        endpoint: see `S3Store`, like all that follow.
        region: the server's region.
        path_style: put the bucket into the path.
        kms_key: encryption key.
        keys: returns access key and secret key, or None.

    Raises:
        ConfigError: the URL has neither form.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "file":
        return _open_folder(rest), ""
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ConfigError([f"store: {url!r} is not the address of a store: {_FORMS}"])
    # Imported here because boto3 takes 40 MB and half a second, which a folder does not need.
    from ingest.adapters.stores.s3 import S3Store  # noqa: PLC0415

    store = S3Store(
        bucket,
        endpoint=endpoint,
        region=region,
        path_style=path_style,
        kms_key=kms_key,
        keys=keys,
    )
    return store, _checked_prefix(prefix.strip("/"))


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
