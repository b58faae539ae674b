"""Addresses of a ledger behind Redis Sentinel: `redis+sentinel://user:password@host:26379,host2/service/0`.

There is no standard for such addresses; most clients that support one use this form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

_SCHEMES = {"redis+sentinel": False, "valkey+sentinel": False, "rediss+sentinel": True, "valkeys+sentinel": True}
_PORT = 26379
_FORM = (
    "write redis+sentinel://user:password@host:26379,host:26379/service/0; optional parameters: sentinel_username, "
    "sentinel_password and ssl_ca_certs"
)
_OPTIONS = frozenset({"sentinel_username", "sentinel_password", "ssl_ca_certs"})


@dataclass(frozen=True, slots=True)
class Login:
    """User name and password, each None if there is none."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The Sentinels, and the service they monitor.

    Attributes:
        hosts: the Sentinels' hosts and ports.
        service: the name of the monitored service.
        database: the number of the database.
        login: for the Redis or Valkey servers.
        sentinel_login: for the Sentinels.
        tls: whether connections to both use TLS.
        ca_file: PEM certificates to trust instead of the system's.
    """

    hosts: tuple[tuple[str, int], ...]
    service: str
    database: int
    login: Login
    sentinel_login: Login
    tls: bool
    ca_file: str | None


def read_sentinels(url: str) -> Sentinels | None:
    """Parse an address; returns None if it has another scheme.

    Raises:
        ValueError: the address is incomplete, or has an unknown option; the text shows the form.
    """
    try:
        return _read(url)
    except ValueError:
        raise ValueError(_FORM) from None  # the original error may quote a password


def _read(url: str) -> Sentinels | None:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        return None
    login, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.removeprefix("/").partition("/")
    options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    if not service or not (database or "0").isdecimal() or options.keys() - _OPTIONS:
        raise ValueError
    return Sentinels(
        hosts=tuple(read_host(host, _PORT) for host in hosts.split(",")),
        service=unquote(service),
        database=int(database or 0),
        login=read_login(login),
        sentinel_login=Login(options.get("sentinel_username"), options.get("sentinel_password")),
        tls=_SCHEMES[parts.scheme],
        ca_file=options.get("ssl_ca_certs"),
    )


def read_host(text: str, port: int) -> tuple[str, int]:
    """Parse `host:port`, `host` or `[IPv6]:port`; `port` is the default.

    Raises:
        ValueError: it is something else.
    """
    parts = urlsplit(f"//{text}")
    port = port if parts.port is None else parts.port
    if not parts.hostname or parts.username is not None or not port:
        raise ValueError
    return parts.hostname, port


def read_login(text: str) -> Login:
    """Parse what precedes the `@` of an address: `user:password`, either of which may be empty."""
    username, _, password = text.partition(":")
    return Login(unquote(username) or None, unquote(password) or None)
