"""Passwords of attachments are chosen by mailbox and sender, and read when they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from ingest.config import Secrets
from ingest.config.sections import PasswordSection
from ingest.wiring.passwords import password_source

if TYPE_CHECKING:
    from pathlib import Path

ENVIRON = {"ALL": "for all", "BANK": "for the bank", "PAYROLL": "for payroll"}
SECTIONS = [
    PasswordSection(password="env:BANK", senders=["@Bank.example", "one@other.example"]),
    PasswordSection(password="env:PAYROLL", mailboxes=["payroll"]),
    PasswordSection(password="env:ALL"),
]


def chosen(folder: Path, mailbox: str, *senders: str) -> list[str]:
    source = password_source(SECTIONS, Secrets(folder, ENVIRON))
    assert source is not None
    return source(mailbox, senders)


@pytest.mark.parametrize(
    ("mailbox", "sender", "passwords"),
    [
        ("orders", "a@shop.example", ["for all"]),
        ("orders", "A@BANK.example", ["for the bank", "for all"]),
        ("orders", "one@other.example", ["for the bank", "for all"]),
        ("orders", "two@other.example", ["for all"]),
        ("orders", "a@sub.bank.example", ["for all"]),
        ("payroll", "a@bank.example", ["for the bank", "for payroll", "for all"]),
    ],
)
def test_passwords_are_chosen_by_mailbox_and_sender(
    mailbox: str, sender: str, passwords: list[str], tmp_path: Path
) -> None:
    assert chosen(tmp_path, mailbox, sender) == passwords


def test_message_without_a_sender_gets_those_for_all_mail(tmp_path: Path) -> None:
    assert chosen(tmp_path, "orders") == ["for all"]


def test_no_passwords_are_no_source(tmp_path: Path) -> None:
    assert password_source([], Secrets(tmp_path, {})) is None


def test_changed_password_is_read_again_and_a_missing_one_is_left_out(tmp_path: Path) -> None:
    sections = [PasswordSection(password="file:bank"), PasswordSection(password="env:MISSING")]
    source = password_source(sections, Secrets(tmp_path, {}))
    assert source is not None
    for password in ("first", "second one"):
        (tmp_path / "bank").write_text(f"{password}\n")
        with capture_logs() as logs:
            assert source("orders", []) == [password]
        assert logs == [
            {"event": "passwords.unreadable", "mailbox": "orders", "problems": 1, "log_level": "warning"},
        ]


@pytest.mark.parametrize("sender", ["bank.example", "a@b c.example", "a@", "<a@b.example>"])
def test_sender_is_an_address_or_a_domain(sender: str) -> None:
    with pytest.raises(ValidationError):
        PasswordSection(password="env:X", senders=[sender])
