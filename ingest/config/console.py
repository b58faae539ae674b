"""The options of the console. The docstring below an option is its documentation."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from ingest.config.fields import FilePath, HeaderName, Host, HttpUrl, Labels, Line, Name, Port, Section
from ingest.config.secrets import SecretRef  # noqa: TC001 - pydantic resolves it at run time
from ingest.config.units import Duration  # noqa: TC001 - as above

_LOOPBACK_NAMES = frozenset({"localhost"})


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError("write an address or a network, as in 10.0.0.5 or 10.0.0.0/24") from None


Network = Annotated[str, AfterValidator(_network)]


class _Rights(Section):
    """What somebody may see and do."""

    role: Literal["viewer", "operator"] = "viewer"
    """`viewer` searches, reads and downloads; `operator` also polls, pauses, retries, drops and replays."""
    mailboxes: Annotated[list[Name], Field(max_length=1000)] = Field(default_factory=list)
    """Ids of the mailboxes that may be seen; without these and `labels`, all."""
    labels: Labels = Field(default_factory=dict)
    """Labels that mailboxes must have to be seen, as `{tenant: de}`; with several, all of them."""


class TokenSection(_Rights):
    """An API token."""

    name: Name
    """Names who uses it, in the log."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the token, in hex. `mailhaul token` makes a token and prints both."""


class UserSection(_Rights):
    """Somebody whom the proxy names."""

    name: Line
    """As the proxy writes it in `header`; `*` for everybody whom no other entry names."""


class ProxyLoginSection(Section):
    """A proxy in front of the console that logs people in, such as oauth2-proxy."""

    header: HeaderName
    """The header field in which the proxy names the user, such as `X-Forwarded-User`. The proxy must remove it from
    what browsers send."""
    addresses: Annotated[list[Network], Field(min_length=1, max_length=100)]
    """Addresses or networks of the proxy. The field counts only in requests from there."""
    users: Annotated[list[UserSection], Field(min_length=1, max_length=10_000)]
    """Who may come in, and what they may see and do."""


def _over_tls(value: str) -> str:
    parts = urlsplit(value)
    if parts.query or parts.fragment:
        raise ValueError("must have neither `?` nor `#`")
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise ValueError("write an address that begins with https://; only on this machine http:// will do")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in _LOOPBACK_NAMES


class GroupSection(_Rights):
    """What the members of a group may see and do."""

    group: Line
    """As the identity provider writes it in `groups_claim`; `*` for everybody who logs in."""


class OidcSection(Section):
    """Log people in through an identity provider, by OpenID Connect."""

    url: Annotated[HttpUrl, AfterValidator(_over_tls)]
    """Address under which browsers reach the console, such as `https://mail.example.org`. The provider sends them
    back to `/login/oidc/callback` there: register that as the redirect URI, this address with a slash at its end as
    the one after logging out, and `/logout/oidc` there for back-channel logout, if the provider has it."""
    issuer: Annotated[HttpUrl, AfterValidator(_over_tls)]
    """The provider, exactly as it writes `issuer` in its `/.well-known/openid-configuration`."""
    client_id: Line
    """Under which the console is registered there."""
    client_secret: SecretRef | None = None
    """Where its secret is: `env:NAME` or `file:/path`. Without one it is a public client, which PKCE alone
    protects."""
    scopes: Annotated[list[Line], Field(min_length=1, max_length=20)] = Field(
        default_factory=lambda: ["openid", "profile"]
    )
    """What is asked for. Some providers send groups only if a scope asks for them."""
    groups_claim: Line = "groups"
    """Claim that holds the groups of a user, in the ID token or in the user info. Dots lead into claims, as in
    `realm_access.roles`. `email` counts only where the provider has verified the address."""
    user_claim: Line = "preferred_username"
    """Claim that names a user in the list of actions; without it, `sub`. Choose one that users cannot change."""
    roles: Annotated[list[GroupSection], Field(min_length=1, max_length=1000)]
    """What groups may see and do. The first entry with a group of the user counts; without any, the user may not come
    in."""
    ca: FilePath | None = None
    """PEM file of the CA certificates to trust at the provider, instead of the system's: for a private CA."""

    @model_validator(mode="after")
    def _asks_for_a_token(self) -> OidcSection:
        if "openid" not in self.scopes:
            raise ValueError("`scopes` needs `openid`")
        return self


class ConsoleSection(Section):
    """The console: a catalog of the messages, an HTTP API, and pages for the browser."""

    address: Host = "127.0.0.1"
    """Address to listen on. Other machines reach another address than that of this machine only, so it needs
    `tokens`, `proxy` or `oidc`."""
    port: Port = 8480
    """Port to listen on."""
    hosts: Annotated[list[Host], Field(max_length=100)] = Field(default_factory=list)
    """Names under which browsers reach it, such as `mail.example.org`. Requests for other names than these and
    the address itself are refused, so that no page elsewhere can read it through a name of its own. Without
    any, every name is accepted where `tokens` alone let people in."""
    catalog: FilePath = Path("mailhaul-catalog.sqlite")
    """The catalog's file. It may be lost: it is built again from the store."""
    database: SecretRef | None = None
    """Where the address of a PostgreSQL database for the catalog is: `env:NAME` or `file:/path`, instead of the file.
    The address is `postgresql://user:password@host/name`. Needs an extra: `pip install 'mailhaul[postgresql]'`."""
    tokens: Annotated[list[TokenSection], Field(max_length=1000)] = Field(default_factory=list)
    """API tokens, which also log browsers in."""
    proxy: ProxyLoginSection | None = None
    """A proxy that logs people in."""
    oidc: OidcSection | None = None
    """An identity provider that logs people in."""
    session_idle: Annotated[Duration, Field(ge=60, le=43_200)] = 7_200.0
    """A browser that is not used for so long has to log in again; in any case after twelve hours. A page that brings
    itself up to date does not count as use."""
    trusted_proxies: Annotated[list[Network], Field(max_length=100)] = Field(default_factory=list)
    """Addresses or networks of proxies in front of the console. Failed logins are counted for each client; in
    requests from there, the client is the last address in `X-Forwarded-For` that is none of these. Those of `proxy`
    count too."""

    @model_validator(mode="after")
    def _is_safe(self) -> ConsoleSection:
        if not self.loopback and not self.tokens and self.proxy is None and self.oidc is None:
            raise ValueError(
                f"listens on {self.address}, where other machines can reach it, and lets everybody in: write "
                "`tokens`, `proxy` or `oidc`, or leave out `address`"
            )
        if not self.loopback and self.proxy is not None and not self.hosts:
            raise ValueError("`proxy` needs `hosts`: the names in `Host` of the requests that it passes on")
        if len({token.name for token in self.tokens}) < len(self.tokens):
            raise ValueError("two tokens have the same name; choose another")
        return self

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return _is_loopback(self.address)
