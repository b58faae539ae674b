"""Logins that worked and that were refused: to spare accounts a lock-out, and to doubt one that may be broken."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.domain.keys import check_of
from ingest.domain.retry import DOUBTED_FOR, DOUBTED_TIMES, after_doubted_refusal
from ingest.errors import (
    ConfigError,
    LedgerUnavailableError,
    LoginRefusedError,
    MaildropAuthError,
    MaildropTemporaryError,
)
from ingest.ports.slots import LastLogin, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ingest.errors import MailhaulError
    from ingest.ports.slots import Refusals

log = get_logger()

_MINUTE = 60


class CredentialsNotRetriedError(MaildropAuthError):
    """The credentials were refused before and have not changed since, so that they were not tried again."""

    code = "auth_not_retried"


class CredentialsDoubtedError(MaildropTemporaryError):
    """The server refused credentials that worked within a day; they are tried again before they count as wrong.

    `worked` is when they last worked, `until` when they are tried again (seconds since 1970).
    """

    code = "auth_doubted"

    def __init__(self, text: str, worked: float, until: float) -> None:
        super().__init__(text)
        self.worked = worked
        self.until = until


class DoubtNotRetriedError(CredentialsDoubtedError):
    """As `CredentialsDoubtedError`, and it is too early to try them again."""

    code = "auth_doubted_not_retried"


@dataclass(frozen=True, slots=True)
class Logins:
    """Remembers the logins of mailboxes in the ledger, without anything that could be learnt about a password.

    Attributes:
        fingerprint: returns a digest of everything a mailbox's login depends on, by its id.
        now: the wall clock, in UTC.
        random: returns a number in [0, 1).
    """

    ledger: Refusals
    fingerprint: Callable[[str], bytes]
    now: Callable[[], datetime]
    random: Callable[[], float]

    def raise_if_refused_before(self, mailbox: str) -> None:
        """Do not log in with credentials that were refused: servers lock accounts for that.

        Raises:
            CredentialsNotRetriedError, DoubtNotRetriedError: the pause after the refusal is not over.
        """
        refusal = self.ledger.refusal(mailbox)
        if refusal is None or refusal.check != check_of(refusal.salt, self.fingerprint(mailbox)):
            return
        if refusal.worked is not None:
            now = self.now().timestamp()
            words = f"The server refused the credentials that worked {_minutes(now - refusal.worked)} ago: "
            words += _again(refusal.until - now)
            raise DoubtNotRetriedError(words, refusal.worked, refusal.until)
        raise CredentialsNotRetriedError(
            "The server refused these credentials before. They are not tried again for a while, "
            "to spare the account a lock-out; once they are changed, they are tried at the next poll."
        )

    def judged(self, mailbox: str, error: MailhaulError) -> MailhaulError:
        """Return the error to report: a refusal of credentials that worked lately is doubted, the first few times."""
        if not isinstance(error, LoginRefusedError):
            return error
        try:
            last = self.ledger.last_login(mailbox)
            if last is None or last.check != check_of(last.salt, self.fingerprint(mailbox)):
                return error
            now = self.now().timestamp()
            if now - last.at > DOUBTED_FOR or last.refused >= DOUBTED_TIMES:
                return error
            pause = after_doubted_refusal(last.refused + 1, self.random())
            until = now + pause
            self.ledger.put_last_login(mailbox, replace(last, refused=last.refused + 1))
            refusal = Refusal(last.salt, last.check, worked=last.at, until=until)
            self.ledger.put_refusal(mailbox, refusal, pause)
        except (ConfigError, LedgerUnavailableError):  # a secret or the ledger is unavailable now
            return error
        words = f"{error} The same credentials worked {_minutes(now - last.at)} ago: {_again(until - now)}"
        return CredentialsDoubtedError(words, last.at, until)

    def refused(self, mailbox: str, seconds: float) -> None:
        """Remember for this many seconds that the credentials were refused."""
        salt = secrets.token_hex(8)
        try:
            self.ledger.put_refusal(mailbox, Refusal(salt, check_of(salt, self.fingerprint(mailbox))), seconds)
        except (ConfigError, LedgerUnavailableError):  # for the same reason
            log.warning("poll.refusal_not_kept", mailbox=mailbox)

    def worked(self, mailbox: str) -> LastLogin | None:
        """Return what is to be remembered of a login that worked just now; None if a secret has gone meanwhile."""
        salt = secrets.token_hex(8)
        try:
            check = check_of(salt, self.fingerprint(mailbox))
        except ConfigError:
            return None
        return LastLogin(salt, check, self.now().timestamp())


def _again(seconds: float) -> str:
    return f"they are tried again in {_minutes(seconds)}, before they count as wrong."


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds / _MINUTE))} min"
