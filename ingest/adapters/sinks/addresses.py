"""Tell public internet addresses from private ones (protection against server-side request forgery).

A URL chosen by somebody else must not direct a request to a place that only we can reach: this machine, our network,
or the metadata service that gives out a cloud machine's credentials. The data are IANA's registries of
special-purpose addresses (https://www.iana.org/assignments/iana-ipv4-special-registry and
iana-ipv6-special-registry), as implemented in Python's `ipaddress`.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

# The range allocated for global unicast (RFC 4291 section 2.4 and IANA's registry of address space).
_UNICAST = IPv6Network("2000::/3")
# IPv4 behind a NAT64 gateway (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")
# Global by number but not public: IETF assignments (192.0.0.192 is Oracle Cloud's metadata service), 6to4 relays
# (RFC 7526), and 168.63.129.16, where Azure's machines reach their host.
_NOT_PUBLIC = tuple(ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"))


def is_public(address: str) -> bool:
    """Whether an address, as returned by the resolver, is reachable from the public internet."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv4Address):
        return _is_public_4(found)
    inner = _inner(found)
    if inner is not None:
        return all(_is_public_4(one) for one in inner)
    return found in _UNICAST and found.is_global and not found.is_multicast


def _is_public_4(address: IPv4Address) -> bool:
    special = address.is_multicast or any(address in network for network in _NOT_PUBLIC)
    return address.is_global and not special


def _inner(address: IPv6Address) -> tuple[IPv4Address, ...] | None:
    """Return the IPv4 addresses that this IPv6 address may lead to, or None if it embeds none."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address in _NAT64:
        return (IPv4Address(int(address) & 0xFFFF_FFFF),)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    return address.teredo
