"""Credentials of requests: account keys and SAS tokens of Azure, and access tokens."""

from __future__ import annotations

import base64
import binascii
import hmac
import threading
import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from typing_extensions import override

from ingest.adapters.stores.rest.http import Signer
from ingest.errors import ConfigError, StoreRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ingest.adapters.stores.rest.messages import Request

# Of what is signed, in this order; `content-length` comes after the second one, and is left out if it is 0.
_SIGNED_BEFORE = ("content-encoding", "content-language")
_SIGNED_AFTER = (
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
# Seconds before its end that a token counts as expired: for a request, and for clocks that differ.
_MARGIN = 240.0


class Unsigned(Signer):
    """Requests without credentials, for emulators."""

    @override
    def sign(self, request: Request, length: int | None) -> tuple[str, Mapping[str, str]]:
        return request.target, request.headers

    @override
    def renew(self) -> bool:
        return False


class SharedKeySigner(Signer):
    """Signs with an account key: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key.

    Args:
        account: of the storage.
        path: that of the endpoint, which stands before that of each request; empty but for emulators.
        key: returns the account key, in base64; it is called for each request, so that a rotated key is used at once.
        clock: seconds since 1970.
    """

    def __init__(
        self, account: str, path: str, key: Callable[[], str], clock: Callable[[], float] = time.time
    ) -> None:
        self._account, self._path, self._key, self._clock = account, path.rstrip("/"), key, clock

    @override
    def sign(self, request: Request, length: int | None) -> tuple[str, Mapping[str, str]]:
        headers = {**request.headers, "x-ms-date": formatdate(self._clock(), usegmt=True)}
        text = string_to_sign(request.method, self._account, self._path + request.target, headers, length or 0)
        try:
            key = base64.b64decode(read_secret(self._key), validate=True)
        except binascii.Error:
            raise StoreRefusedError("the store's `account_key` is not base64: copy it again") from None
        signature = base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()
        return request.target, {**headers, "authorization": f"SharedKey {self._account}:{signature}"}

    @override
    def renew(self) -> bool:
        return False


def string_to_sign(method: str, account: str, target: str, headers: Mapping[str, str], length: int) -> str:
    """Return what is signed of a request; `headers` has names in lower case, `target` is path and query."""
    parts = urlsplit(target)
    before, after = ([headers.get(name, "") for name in names] for names in (_SIGNED_BEFORE, _SIGNED_AFTER))
    lines = [method, *before, str(length or ""), *after]
    lines += [f"{name}:{headers[name].strip()}" for name in sorted(headers) if name.startswith("x-ms-")]
    query = sorted(parse_qsl(parts.query, keep_blank_values=True))
    return "\n".join([*lines, f"/{account}{parts.path}", *(f"{name}:{value}" for name, value in query)])


class SasSigner(Signer):
    """Appends a SAS token (shared access signature) to the query; `token` is called for each request."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    @override
    def sign(self, request: Request, length: int | None) -> tuple[str, Mapping[str, str]]:
        joint = "&" if "?" in request.target else "?"
        return f"{request.target}{joint}{read_secret(self._token).lstrip('?')}", request.headers

    @override
    def renew(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Token:
    """An access token; `expires` is seconds since 1970."""

    value: str
    expires: float


class BearerSigner(Signer):
    """Sends an access token, which is fetched again shortly before it expires, or after the server rejected it.

    Args:
        fetch: returns a new token; raises `StoreError`.
        clock: seconds since 1970.
    """

    def __init__(self, fetch: Callable[[], Token], clock: Callable[[], float] = time.time) -> None:
        self._fetch, self._clock = fetch, clock
        self._lock = threading.Lock()
        self._token: Token | None = None

    @override
    def sign(self, request: Request, length: int | None) -> tuple[str, Mapping[str, str]]:
        with self._lock:
            if self._token is None or self._token.expires - _MARGIN <= self._clock():
                self._token = self._fetch()
            token = self._token
        return request.target, {**request.headers, "authorization": f"Bearer {token.value}"}

    @override
    def renew(self) -> bool:
        with self._lock:
            self._token = None
        return True


def read_secret(read: Callable[[], str]) -> str:
    """Return a secret.

    Raises:
        StoreRefusedError: it cannot be read.
    """
    try:
        return read()
    except ConfigError as error:
        raise StoreRefusedError(f"the store's credentials cannot be read: {error}") from error
