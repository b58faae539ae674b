"""OAuth2 grants (RFC 6749, RFC 7523): how an access token is obtained. Equal grants share a token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.domain.mailbox import ClientCertificate, Mechanism


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """An application acts for itself; one token serves all mailboxes that it has access to."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """An application acts for a user who has consented."""

    token_url: str
    client_id: str
    client_secret: str | None = field(repr=False)
    refresh_token: str = field(repr=False)
    scope: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account acts for a user of its domain. `key` is the content of its key file, JSON."""

    token_url: str
    key: str = field(repr=False)
    subject: str = field(repr=False)
    scope: str | None = None
    ca_file: str | None = None


Grant = ClientCredentials | RefreshToken | ServiceAccount


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """A login with a token that has to be fetched first."""

    username: str = field(repr=False)
    mechanism: Mechanism
    grant: Grant
    proxy: tuple[str, str] | None = field(default=None, repr=False)
    certificate: ClientCertificate | None = field(default=None, repr=False)
