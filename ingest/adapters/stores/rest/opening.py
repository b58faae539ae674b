"""Open the stores of this package, with the credentials that are configured."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ingest.adapters.stores.rest.azure import AzureApi
from ingest.adapters.stores.rest.gcs import ENDPOINT, GcsApi
from ingest.adapters.stores.rest.http import HttpClient, Limits
from ingest.adapters.stores.rest.signers import BearerSigner, SasSigner, SharedKeySigner, Unsigned
from ingest.adapters.stores.rest.store import RestStore
from ingest.adapters.stores.rest.tokens import azure_tokens, google_tokens
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.adapters.stores.rest.http import Signer

# Sovereign clouds and emulators are written as `endpoint`.
_AZURE = "https://{}.blob.core.windows.net"
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")


def open_gcs(
    bucket: str,
    *,
    endpoint: str | None = None,
    kms_key: str | None = None,
    credentials: Callable[[], str] | None = None,
    limits: Limits | None = None,
    **options: Any,
) -> RestStore:
    """Return the store for a bucket of Google Cloud Storage.

    Args:
        bucket: name of an existing bucket.
        endpoint: URL of the server; Google's if None. No credentials are sent over `http://`, as to emulators.
        kms_key: `projects/…/cryptoKeys/…` to encrypt with; else the bucket's default.
        credentials: see `google_tokens`.
        limits: of each request.
        options: of `HttpClient`.
    """
    where = endpoint or ENDPOINT
    signer: Signer = BearerSigner(google_tokens(credentials)) if _is_secret(where) else Unsigned()
    return RestStore(GcsApi(bucket, kms_key), HttpClient(where, signer, limits or Limits(), **options))


def open_azure(
    account: str,
    container: str,
    *,
    endpoint: str | None = None,
    account_key: Callable[[], str] | None = None,
    sas_token: Callable[[], str] | None = None,
    limits: Limits | None = None,
    **options: Any,
) -> RestStore:
    """Return the store for a container of Azure Blob Storage.

    Args:
        account: of the storage.
        container: name of an existing container.
        endpoint: URL of the account's blob service; that of the public cloud if None.
        account_key: returns an account key, in base64.
        sas_token: returns a SAS token. Without it and a key, access tokens are used: see `azure_tokens`.
        limits: of each request.
        options: of `HttpClient`.

    Raises:
        ConfigError: the account has no valid name, or an access token would be sent over `http://`.
    """
    if not _ACCOUNT.fullmatch(account):
        raise ConfigError([f"store: {account!r} is no storage account: it has 3 to 24 small letters and digits"])
    where = endpoint or _AZURE.format(account)
    signer: Signer
    if account_key is not None:
        signer = SharedKeySigner(account, urlsplit(where).path, account_key)
    elif sas_token is not None:
        signer = SasSigner(sas_token)
    elif _is_secret(where):
        signer = BearerSigner(azure_tokens())
    else:
        raise ConfigError(["store: access tokens are not sent over http://: write https://, or `account_key`"])
    return RestStore(AzureApi(account, container), HttpClient(where, signer, limits or Limits(), **options))


def _is_secret(endpoint: str) -> bool:
    return urlsplit(endpoint).scheme == "https"
