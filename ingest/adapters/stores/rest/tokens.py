"""Access tokens for Google Cloud Storage and Azure Blob Storage, from the providers' own libraries.

They know every way to get one: keys of service accounts, workload identity, instance metadata, managed identities,
and what the command lines of the providers leave behind.
"""

from __future__ import annotations

import calendar
import json
import time
from typing import TYPE_CHECKING, Any

from ingest.adapters.stores.rest.signers import Token, read_secret
from ingest.errors import StoreError, StoreRefusedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_GOOGLE_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_AZURE_SCOPE = "https://storage.azure.com/.default"
_SECONDS = 10
_GOOGLE_REMEDY = "configure `credentials`, or workload identity, or run `gcloud auth application-default login`"
_AZURE_REMEDY = (
    "configure `account_key` or `sas_token`, or a workload or managed identity (AZURE_CLIENT_ID says which), or run"
    " `az login`"
)


def google_tokens(credentials: Callable[[], str] | None) -> Callable[[], Token]:
    """Return a function that fetches a token.

    Args:
        credentials: returns the JSON of a service account's key, or of a workload identity federation; it is called
            for each token. Without it, Google's application default credentials are used.
    """

    def fetch() -> Token:
        from google.auth import exceptions  # noqa: PLC0415 - an extra
        from google.auth.transport.requests import Request  # noqa: PLC0415

        class Timed(Request):
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                seconds = min(kwargs.get("timeout") or _SECONDS, _SECONDS)
                return super().__call__(*args, **{**kwargs, "timeout": seconds})  # type: ignore[no-untyped-call]

        try:
            found = _google_credentials(credentials)
            found.refresh(Timed())
        except exceptions.DefaultCredentialsError as error:
            raise StoreRefusedError(f"no credentials for Google Cloud were found: {_GOOGLE_REMEDY}") from error
        except exceptions.TransportError as error:
            raise StoreUnavailableError("the server for Google's access tokens cannot be reached") from error
        except exceptions.GoogleAuthError as error:
            raise _refused("Google", error, retryable=bool(getattr(error, "retryable", False))) from error
        return Token(str(found.token), _timestamp(found.expiry))

    return fetch


def _google_credentials(read: Callable[[], str] | None) -> Any:
    import google.auth  # noqa: PLC0415 - an extra

    scopes = [_GOOGLE_SCOPE]
    if read is None:
        return google.auth.default(scopes=scopes)[0]
    try:
        return _loaded(json.loads(read_secret(read)), scopes)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise StoreRefusedError(
            "the store's `credentials` are not the JSON of a service account's key or a workload identity federation"
        ) from error


def _loaded(about: dict[str, Any], scopes: list[str]) -> Any:
    """Return credentials of the kinds that we accept; others would run programs, or belong to persons."""
    from google.auth import aws, identity_pool  # noqa: PLC0415 - an extra
    from google.oauth2 import service_account  # noqa: PLC0415

    if about["type"] == "service_account":
        return service_account.Credentials.from_service_account_info(about, scopes=scopes)  # type: ignore[no-untyped-call]
    if about["type"] != "external_account":
        raise ValueError
    kind = aws if about.get("subject_token_type", "").endswith("aws4_request") else identity_pool
    return kind.Credentials.from_info(about, scopes=scopes)


def _timestamp(expiry: Any) -> float:
    return time.time() + 300 if expiry is None else float(calendar.timegm(expiry.utctimetuple()))


def azure_tokens() -> Callable[[], Token]:
    """Return a function that fetches a token: for a workload or managed identity, or an application (`AZURE_*`)."""

    def fetch() -> Token:
        from azure.core.exceptions import AzureError, ClientAuthenticationError  # noqa: PLC0415 - an extra
        from azure.identity import CredentialUnavailableError, DefaultAzureCredential  # noqa: PLC0415

        try:
            with DefaultAzureCredential(
                retry_total=1, connection_timeout=_SECONDS, read_timeout=_SECONDS
            ) as credential:
                found = credential.get_token(_AZURE_SCOPE)
        except CredentialUnavailableError as error:
            raise StoreRefusedError(f"no credentials for Azure were found: {_AZURE_REMEDY}") from error
        except ClientAuthenticationError as error:
            # Also when none of the ways is configured; the library's text names tenants and files.
            raise StoreRefusedError(f"Azure issues no access token: {_AZURE_REMEDY}") from error
        except AzureError as error:
            raise StoreUnavailableError("the server for Azure's access tokens cannot be reached") from error
        return Token(found.token, float(found.expires_on))

    return fetch


def _refused(who: str, error: Exception, *, retryable: bool) -> StoreError:
    if retryable:
        return StoreUnavailableError(f"{who} issues no access token now ({type(error).__name__})")
    return StoreRefusedError(
        f"{who} issues no access token ({type(error).__name__}): check that the account exists and may be used here,"
        " and this machine's clock"
    )
