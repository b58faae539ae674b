"""The meaning of -ERR, by response code or by the server's text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest.domain.mailbox import Mechanism
from ingest.errors import (
    LoginDelayError,
    MaildropAuthError,
    MaildropError,
    MaildropInUseError,
    MaildropRefusedError,
    MaildropTemporaryError,
    MaildropThrottledError,
)

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

# What servers without codes say when it is not the password; the first line that fits counts. Taken for a bad
# password, it would stop the mailbox; a bad password taken for one of these is only tried again, ever more seldom.
_WORDS: list[tuple[re.Pattern[str], type[MaildropError]]] = [
    # Gmail, Yahoo, QQ, qpopper: how often and how many. "Account locked" is no bad password either: it opens again.
    (
        re.compile(r"too (many|frequent|much)|exceed|rate limit|limited|\bblocked|account.*locked", re.IGNORECASE),
        MaildropThrottledError,
    ),
    # RFC 1939's own example ("maildrop already locked"), qpopper ("lock busy"), Cyrus ("Unable to lock maildrop"),
    # Courier ("mailbox is locked"); fetchmail looks for "lock" alone.
    (re.compile(r"\block|in use|already|another (pop3? )?session", re.IGNORECASE), MaildropInUseError),
    # Exchange says "Server Unavailable. 21" and "not connected", InterMail "services unavailable, wait a few
    # minutes", Yahoo "Server error - Please try again later"; fetchmail looks for "wait" and "unavailable".
    (re.compile(r"unavailable|not connected|temporar|server error|internal", re.IGNORECASE), MaildropTemporaryError),
    # Whoever says no more than this wants patience.
    (re.compile(r"busy|try again|\bwait\b|later", re.IGNORECASE), MaildropThrottledError),
]

_REMEDIES: dict[type[MaildropError], str] = {
    MaildropInUseError: "Another session holds the maildrop; it is tried again. Let no other program poll it.",
    LoginDelayError: "The server wants more time between two logins; they will be rarer. A longer `interval` helps.",
    MaildropThrottledError: "The server wants fewer or rarer connections; it is tried again later. "
    "A longer `interval` or a lower `limits.connections` helps.",
    MaildropTemporaryError: "The server is out of order just now; it is tried again.",
}


def login_refused(status: Status, mechanism: Mechanism) -> MaildropError:
    """The error for -ERR to what a login is made of; without a reason that is known it is the credentials."""
    kind = _kind(status) or MaildropAuthError
    if kind is MaildropAuthError:
        what, remedy = _ABOUT_TOKENS if mechanism in _TOKENS else _ABOUT_PASSWORDS
        return MaildropAuthError(f"The server refused {what}: {_said(status)} {remedy}")
    return _error(kind, status, "the login")


def command_refused(status: Status, command: str) -> MaildropError:
    """The error for -ERR to the greeting, or to a command that every server must know."""
    return _error(_kind(status) or MaildropRefusedError, status, command)


def has_known_reason(status: Status) -> bool:
    """Whether a refusal has a reason of its own, so that it does not mean that the server lacks the command."""
    return _kind(status) is not None


def reason(status: Status) -> str:
    """A short word for a message that was refused, fit for logs: nothing in it is the server's own."""
    return status.code.lower() if status.code in _CODES else "refused"


_ABOUT_PASSWORDS = (
    "the user name or password",
    "Check both; many providers want POP3 switched on for the account, and an app password.",
)
_ABOUT_TOKENS = (
    "the access token",
    "Check that the account is the one the token is for, that it may use POP3, and the scope and consent.",
)


def _error(kind: type[MaildropError], status: Status, what: str) -> MaildropError:
    remedy = _REMEDIES.get(kind, "Its operator has to act." if status.code == "SYS/PERM" else "")
    return kind(f"The server refused {what}: {_said(status)} {remedy}".rstrip())


def _said(status: Status) -> str:
    words = status.text.rstrip(" .")
    return f"{words}." if words else "it did not say why."


def _kind(status: Status) -> type[MaildropError] | None:
    """What a refusal means; None where neither a code nor a known word says it. A code counts more than words."""
    if status.code in _CODES:
        return _CODES[status.code]
    return next((kind for pattern, kind in _WORDS if pattern.search(status.text)), None)
