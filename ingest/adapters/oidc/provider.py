"""An identity provider that speaks OpenID Connect: authorization code flow with PKCE, through Authlib and joserfc.

Everything that it answers is hostile until it was checked: its size, its issuer, its signature, whom it is for.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode, urlsplit

from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]  # it has no types
from authlib.integrations.requests_client import OAuth2Session  # type: ignore[import-untyped]  # as above
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]  # as above
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from pydantic import BaseModel, ConfigDict, ValidationError

from ingest.adapters.oidc.logout_token import LoggedOut, logged_out
from ingest.adapters.oidc.transport import get_object, is_safe, reaching
from ingest.domain.claims import claim_of
from ingest.errors import ProviderUnavailableError, SignOnRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

# Seconds for which metadata and keys are used before they are asked for again; if that fails, they are used on.
_FRESH = 3600.0
# Seconds between two requests for the same, if the first one failed or a key is unknown: nobody outside decides how
# often the provider is asked.
_PAUSE = 10.0
# Seconds by which its clock may differ.
SKEW = 60
# Signatures with a key pair. Never `none`, and never HMAC, for which a public key would do as the secret.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
_MOST_KEYS = 100
# A code that was never issued; the answer to it tells whether the client is known.
_NO_CODE = "mailhaul-check"
# What the libraries raise for tokens and keys of unusual shapes.
_UNREADABLE = (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Client:
    """How Mailhaul is registered at a provider.

    Attributes:
        issuer: of the provider, exactly as it writes it.
        client_id: as registered there.
        scopes: what is asked for; `openid` among them.
        redirect_url: where the provider sends browsers back to.
        secret: reads the client's secret; None for a public client.
        ca_file: of certificates to trust instead of the system's.
    """

    issuer: str
    client_id: str
    scopes: tuple[str, ...]
    redirect_url: str
    secret: Callable[[], str] | None = field(default=None, repr=False)
    ca_file: str | None = None


class Metadata(BaseModel):
    """What a provider says of itself (OpenID Connect Discovery 1.0, section 3); what is not used is left out."""

    model_config = ConfigDict(frozen=True)

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]
    code_challenge_methods_supported: list[str] | None = None
    id_token_signing_alg_values_supported: list[str] = ["RS256"]
    authorization_response_iss_parameter_supported: bool = False


@dataclass(slots=True)
class _Kept:
    """What was asked for last, and when it was tried last."""

    value: Any = None
    fetched: float = float("-inf")
    tried: float = float("-inf")
    failure: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Provider:
    """A provider; threads may share it. Nothing is asked before the first login.

    Args:
        client: how Mailhaul is registered there.
        clock: monotonic, in seconds.
        now: returns seconds since 1970.
    """

    def __init__(self, client: Client, clock: Callable[[], float], now: Callable[[], float]) -> None:
        self.client = client
        self._clock, self._now = clock, now
        self._metadata, self._keys = _Kept(), _Kept()

    def metadata(self) -> Metadata:
        """Return what the provider says of itself.

        Raises:
            ProviderUnavailableError: it cannot be asked, or is another one.
        """
        found: Metadata = self._kept(self._metadata, self._discover)
        return found

    def authorization_url(self, state: str, nonce: str, verifier: str) -> str:
        """Return where a browser is sent to log in.

        Args:
            state: comes back with the browser.
            nonce: comes back in the token.
            verifier: proves that the code is redeemed by who asked for it (RFC 7636).

        Raises:
            ProviderUnavailableError: the provider cannot be asked.
        """
        with self._session() as session:
            endpoint = self.metadata().authorization_endpoint
            url, _ = session.create_authorization_url(endpoint, state=state, nonce=nonce, code_verifier=verifier)
        return str(url)

    def logout_url(self, back: str) -> str | None:
        """Return where a browser is sent to log out, and comes back from; None if the provider offers it not.

        Without the token of the login, which would stand in a URL: the provider asks the user instead.

        Raises:
            ProviderUnavailableError: the provider cannot be asked.
        """
        endpoint = self.metadata().end_session_endpoint
        if endpoint is None:
            return None
        query = urlencode({"client_id": self.client.client_id, "post_logout_redirect_uri": back})
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{query}"

    def require_issuer(self, issuer: str | None) -> None:
        """Check who sent a browser back (RFC 9207), so that no other provider's answer counts for one of this.

        Raises:
            SignOnRefusedError: another one, or nobody where this provider names itself.
            ProviderUnavailableError: the provider cannot be asked.
        """
        if issuer is None and not self.metadata().authorization_response_iss_parameter_supported:
            return
        if issuer != self.client.issuer:
            raise SignOnRefusedError("the answer is from another provider")

    def claims(self, code: str, verifier: str, nonce: str, wanted: str) -> dict[str, Any]:
        """Redeem a code for what the provider says of whoever logged in.

        Args:
            code: that the browser brought back; empty if the provider named an error instead.
            verifier: as in `authorization_url`.
            nonce: as there.
            wanted: a claim that is looked for in the provider's user info if it is not in the token.

        Raises:
            SignOnRefusedError: the code or the token is invalid.
            ProviderUnavailableError: the provider cannot be asked.
        """
        if not code:
            # The error is not quoted: whoever makes a link writes it.
            raise SignOnRefusedError("the identity provider did not log you in")
        answer = self._redeem(code, verifier)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise SignOnRefusedError("the provider sent no ID token; `openid` has to be among the scopes")
        access_token = answer.get("access_token")
        access_token = access_token if isinstance(access_token, str) else None
        claims = self._verified(token, nonce, access_token)
        if claim_of(claims, wanted) is None and access_token is not None:
            claims = {**self._userinfo(access_token, claims["sub"]), **claims}
        return claims

    def logged_out(self, token: str) -> LoggedOut:
        """Return whose sessions a logout token of the provider ends.

        Raises:
            ProviderUnavailableError: its keys cannot be fetched.
            SignOnRefusedError: the token is not the provider's, or no such token.
        """
        try:
            claims = dict(self._decoded(token).claims)
        except _UNREADABLE:
            raise SignOnRefusedError("the logout token is invalid (unreadable)") from None
        return logged_out(claims, self.client.issuer, self.client.client_id, self._now(), SKEW)

    def check(self) -> str:
        """Ask the provider for everything that a login needs; return what it offers.

        Raises:
            ProviderUnavailableError: it cannot be used.
            SignOnRefusedError: it does not know the client.
        """
        metadata = self.metadata()
        methods = metadata.code_challenge_methods_supported
        if methods is not None and "S256" not in methods:
            raise ProviderUnavailableError(f"{self.client.issuer} offers no PKCE with S256: enable it there")
        if not set(metadata.id_token_signing_alg_values_supported) & set(ALGORITHMS):
            raise ProviderUnavailableError(
                f"{self.client.issuer} signs with no algorithm that is accepted: choose RS256 or ES256"
            )
        keys = len(self._key_set().keys)
        self._check_client()
        logout = "logs out there too" if metadata.end_session_endpoint else "offers no logout"
        return f"answers; {keys} {'key' if keys == 1 else 'keys'}; knows the client; {logout}"

    def _check_client(self) -> None:
        try:
            self._redeem(_NO_CODE, _NO_CODE * 4)
        except _ClientRefusedError:
            raise SignOnRefusedError(
                f"{self.client.issuer} rejects the client: check `client_id` and `client_secret`; secrets expire"
            ) from None
        except SignOnRefusedError:
            pass  # of the code, which was to be expected

    def _discover(self) -> Metadata:
        where = f"{self.client.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            found = Metadata.model_validate(self._get(where))
        except ValidationError as error:
            missing = ", ".join(str(one["loc"][0]) for one in error.errors() if one["loc"]) or "everything"
            raise ProviderUnavailableError(
                f"{where} is no description of a provider: {missing} cannot be read"
            ) from None
        if found.issuer != self.client.issuer:
            raise ProviderUnavailableError(
                f"{where} is about another issuer, {found.issuer[:200]!r}: write `issuer` exactly like this"
            )
        endpoints = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri)
        for url in (*endpoints, found.userinfo_endpoint, found.end_session_endpoint):
            if url is not None and not is_safe(url, self.client.issuer):
                raise ProviderUnavailableError(f"{where} names an address that is not https")
        return found

    def _fetch_keys(self) -> KeySet:
        answer = self._get(self.metadata().jwks_uri)
        listed = answer.get("keys")
        keys = []
        for one in listed[:_MOST_KEYS] if isinstance(listed, list) else []:
            # A key that is not understood may be for another purpose.
            if isinstance(one, dict) and str(one.get("kty")) in _KEY_TYPES and one.get("use", "sig") == "sig":
                try:
                    keys += KeySet.import_key_set({"keys": [one]}).keys
                except _UNREADABLE:
                    continue
        if not keys:
            raise ProviderUnavailableError(f"{self.client.issuer} names no key with which it signs")
        return KeySet(keys)

    def _key_set(self, *, renew: bool = False) -> KeySet:
        found: KeySet = self._kept(self._keys, self._fetch_keys, renew=renew)
        return found

    def _verified(self, token: str, nonce: str, access_token: str | None) -> dict[str, Any]:
        try:
            decoded = self._decoded(token)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                {
                    "iss": {"essential": True, "value": self.client.issuer},
                    "aud": {"essential": True, "value": self.client.client_id},
                },
                {"nonce": nonce, "client_id": self.client.client_id, "access_token": access_token},
            )
            claims.validate(now=int(self._now()), leeway=SKEW)
        except _UNREADABLE as error:
            what = error.error if isinstance(error, JoseError) else "unreadable"
            raise SignOnRefusedError(f"the provider's ID token is invalid ({what})") from None
        found = dict(claims)
        if not isinstance(found["sub"], str) or not found["sub"]:
            raise SignOnRefusedError("the provider's ID token names nobody")
        return found

    def _decoded(self, token: str) -> jwt.Token:
        """Return a token whose signature is the provider's; raises one of `_UNREADABLE` for any other."""
        registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
        try:
            return jwt.decode(token, self._key_set(), registry=registry)
        except (InvalidKeyIdError, BadSignatureError):
            # The provider may have changed its keys.
            return jwt.decode(token, self._key_set(renew=True), registry=registry)

    def _userinfo(self, access_token: str, subject: str) -> dict[str, Any]:
        endpoint = self.metadata().userinfo_endpoint
        if endpoint is None:
            return {}
        found = self._get(endpoint, {"Authorization": f"Bearer {access_token}"})
        if found.get("sub") != subject:
            raise SignOnRefusedError("the provider's user info is about somebody else")
        return found

    def _redeem(self, code: str, verifier: str) -> dict[str, Any]:
        metadata = self.metadata()
        with reaching(self._session(), self.client.issuer, self.client.ca_file) as session:
            try:
                answer = session.fetch_token(
                    metadata.token_endpoint, grant_type="authorization_code", code=code, code_verifier=verifier
                )
            except AuthlibBaseError as error:
                if error.error in ("invalid_client", "unauthorized_client"):
                    raise _ClientRefusedError("the provider rejects the client") from None
                raise SignOnRefusedError("the provider refused the code") from None
            except TypeError:  # of a field in another type
                raise SignOnRefusedError("the provider's answer is no token") from None
        if not isinstance(answer, dict):
            raise SignOnRefusedError("the provider's answer is no token")
        return answer

    def _session(self) -> OAuth2Session:
        secret = None if self.client.secret is None else self.client.secret()
        methods = self.metadata().token_endpoint_auth_methods_supported
        method = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
        return OAuth2Session(
            self.client.client_id,
            secret,
            token_endpoint_auth_method="none" if secret is None else method,
            scope=" ".join(self.client.scopes),
            redirect_uri=self.client.redirect_url,
            code_challenge_method="S256",
        )

    def _get(self, url: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
        return get_object(url, headers or {}, self.client.issuer, self.client.ca_file)

    def _kept(self, kept: _Kept, ask: Callable[[], _T], *, renew: bool = False) -> _T:
        """Return what is kept, or ask for it: one thread at a time, seldom; if that fails, the last answer."""
        asked = self._clock()
        if kept.value is not None and not renew and asked - kept.fetched < _FRESH:
            return kept.value  # type: ignore[no-any-return]  # of this kind
        with kept.lock:
            now = self._clock()
            renewed = kept.fetched >= asked
            if not renewed and now - kept.tried >= _PAUSE:
                try:
                    kept.value, kept.fetched, kept.failure = ask(), now, ""
                except ProviderUnavailableError as error:
                    kept.failure = str(error)
                kept.tried = self._clock()
            if kept.value is None:
                raise ProviderUnavailableError(kept.failure)
            return kept.value  # type: ignore[no-any-return]  # as above


class _ClientRefusedError(SignOnRefusedError):
    """The provider does not know the client, or its secret."""

    code = "client_refused"
