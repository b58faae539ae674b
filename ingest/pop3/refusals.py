"""The meaning of -ERR, by response code or by the server's text.

A response code decides what a refusal means. Most servers send none and answer in prose; `TEXTS` lists known texts
with their sources. Without either, a refused login means wrong credentials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.domain.mailbox import Mechanism
from ingest.errors import (
    LoginDelayError,
    LoginRefusedError,
    MaildropAuthError,
    MaildropError,
    MaildropInUseError,
    MaildropRefusedError,
    MaildropTemporaryError,
    MaildropThrottledError,
)
from ingest.pop3.refusal_texts import IN_USE, INTERVAL, PATIENCE, TEMPORARY, TEXTS

if TYPE_CHECKING:
    from ingest.pop3.events import Status

_TOKENS = frozenset({Mechanism.XOAUTH2, Mechanism.OAUTHBEARER})

_CODES: dict[str, type[MaildropError]] = {
    "IN-USE": MaildropInUseError,  # RFC 2449 section 8.1.2
    "LOGIN-DELAY": LoginDelayError,  # RFC 2449 section 8.1.1
    "SYS/TEMP": MaildropTemporaryError,  # RFC 3206 section 4
    "SYS/PERM": MaildropRefusedError,  # RFC 3206 section 4
    "AUTH": MaildropAuthError,  # RFC 3206 section 5
}

_REMEDIES: dict[type[MaildropError], str] = {
    MaildropInUseError: IN_USE,
    LoginDelayError: INTERVAL,
    MaildropThrottledError: PATIENCE,
    MaildropTemporaryError: TEMPORARY,
}
_ABOUT_PASSWORDS = (
    "the user name or password",
    "Check both; many providers want POP3 switched on for the account, and an app password.",
)
_ABOUT_TOKENS = (
    "the access token",
    "Check that the account is the one the token is for, that it may use POP3, and the scope and consent.",
)


def login_refused(status: Status, mechanism: Mechanism) -> MaildropError:
    """Return the error for a refused login; without a known reason the credentials are wrong."""
    kind, remedy = _meaning(status)
    if kind is None or kind is MaildropAuthError:
        what, remedy = _ABOUT_TOKENS if mechanism in _TOKENS else _ABOUT_PASSWORDS
        error = MaildropAuthError if status.code == "AUTH" else LoginRefusedError
        return error(f"The server refused {what}: {_quoted(status)} {remedy}")
    return _error(kind, status, "the login", remedy)


def command_refused(status: Status, command: str) -> MaildropError:
    """Return the error for -ERR to the greeting, or to a command that every server must support."""
    kind, remedy = _meaning(status)
    return _error(kind or MaildropRefusedError, status, command, remedy)


def has_known_reason(status: Status) -> bool:
    """Whether a refusal has a reason of its own, so that it does not mean that the server lacks the command."""
    return _meaning(status)[0] is not None


def reason(status: Status) -> str:
    """Return a short word for a refused message, fit for logs: nothing in it is the server's own."""
    return status.code.lower() if status.code in _CODES else "refused"


def _error(kind: type[MaildropError], status: Status, what: str, remedy: str) -> MaildropError:
    remedy = remedy or _REMEDIES.get(kind, "Its operator has to act." if status.code == "SYS/PERM" else "")
    return kind(f"The server refused {what}: {_quoted(status)} {remedy}".rstrip())


def _quoted(status: Status) -> str:
    words = status.text.rstrip(" .")
    return f"{words}." if words else "it did not say why."


def _meaning(status: Status) -> tuple[type[MaildropError] | None, str]:
    """Return what a refusal means, None if neither its code nor its text says it, and the remedy for its text."""
    row = next((row for row in TEXTS if row.matches(status.text)), None)
    kind = _CODES.get(status.code)
    if row is None:
        return kind, ""
    return (row.kind if kind is None or row.over_code else kind), row.remedy
