"""The meaning of a token server's error codes, and who has to do what.

RFC 6749 section 5.2 defines the codes; Microsoft adds codes about consent (learn.microsoft.com/entra/
identity-platform/reference-error-codes), Google some of its own (developers.google.com/identity/protocols/oauth2/
service-account).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.domain.grant import ClientCredentials, RefreshToken
from ingest.errors import MaildropAuthError, TokenUnavailableError

if TYPE_CHECKING:
    from ingest.domain.grant import Grant

_CODE_LETTERS = 64
_WORDS_LETTERS = 200
# Temporary errors.
_LATER = frozenset({"temporarily_unavailable", "server_error", "slow_down", "internal_failure"})

_OF_ALL = {
    "invalid_client": "Check `client_id` and `client_secret`: whoever administers the application can make a new "
    "secret; secrets expire.",
    "invalid_scope": "Check `scope`.",
    "invalid_request": "Check `tenant`, `token_url` and `scope`.",
    "unsupported_grant_type": "Check `token_url`: this server does not support this grant type.",
}
_OF_APPLICATIONS = {
    "unauthorized_client": "Check `client_id` and `tenant`: whoever administers the tenant has to register the "
    "application there, and to consent to its permission to read mail (Microsoft: POP.AccessAsApp).",
    "access_denied": "Whoever administers the accounts has to consent to this application's permission to read mail.",
}
_CONSENT = (
    "The consent has expired, was withdrawn, or does not cover the scope: the user has to consent again, and the new "
    "refresh token has to be configured."
)
_OF_USERS = {
    "invalid_grant": _CONSENT,
    "interaction_required": _CONSENT,
    "consent_required": _CONSENT,
    "login_required": _CONSENT,
    "access_denied": _CONSENT,
    "unauthorized_client": "Check that the refresh token was issued for this `client_id`.",
}
_DELEGATION = (
    "Whoever administers the domain has to give the service account's client id domain-wide delegation for "
    "this scope."
)
_OF_SERVICE_ACCOUNTS = {
    "invalid_grant": "Check that the user exists, that the service account's key was not deleted, and this machine's "
    f"clock. {_DELEGATION}",
    "unauthorized_client": _DELEGATION,
    "access_denied": _DELEGATION,
}


def refused(grant: Grant, code: object, description: object) -> MaildropAuthError | TokenUnavailableError:
    """Return the error for an answer with an error code.

    Args:
        grant: the refused grant.
        code: `error` of the answer, as parsed from JSON.
        description: `error_description` of the answer.
    """
    reason = ": ".join(filter(None, (_plain(code, _CODE_LETTERS), _plain(description, _WORDS_LETTERS))))
    message = f"{grant.token_url} refused a token: {reason.rstrip(' .') or 'it did not say why'}."
    if str(code) in _LATER:
        return TokenUnavailableError(f"{message} The request is repeated later.")
    return MaildropAuthError(f"{message} {_remedy(grant, str(code))}")


def _remedy(grant: Grant, code: str) -> str:
    if isinstance(grant, ClientCredentials):
        of_kind = _OF_APPLICATIONS
    elif isinstance(grant, RefreshToken):
        of_kind = _OF_USERS
    else:
        of_kind = _OF_SERVICE_ACCOUNTS
    return of_kind.get(code) or _OF_ALL.get(code) or "Check `auth`."


def _plain(said: object, letters: int) -> str:
    """Return a server's text, safe to show on a terminal."""
    text = said if isinstance(said, str) else ""
    return "".join(char if char.isprintable() else " " for char in text)[:letters].strip()
