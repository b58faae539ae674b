"""How a mailbox logs in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ingest.config.fields import FilePath, HttpUrl, Line  # noqa: TC001 - pydantic resolves it at run time
from ingest.config.secrets import SecretRef  # noqa: TC001 - as above
from ingest.config.section import Section


class PasswordAuth(Section):
    """Log in with a password."""

    type: Literal["password", "apop", "sasl-plain", "sasl-login", "scram-sha-256"]
    """`password` is USER and PASS; the others never send it in the clear, or are what a server wants instead."""
    username: Line = Field(repr=False)
    password: SecretRef


class OAuth2Auth(Section):
    """Log in with an access token, which is fetched and renewed."""

    type: Literal["oauth2"]
    username: Line = Field(repr=False)
    client_id: Line | None = None
    client_secret: SecretRef | None = None
    """Without a refresh token: the application logs in for itself (client credentials)."""
    refresh_token: SecretRef | None = None
    """Of a user who has consented; with `client_id`, and `client_secret` where the application has one."""
    service_account: SecretRef | None = None
    """The JSON key of a Google service account with domain-wide delegation; it acts for `username`."""
    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}$")] | None = None
    """Microsoft's: the directory's id, or one of its domains."""
    token_url: HttpUrl | None = None
    """Left out: the provider's."""
    scope: Line | None = None
    """Left out: the provider's for POP3."""
    mechanism: Literal["xoauth2", "oauthbearer"] | None = None
    """Left out: the provider's, else xoauth2."""
    ca: FilePath | None = None
    """PEM certificates to trust at the token's address instead of the system's."""

    @model_validator(mode="after")
    def _one_way(self) -> OAuth2Auth:
        if self.service_account is not None:
            if self.client_id or self.client_secret or self.refresh_token or self.tenant:
                raise ValueError("with service_account, leave out client_id, client_secret, refresh_token and tenant")
            return self
        if self.client_id is None:
            raise ValueError("write client_id (with client_secret or refresh_token), or service_account")
        if self.client_secret is None and self.refresh_token is None:
            raise ValueError(
                "write client_secret, for an application of its own, or refresh_token, for a user who has consented"
            )
        return self


Auth = Annotated[PasswordAuth | OAuth2Auth, Field(discriminator="type")]
