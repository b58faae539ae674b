"""The options of mailboxes: login, proxy, deadlines, limits. The docstring below an option is its documentation.

An option that is None was not written: `ingest.config.translate` takes it from `defaults`, from the provider, or from
the domain's own values.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from ingest.config.fields import (
    PREFIX_PATTERN,
    Ciphers,
    Count,
    FilePath,
    Fingerprint,
    Host,
    HttpUrl,
    Labels,
    Line,
    MinimumTls,
    Name,
    Policy,
    Port,
    Section,
    split_url,
)
from ingest.config.providers import Provider
from ingest.config.secrets import SecretRef  # noqa: TC001 - pydantic resolves it at run time
from ingest.config.units import Duration, Interval, Size  # noqa: TC001 - as above
from ingest.domain.mailbox import ProxyKind, Tls


class PasswordAuth(Section):
    """Log in with a password."""

    type: Literal["password", "apop", "sasl-plain", "sasl-login", "scram-sha-256"]
    """How to log in: `password` sends USER and PASS, which every server understands. `apop` and `scram-sha-256` never
    send the password itself; `sasl-plain` and `sasl-login` are for servers that require them."""
    username: Line = Field(repr=False)
    """User name of the maildrop, often the mail address."""
    password: SecretRef
    """Where the password is: `env:NAME` or `file:/path`. It is read at each login, so that it can be rotated."""


class OAuth2Auth(Section):
    """Log in with an OAuth2 access token, which is fetched and renewed."""

    type: Literal["oauth2"]
    """Log in with an access token."""
    username: Line = Field(repr=False)
    """User name of the maildrop, usually the mail address."""
    client_id: Line | None = None
    """Id of the application that is registered at the token server. Required without `service_account`."""
    client_secret: SecretRef | None = None
    """Secret of the application. Without `refresh_token` the application logs in as itself (client credentials)."""
    refresh_token: SecretRef | None = None
    """Refresh token of a user who has consented. Goes with `client_id`, and with `client_secret` if the application
    has one."""
    service_account: SecretRef | None = None
    """JSON key of a Google service account with domain-wide delegation, which acts for `username`. Replaces
    `client_id`, `client_secret`, `refresh_token` and `tenant`."""
    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}$")] | None = None
    """Microsoft only: id of the directory, or one of its domains. Part of the token URL."""
    token_url: HttpUrl | None = None
    """Address of the token server. Required without a provider that knows it; https://, as the secret is sent
    there."""
    scope: Line | None = None
    """Scope to request. Without a provider that knows it, none is requested."""
    mechanism: Literal["xoauth2", "oauthbearer"] | None = None
    """SASL mechanism that carries the token. XOAUTH2 is what the large providers accept; `oauthbearer` is RFC
    7628."""
    ca: FilePath | None = None
    """PEM file of the CA certificates to trust at `token_url`, instead of the system's: for a private CA."""

    @model_validator(mode="after")
    def _one_grant(self) -> OAuth2Auth:
        if self.service_account is not None:
            if self.client_id or self.client_secret or self.refresh_token or self.tenant:
                raise ValueError("with service_account, leave out client_id, client_secret, refresh_token and tenant")
            return self
        if self.client_id is None:
            raise ValueError("write client_id (with client_secret or refresh_token), or service_account")
        if self.client_secret is None and self.refresh_token is None:
            raise ValueError(
                "write client_secret, for an application that logs in as itself, or refresh_token, for a user who "
                "has consented"
            )
        return self


Auth = Annotated[PasswordAuth | OAuth2Auth, Field(discriminator="type")]


class ClientCertificateSection(Section):
    """The certificate that a server asks for, in TLS, before the login."""

    certificate: SecretRef
    """Where the certificate is, with the intermediate ones behind it: `file:/path` or `env:NAME` of PEM. It is read
    at each login, so that it can be renewed."""
    key: SecretRef | None = None
    """Where its private key is, PEM too. Without it the key is read from `certificate`."""
    password: SecretRef | None = None
    """Where the password of the key is, if the key is encrypted."""


class ProxySection(Section):
    """The proxy through which POP3 servers are reached."""

    url: str
    """`socks5://host:1080`, or `http://host:3128` for a proxy that allows CONNECT. The port is required. The proxy
    resolves the names of mail servers."""
    username: Line | None = Field(default=None, repr=False)
    """User name at the proxy, with `password`."""
    password: SecretRef | None = None
    """Where the password for the proxy is: `env:NAME` or `file:/path`."""

    @model_validator(mode="after")
    def _is_proxy_url(self) -> ProxySection:
        parts = split_url(self.url)
        if parts.scheme not in get_args(ProxyKind) or not parts.hostname or not parts.port or parts.path.strip("/"):
            raise ValueError("write socks5://host:1080 or http://host:3128, with the port")
        if parts.username is not None or parts.password is not None:
            raise ValueError("write the user as `username`, and where its password is as `password`")
        if (self.username is None) != (self.password is None):
            raise ValueError("write both username and password, or neither")
        return self


