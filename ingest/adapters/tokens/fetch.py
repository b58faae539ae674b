"""Fetch one access token (RFC 6749, RFC 7523), within a deadline."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]  # it has no types
from authlib.integrations.requests_client import (  # type: ignore[import-untyped]  # as above
    AssertionSession,
    OAuth2Session,
)
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from ingest.adapters.tokens.refusals import refused
from ingest.adapters.tokens.transport import reaching
from ingest.domain.grant import ClientCredentials, RefreshToken
from ingest.errors import MaildropAuthError, TokenUnavailableError

if TYPE_CHECKING:
    from ingest.domain.grant import Grant, ServiceAccount

SECONDS = 20.0
_LONGEST = 86_400.0
# RFC 6749 section 5.1 lets servers omit it; this is what the large providers use.
_USUAL = 3600.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A token and its lifetime in seconds. `refresh_token`: a new one if the server rotated it."""

    access_token: str = field(repr=False)
    lives: float
    refresh_token: str | None = field(default=None, repr=False)


def fetch(grant: Grant, seconds: float = SECONDS) -> Fetched:
    """Request a token.

    Args:
        grant: how to obtain one.
        seconds: for the request as a whole.

    Raises:
        MaildropAuthError: the grant is refused; the message says who has to do what.
        TokenUnavailableError: no answer in time, or an unusable one.
    """
    session = _session(grant)
    try:
        with reaching(session, grant, seconds):
            answer = _ask(session, grant)
    except AuthlibBaseError as error:
        raise refused(grant, error.error, error.description) from error
    return _read(grant, answer)


def _session(grant: Grant) -> Any:
    if isinstance(grant, ClientCredentials | RefreshToken):
        method = "none" if grant.client_secret is None else "client_secret_post"
        return OAuth2Session(
            grant.client_id, grant.client_secret, token_endpoint_auth_method=method, scope=grant.scope
        )
    issuer, key, key_id = _key(grant)
    return AssertionSession(
        token_endpoint=grant.token_url,
        issuer=issuer,
        subject=grant.subject,
        audience=grant.token_url,
        claims={"scope": grant.scope} if grant.scope else {},
        key=key,
        header={"alg": "RS256", "kid": key_id} if key_id else {"alg": "RS256"},
    )


def _ask(session: Any, grant: Grant) -> dict[str, Any]:
    if isinstance(grant, ClientCredentials):
        return dict(session.fetch_token(grant.token_url, grant_type="client_credentials"))
    if isinstance(grant, RefreshToken):
        return dict(session.refresh_token(grant.token_url, refresh_token=grant.refresh_token))
    return dict(session.refresh_token())


def _key(grant: ServiceAccount) -> tuple[str, RSAKey, str | None]:
    """Return issuer, private key and key id from a key file as Google issues it."""
    try:
        file = json.loads(grant.key)
        return str(file["client_email"]), RSAKey.import_key(file["private_key"]), file.get("private_key_id")
    except (ValueError, KeyError, TypeError, JoseError) as error:
        raise MaildropAuthError(
            "`auth.service_account` is not a service account key: it has to be the JSON file that Google issues, "
            "with client_email and private_key."
        ) from error


def _read(grant: Grant, answer: dict[str, Any]) -> Fetched:
    token, lives = answer.get("access_token"), _seconds(answer.get("expires_in", _USUAL))
    # RFC 6750 section 2.1: neither blanks nor control characters, which would break the login command.
    if not isinstance(token, str) or not (token.isascii() and token.isprintable()) or " " in token or not token:
        lives = 0.0
    if not lives > 0:
        raise TokenUnavailableError(
            f"{grant.token_url} answered without a usable token. The request is repeated later."
        )
    rotated = answer.get("refresh_token")
    return Fetched(str(token), lives, rotated if isinstance(rotated, str) and rotated else None)


def _seconds(written: object) -> float:
    """Return the lifetime of a token; some servers write the number as text."""
    try:
        return min(float(written), _LONGEST)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError):
        return 0.0
