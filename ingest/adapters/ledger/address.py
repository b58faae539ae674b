"""Addresses of a ledger, in the forms that redis-py and kombu ask for."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

_SAME_PROTOCOL = {"valkey": "redis", "valkeys": "rediss"}


def redis_url(url: str) -> str:
    """The address as redis-py takes it: `valkey://` is `redis://`, `valkeys://` is `rediss://`."""
    scheme, separator, rest = url.partition("://")
    return _SAME_PROTOCOL.get(scheme, scheme) + separator + rest


def broker_url(url: str) -> str:
    """The address as kombu takes it: `redis+socket:///path?virtual_host=0` for a unix socket.

    For `rediss://`, kombu verifies nothing it is not told to (`ssl_cert_reqs`), so it is told to.
    """
    url = redis_url(url)
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    if parts.scheme == "unix":
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={options.get('db', ['0'])[0]}"
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in options:
        return f"{url}{'&' if parts.query else '?'}ssl_cert_reqs=required"
    return url
