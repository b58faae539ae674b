"""How -ERR is read: a bad password, or a reason to wait."""

from __future__ import annotations

import pytest

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
from ingest.pop3 import refusals
from ingest.pop3.events import parse_status


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"-ERR [AUTH] no", MaildropAuthError),
        (b"-ERR [auth] no", MaildropAuthError),
        (b"-ERR [AUTH] Too many bad attempts, account locked, try again later", MaildropAuthError),
        (b"-ERR [IN-USE] no", MaildropInUseError),
        (b"-ERR [Login-Delay] no", LoginDelayError),
        (b"-ERR [SYS/TEMP] no", MaildropTemporaryError),
        (b"-ERR [SYS/PERM] no", MaildropRefusedError),
        (b"-ERR [XYZ] system busy", MaildropThrottledError),
        (b"-ERR mailbox is LOCKED", MaildropInUseError),
        (b"-ERR maildrop already locked", MaildropInUseError),
        (b"-ERR maildrop lock busy! Is another session active?", MaildropInUseError),
        (b"-ERR Unable to lock maildrop", MaildropInUseError),
        (b"-ERR Too many connections", MaildropThrottledError),
        (b"-ERR login rate exceeded", MaildropThrottledError),
        (b"-ERR your account is temporarily locked", MaildropThrottledError),
        (b"-ERR server busy", MaildropThrottledError),
        (b"-ERR please try again later", MaildropThrottledError),
        (b"-ERR Password is incorrect, login frequency limited, or system is busy", MaildropThrottledError),
        (b"-ERR mail storage services unavailable, wait a few minutes", MaildropTemporaryError),
        (b"-ERR Server Unavailable. 21", MaildropTemporaryError),
        (b"-ERR User is authenticated but not connected.", MaildropTemporaryError),
        (b"-ERR invalid password", MaildropAuthError),
        (b"-ERR Logon failure: unknown user name or bad password.", MaildropAuthError),
        (b"-ERR", MaildropAuthError),
    ],
)
def test_a_refused_login_is_a_bad_password_only_if_it_says_nothing_else(
    line: bytes, kind: type[MaildropError]
) -> None:
    """A code counts more than words."""
    assert type(refusals.login_refused(parse_status(line), Mechanism.PASSWORD)) is kind


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"-ERR what?", MaildropRefusedError),
        (b"-ERR [SYS/TEMP] x", MaildropTemporaryError),
        (b"-ERR too many connections", MaildropThrottledError),
    ],
)
def test_a_refused_command_is_no_bad_password(line: bytes, kind: type[MaildropError]) -> None:
    assert type(refusals.command_refused(parse_status(line), "UIDL")) is kind


@pytest.mark.parametrize(
    "line", [b"-ERR [IN-USE] x", b"-ERR [LOGIN-DELAY] x", b"-ERR [SYS/TEMP] x", b"-ERR busy", b"-ERR [SYS/PERM] x"]
)
def test_each_refusal_quotes_the_server_and_says_what_to_do(line: bytes) -> None:
    text = str(refusals.login_refused(parse_status(line), Mechanism.PASSWORD))
    quoted = line.removeprefix(b"-ERR ").decode()
    assert f"{quoted}. " in text
    assert text.endswith(".")


def test_a_refused_token_is_not_called_a_password() -> None:
    status = parse_status(b"-ERR Authentication failure")
    assert "access token" in str(refusals.login_refused(status, Mechanism.XOAUTH2))
    assert "app password" in str(refusals.login_refused(status, Mechanism.PASSWORD))


def test_the_reason_of_a_refusal_is_never_the_servers_own_word() -> None:
    """It goes into logs."""
    assert refusals.reason(parse_status(b"-ERR [sys/temp] a@b")) == "sys/temp"
    assert refusals.reason(parse_status(b"-ERR [JOE@EXAMPLE.ORG] x")) == "refused"
