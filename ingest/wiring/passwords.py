"""The passwords of encrypted attachments, as the configuration chooses them for a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.config import Secrets
    from ingest.config.sections import PasswordSection

log = get_logger()


def password_source(
    sections: Sequence[PasswordSection], secrets: Secrets
) -> Callable[[str, Sequence[str]], list[str]] | None:
    """Return a function from a mailbox id and addresses in From to the passwords to try; None if there are none.

    Secrets are read when it is called. One that cannot be read is left out, and the log says so: the mail is
    processed without it.
    """
    if not sections:
        return None

    def passwords(mailbox: str, senders: Sequence[str]) -> list[str]:
        found, unreadable = [], 0
        for section in sections:
            if _is_for(section, mailbox, senders):
                try:
                    found.append(secrets.read(section.password))
                except ConfigError:
                    unreadable += 1
        if unreadable:
            log.warning("passwords.unreadable", mailbox=mailbox, problems=unreadable)
        return found

    return passwords


def _is_for(section: PasswordSection, mailbox: str, senders: Sequence[str]) -> bool:
    if section.mailboxes and mailbox not in section.mailboxes:
        return False
    wanted = {sender.lower() for sender in section.senders}
    written = {sender.lower() for sender in senders}
    return not wanted or not wanted.isdisjoint(written | {f"@{sender.rpartition('@')[2]}" for sender in written})
