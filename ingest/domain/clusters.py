"""Addresses of a ledger in a Redis Cluster: `redis+cluster://user:password@host:6379,host2`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from ingest.domain.sentinels import Login, read_host, read_login

_SCHEMES = {"redis+cluster": False, "valkey+cluster": False, "rediss+cluster": True, "valkeys+cluster": True}
_PORT = 6379
_FORM = (
    "write redis+cluster://user:password@host:6379,host:6379, with some of the cluster's nodes or one name for all "
    "of them; optional parameter: ssl_ca_certs"
)
_OPTIONS = frozenset({"ssl_ca_certs"})


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Redis Cluster.

    Attributes:
        hosts: hosts and ports of some of its nodes, which name the others.
        login: for all nodes.
        tls: whether connections use TLS.
        ca_file: PEM certificates to trust instead of the system's.
    """

    hosts: tuple[tuple[str, int], ...]
    login: Login
    tls: bool
    ca_file: str | None


def read_cluster(url: str) -> Cluster | None:
    """Parse an address; returns None if it has another scheme.

    Raises:
        ValueError: the address is incomplete, names a database, or has an unknown option; the text shows the form.
    """
    try:
        return _read(url)
    except ValueError:
        raise ValueError(_FORM) from None  # the original error may quote a password


def _read(url: str) -> Cluster | None:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        return None
    login, _, hosts = parts.netloc.rpartition("@")
    options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    if parts.path not in {"", "/", "/0"} or options.keys() - _OPTIONS:  # a cluster has no other database
        raise ValueError
    return Cluster(
        hosts=tuple(read_host(host, _PORT) for host in hosts.split(",")),
        login=read_login(login),
        tls=_SCHEMES[parts.scheme],
        ca_file=options.get("ssl_ca_certs"),
    )
