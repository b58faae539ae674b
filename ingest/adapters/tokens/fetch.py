"""Fetch one access token (RFC 6749, RFC 7523), within a deadline."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]  # it has no types
from authlib.integrations.requests_client import (  # type: ignore[import-untyped]  # as above
    AssertionSession,
    OAuth2Session,
)
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from requests import RequestException

from ingest.domain.grant import ClientCredentials, RefreshToken
from ingest.errors import MaildropAuthError, TokenUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.domain.grant import Grant, ServiceAccount

SECONDS = 20.0
_WAIT = 10.0  # for one read or write
_LONGEST = 86_400.0
_SHOWN = 200
# RFC 6749 section 5.2, and what Microsoft and Google add to it: codes after which it may go better next time.
_LATER = frozenset({"temporarily_unavailable", "server_error", "slow_down", "internal_failure"})
_REMEDIES = {
    "invalid_client": "Check `client_id` and `client_secret`; secrets of applications expire.",
    "unauthorized_client": "Whoever administers the accounts has to allow this application or service account to "
    "read mail by POP3 (Microsoft: POP.AccessAsApp and a service principal; Google: domain-wide delegation).",
    "invalid_scope": "Check `scope`.",
    "access_denied": "Whoever administers the accounts has to allow this application to read mail by POP3.",
}
_GONE = "The consent has expired or was withdrawn: its user has to consent again, and a new refresh token be set."
_NOT_DELEGATED = "Check that the service account has domain-wide delegation for this scope, and that the user exists."


@dataclass(frozen=True, slots=True)
class Fetched:
    """A token and its life in seconds. `refresh_token`: a new one, where the server changed it."""

    access_token: str = field(repr=False)
    lives: float
    refresh_token: str | None = field(default=None, repr=False)


def fetch(grant: Grant, seconds: float = SECONDS) -> Fetched:
    """Ask for a token.

    Raises:
        MaildropAuthError: the grant is refused; the text says who has to do what.
        TokenUnavailableError: no answer in time, or none that makes sense.
    """
    try:
        answer = _within(seconds, lambda: _ask(grant))
    except AuthlibBaseError as error:
        raise _refused(grant, str(error.error or ""), str(error.description or "")) from error
    except (RequestException, OSError, ValueError) as error:  # ValueError: what Authlib says of nonsense
        raise TokenUnavailableError(
            f"{grant.token_url} did not give a token ({type(error).__name__}); it is asked again."
        ) from error
    return _read(grant, answer)


def _ask(grant: Grant) -> dict[str, Any]:
    if isinstance(grant, ClientCredentials):
        with _session(grant.client_id, grant.client_secret, grant) as session:
            return dict(session.fetch_token(grant.token_url, grant_type="client_credentials", **_options(grant)))
    if isinstance(grant, RefreshToken):
        with _session(grant.client_id, grant.client_secret, grant) as session:
            return dict(session.refresh_token(grant.token_url, refresh_token=grant.refresh_token, **_options(grant)))
    return _ask_by_assertion(grant)


def _session(client_id: str, secret: str | None, grant: Grant) -> OAuth2Session:
    way = "client_secret_post" if secret is not None else "none"
    session = OAuth2Session(client_id, secret, token_endpoint_auth_method=way, scope=grant.scope)
    session.max_redirects = 0
    return session


def _ask_by_assertion(grant: ServiceAccount) -> dict[str, Any]:
    issuer, key, key_id = _key(grant)
    claims = {"scope": grant.scope} if grant.scope else {}
    with AssertionSession(
        token_endpoint=grant.token_url,
        issuer=issuer,
        subject=grant.subject,
        audience=grant.token_url,
        claims=claims,
        key=key,
        header={"alg": "RS256", "kid": key_id} if key_id else {"alg": "RS256"},
    ) as session:
        session.max_redirects = 0
        session.verify = grant.ca_file or True
        session.default_timeout = _WAIT
        return dict(session.refresh_token())


def _key(grant: ServiceAccount) -> tuple[str, RSAKey, str | None]:
    """Issuer, private key and its id, from a key file as Google gives it out."""
    try:
        file = json.loads(grant.key)
        return str(file["client_email"]), RSAKey.import_key(file["private_key"]), file.get("private_key_id")
    except (ValueError, KeyError, TypeError, JoseError) as error:
        raise MaildropAuthError(
            "`auth.service_account` is no key of a service account: it has to be the JSON file that Google gives "
            "out, with client_email and private_key."
        ) from error


def _options(grant: ClientCredentials | RefreshToken) -> dict[str, Any]:
    return {"timeout": _WAIT, "verify": grant.ca_file or True, "allow_redirects": False}


def _read(grant: Grant, answer: dict[str, Any]) -> Fetched:
    token, lives = answer.get("access_token"), answer.get("expires_in", 3600)
    try:
        seconds = min(float(lives), _LONGEST)
    except (TypeError, ValueError):
        seconds = 0.0
    if not isinstance(token, str) or not token or seconds <= 0:
        raise TokenUnavailableError(
            f"{grant.token_url} answered without a token that makes sense; it is asked again."
        )
    rotated = answer.get("refresh_token")
    return Fetched(token, seconds, rotated if isinstance(rotated, str) else None)


def _refused(grant: Grant, code: str, description: str) -> MaildropAuthError | TokenUnavailableError:
    words = "".join(char if char.isprintable() else " " for char in description)[:_SHOWN]
    said = f"{grant.token_url} refused a token: {code}{': ' if words else ''}{words.rstrip(' .')}."
    if code in _LATER:
        return TokenUnavailableError(f"{said} It is asked again.")
    if code == "invalid_grant":
        return MaildropAuthError(f"{said} {_GONE if isinstance(grant, RefreshToken) else _NOT_DELEGATED}")
    return MaildropAuthError(f"{said} {_REMEDIES.get(code, 'Check `auth`.')}")


def _within(seconds: float, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run in a thread of its own: requests bounds each wait, not the whole, and a server may drip."""
    answers: list[dict[str, Any]] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread, see below
            errors.append(error)

    thread = threading.Thread(target=run, name="oauth2-token", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError
    return answers[0]
