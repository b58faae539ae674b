"""Which network addresses belong to the public internet.

An address that somebody else chooses must not lead a request to where only we can go: this machine, our network, or
the metadata service that hands out a cloud machine's credentials. The registries are IANA's, for special-purpose
addresses (https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry), as Python's
`ipaddress` has them.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

# What is allotted to networks today (RFC 4291, section 2.4, and IANA's registry of address space).
_UNICAST = IPv6Network("2000::/3")
# IPv4 behind a gateway that translates (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")
# Public by their number alone: IETF's own (192.0.0.192 is Oracle Cloud's metadata), 6to4 relays (RFC 7526), and
# 168.63.129.16, at which Azure's machines find their host.
_NOT_PUBLIC = tuple(ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"))


def is_public(address: str) -> bool:
    """Whether an address, as the resolver gives it, is one that anybody on the internet could reach."""
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
    """The IPv4 addresses that a packet to this IPv6 address may end at; None where it is just that."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address in _NAT64:
        return (IPv4Address(int(address) & 0xFFFF_FFFF),)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    return address.teredo
