"""What a server means by -ERR."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest.errors import MaildropAuthError, MaildropError, MaildropThrottledError, MaildropRefusedError

if TYPE_CHECKING:
    from ingest.pop3.events import Status

# RFC 2449 section 8.1 and RFC 3206.
_LATER = frozenset({"IN-USE", "LOGIN-DELAY", "SYS/TEMP"})
# What servers without codes say when they mean one of those; taken for a bad password, it would stop the mailbox.
_LATER_WORDS = re.compile(r"lock|in use|too many|try again|exceeded|busy", re.IGNORECASE)


def at_login(status: Status) -> MaildropError:
    """The error for -ERR to the greeting's place, USER or PASS."""
    if _says_later(status):
        return MaildropThrottledError(f"The server asks us to come later: {status.text}")
    if status.code == "SYS/PERM":
        return MaildropRefusedError(f"The server says that its operator has to act: {status.text}")
    return MaildropAuthError(f"The server refused the user name or password: {status.text}")


def in_session(status: Status, command: str) -> MaildropError:
    """The error for -ERR to the greeting, or to a command that every server must know."""
    if _says_later(status):
        return MaildropThrottledError(f"The server asks us to come later: {status.text}")
    return MaildropRefusedError(f"The server refused {command}: {status.text}")


def reason(status: Status) -> str:
    """A short word for a message that was refused, fit for logs: nothing in it is the server's own."""
    return status.code.lower() if status.code in _LATER | {"SYS/PERM"} else "refused"


def _says_later(status: Status) -> bool:
    if status.code:
        return status.code in _LATER
    return _LATER_WORDS.search(status.text) is not None
