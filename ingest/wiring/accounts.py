"""Mailboxes and their logins, as the configuration files say now."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ingest.domain.mailbox import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.adapters.tokens import TokenCache
    from ingest.config import ConfigSource, Secrets
    from ingest.domain.grant import TokenLogin
    from ingest.domain.mailbox import Mailbox
    from ingest.mime.envelope import Trust


@dataclass(frozen=True)
class Accounts:
    """Follows the configuration files while the process runs."""

    source: ConfigSource
    secrets: Secrets

    @cached_property
    def tokens(self) -> TokenCache:
        """OAuth2 access tokens, shared by the whole process."""
        # Imported here: authlib and cryptography take 0.2 s, and only mailboxes that log in with tokens need them.
        from ingest.adapters.tokens import TokenCache  # noqa: PLC0415

        return TokenCache(time.monotonic)

    def mailboxes(self) -> Mapping[str, Mailbox]:
        """Return the configured mailboxes by id."""
        return self.source.current().mailboxes_by_id()

    def trust(self, mailbox: str) -> Trust:
        """Return whose trace fields are believed in a mailbox."""
        from ingest.mime.envelope import Trust  # noqa: PLC0415 - with the parser, which most processes do not need

        box = self.mailboxes().get(mailbox)
        return Trust() if box is None else Trust(box.authserv_id, box.trusted_hops)

    def credentials(self, mailbox: str) -> Credentials:
        """Return how to log in to a mailbox: its secrets are read now, and a token is fetched if it needs one.

        Raises:
            ConfigError: a secret is missing.
            MaildropAuthError, TokenUnavailableError: no token was issued.
        """
        login = self.source.current().login(mailbox, self.secrets)
        return login if isinstance(login, Credentials) else self._with_token(login)

    def fingerprint(self, mailbox: str) -> bytes:
        """Return a digest that changes when anything changes that the mailbox's login depends on.

        Raises:
            ConfigError: a secret is missing.
        """
        return self.source.current().fingerprint(mailbox, self.secrets)

    def _with_token(self, login: TokenLogin, refused: str | None = None) -> Credentials:
        token = self.tokens.token(login.grant, refused)
        # Renewed once: a server that refuses a new token too has another reason.
        renew = None if refused is not None else lambda: self._with_token(login, token)
        return Credentials(login.username, token, login.mechanism, renew, login.proxy, login.certificate)
