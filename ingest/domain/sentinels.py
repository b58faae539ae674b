"""Where a ledger is that Sentinels look after: `redis+sentinel://user:password@host:26379,host2/service/0`.

There is no standard for such addresses; this is the form that most clients with one have in common.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

_SCHEMES = {"redis+sentinel": False, "valkey+sentinel": False, "rediss+sentinel": True, "valkeys+sentinel": True}
_PORT = 26379
_HIGHEST_PORT = 65_535
_WORDS = (
    "write redis+sentinel://user:password@host:26379,host:26379/service/0; behind it may stand sentinel_username, "
    "sentinel_password and ssl_ca_certs"
)
_OPTIONS = frozenset({"sentinel_username", "sentinel_password", "ssl_ca_certs"})


@dataclass(frozen=True, slots=True)
class Login:
    """User name and password, None where there is none."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Sentinels, and what they are asked for.

    Attributes:
        hosts: of the Sentinels, with their ports.
        service: the name under which they know the primary.
        database: its number.
        login: for the servers.
        sentinel_login: for the Sentinels.
        tls: to Sentinels and servers alike.
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
    """What such an address says; None for one of another scheme.

    Raises:
        ValueError: the address is not whole, or has an option that is unknown; the text says how to write it.
    """
    try:
        return _read(url)
    except ValueError:
        raise ValueError(_WORDS) from None  # the other may quote a password


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
        hosts=tuple(_host(host) for host in hosts.split(",")),
        service=unquote(service),
        database=int(database or 0),
        login=_login(*login.split(":", 1)),
        sentinel_login=Login(options.get("sentinel_username"), options.get("sentinel_password")),
        tls=_SCHEMES[parts.scheme],
        ca_file=options.get("ssl_ca_certs"),
    )


def _host(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.username is not None or not 0 < (parts.port or _PORT) <= _HIGHEST_PORT:
        raise ValueError
    return parts.hostname, parts.port or _PORT


def _login(username: str = "", password: str = "") -> Login:
    return Login(unquote(username) or None, unquote(password) or None)
