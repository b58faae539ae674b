"""Ways to get an OAuth2 access token (RFC 6749, RFC 7523): plain values, which also tell one token from another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.domain.mailbox import Mechanism


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """An application acts for itself; one token serves all mailboxes that it may open."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A user has consented that an application acts for them."""

    token_url: str
    client_id: str
    client_secret: str | None = field(repr=False)
    refresh_token: str = field(repr=False)
    scope: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account acts for a user of its domain. `key` is its key file as it was read: JSON."""

    token_url: str
    key: str = field(repr=False)
    subject: str = field(repr=False)
    scope: str | None = None
    ca_file: str | None = None


Grant = ClientCredentials | RefreshToken | ServiceAccount


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """Who logs in with a token that is yet to be had."""

    username: str = field(repr=False)
    mechanism: Mechanism
    grant: Grant
    proxy: tuple[str, str] | None = field(default=None, repr=False)
