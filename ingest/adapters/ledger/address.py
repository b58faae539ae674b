"""Addresses of ledgers and brokers, converted for redis-py and kombu."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from ingest.domain.sentinels import read_sentinels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.domain.clusters import Cluster
    from ingest.domain.sentinels import Login, Sentinels

_SAME_PROTOCOL = {"valkey": "redis", "valkeys": "rediss"}


def redis_url(url: str) -> str:
    """The address for redis-py: `valkey://` becomes `redis://`, `valkeys://` becomes `rediss://`."""
    scheme, separator, rest = url.partition("://")
    return _SAME_PROTOCOL.get(scheme, scheme) + separator + rest


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker for kombu: address, transport options, and TLS options that do not fit into the address."""

    url: str = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tls: Mapping[str, Any] | None = None


def broker(url: str) -> Broker:
    """The broker at an address of Redis, Valkey, Sentinels or AMQP.

    Raises:
        ValueError: an address of Sentinels is incomplete.
    """
    sentinels = read_sentinels(url)
    return Broker(_kombu_url(url)) if sentinels is None else _of_sentinels(sentinels)


def _kombu_url(url: str) -> str:
    """`redis+socket:///path?virtual_host=0` for a unix socket.

    Without `ssl_cert_reqs`, kombu would not verify the certificate of a `rediss://` address.
    """
    url = redis_url(url)
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    if parts.scheme == "unix":
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={options.get('db', ['0'])[0]}"
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in options:
        return f"{url}{'&' if parts.query else '?'}ssl_cert_reqs=required"
    return url


def _of_sentinels(sentinels: Sentinels) -> Broker:
    login = sentinels.login
    user = quote(login.username or "", safe="")
    password = "" if login.password is None else f":{quote(login.password, safe='')}"
    before = f"{user}{password}@" if user or password else ""
    # kombu takes login and database from the first address, and only hosts and ports from the others.
    path = f"/{sentinels.database}"
    urls = [f"sentinel://{before}{_in_url(host)}:{port}{path}" for host, port in sentinels.hosts]
    tls = tls_options(sentinels)
    return Broker(
        ";".join(urls),
        {"master_name": sentinels.service, "sentinel_kwargs": {**login_options(sentinels.sentinel_login), **tls}},
        {key: value for key, value in tls.items() if key != "ssl"} or None,
    )


def login_options(login: Login) -> dict[str, str]:
    """The options of redis-py for a login."""
    given = {"username": login.username, "password": login.password}
    return {name: value for name, value in given.items() if value is not None}


def tls_options(servers: Sentinels | Cluster) -> dict[str, Any]:
    """The options of redis-py for TLS; empty without TLS."""
    if not servers.tls:
        return {}
    trusted = {} if servers.ca_file is None else {"ssl_ca_certs": servers.ca_file}
    return {"ssl": True, "ssl_cert_reqs": "required", **trusted}


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