class DeadlinesSection(Section):
    """The maximum duration of each phase of a POP3 session."""

    connect: Duration | None = None
    """For the TCP connection, including the proxy's. Two times what TCP needs for three lost SYN packets (7 s)."""
    tls: Duration | None = None
    """For the TLS handshake."""
    reply: Duration | None = None
    """For the first line of the answer to a command. Long, as servers scan a large maildrop while they answer
    PASS."""
    idle: Duration | None = None
    """Between two reads while a message arrives. `limits.minimum_rate` bounds how slowly it may arrive."""
    quit: Duration | None = None
    """For the answer to QUIT, in which servers delete the marked messages: thousands of files may take a while."""
    poll: Duration | None = None
    """For the whole session, so that one server cannot occupy a poller forever."""


class LimitsSection(Section):
    """The maximum cost of a mailbox."""

    message_bytes: Size | None = None
    """Maximum size of a message. Of a larger one only the header is fetched; it gets a manifest and an event. The
    default is the largest limit among large providers (Exchange Online: 150 MB)."""
    listed_messages: Count | None = None
    """Maximum number of messages on the server. A mailbox with more is not polled: the answers to UIDL and LIST would
    exceed 10 MB."""
    messages_per_poll: Count | None = None
    """Maximum number of messages that one poll fetches, so that a full mailbox does not keep a poller to itself. The
    next poll follows at once."""
    connections: Count | None = None
    """Maximum number of simultaneous connections to the mailbox's server, and to its network address, over all
    workers. The default is Dovecot's limit per user and address."""
    minimum_rate: Count | None = None
    """Minimum rate at which an answer must arrive, in bytes per second. A slower server is disconnected."""


class DefaultsSection(Section):
    """Options that mailboxes inherit."""

    interval: Interval | None = None
    """Time between the starts of two polls; at least 1s. A minute is soon enough for business mail, and gentle to the
    server."""
    policy: Policy | None = None
    """What happens on the server to messages that are done: `keep` leaves them, `delete` deletes them in a later
    session, `{delete_after: 30d}` that long after they were stored. The default loses nothing."""
    tls: Tls | None = None
    """`implicit` is TLS from the first byte, `starttls` upgrades a plain connection, `none` sends mail and password
    in clear text."""
    port: Port | None = None
    """Port of the POP3 server. That of `defaults` applies to mailboxes without a `tls` of their own."""
    ca: FilePath | None = None
    """PEM file of the CA certificates to trust instead of the system's: for a private CA."""
    proxy: ProxySection | None = None
    """Proxy through which the server is reached."""
    authserv_id: Line | None = None
    """Name under which the receiving mail server writes Authentication-Results. Only fields of this name are read, as
    a sender can forge any other."""
    trusted_hops: Annotated[int, Field(ge=0, le=20)] | None = None
    """How many Received fields from the top were written by servers of yours or of your provider. Down to there
    Delivered-To, Return-Path and their like count as the message's `envelope`; a sender can forge what is below. By
    default the hop that `authserv_id` names, else one; `0` believes none."""
    limits: LimitsSection = LimitsSection()
    """The maximum cost of a mailbox."""
    deadlines: DeadlinesSection = DeadlinesSection()
    """The maximum duration of each phase of a POP3 session."""
    labels: Labels = Field(default_factory=dict)
    """Up to 32 labels that are copied into manifests and events. A mailbox's own are added to those of `defaults`."""


class MailboxSection(DefaultsSection):
    """One POP3 maildrop."""

    id: Name
    """Identifies the mailbox in message keys, object keys, events and metrics. Never change it: all its mail would be
    fetched again."""
    provider: Provider = Provider.GENERIC
    """`gmail`, `microsoft365`, `yahoo` or `zoho` supply host, port, OAuth2 addresses and the server's known
    deviations. Options that are written take precedence. `generic` supplies nothing."""
    host: Host | None = None
    """Name or address of the POP3 server. Required without a provider."""
    auth: Auth
    """How to log in."""
    fingerprint: Fingerprint | None = None
    """SHA-256 of the server's certificate, 64 hex digits. It is then the only certificate that is accepted: for a
    self-signed one."""
    tls_minimum: MinimumTls | None = None
    """Oldest TLS version to accept. `"1.0"` is for a server that has nothing newer: whoever can change the traffic
    may read mail and password. `check` and the log warn of it."""
    ciphers: Ciphers | None = None
    """Cipher suites up to TLS 1.2, as OpenSSL writes them, instead of the secure ones: `DEFAULT` for a server with
    RSA key exchange only, `DEFAULT:@SECLEVEL=1` for one with Diffie-Hellman keys of 1024 bits. `check` and the log
    warn of it."""
    client_certificate: ClientCertificateSection | None = None
    """Certificate that is shown to a server that asks for one."""
    prefix: Annotated[str, Field(pattern=PREFIX_PATTERN)] | None = None
    """Folder of the mailbox in object keys, instead of its id."""
    enabled: bool = True
    """`false` stops polling the mailbox. To pause it without changing the file: `mailhaul mailboxes pause`."""
