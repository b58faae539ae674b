"""Look up TXT records through dnspython."""

from __future__ import annotations

import dns.exception
import dns.name
import dns.resolver

from ingest.errors import DnsUnavailableError

_NAMES = 4096  # answers cached, for their TTL


class DnsResolver:
    """A resolver that asks the system's name servers.

    Args:
        timeout: seconds for one lookup as a whole.
        server: address and port of another server to ask.

    Raises:
        DnsUnavailableError: the system has no name server configured.
    """

    def __init__(self, timeout: float, server: tuple[str, int] | None = None) -> None:
        try:
            self._resolver = dns.resolver.Resolver(configure=server is None)
        except dns.resolver.NoResolverConfiguration as error:
            raise DnsUnavailableError("no name server is configured (/etc/resolv.conf)") from error
        self._resolver.lifetime = timeout
        self._resolver.cache = dns.resolver.LRUCache(_NAMES)
        if server is not None:
            self._resolver.nameservers, self._resolver.port = [server[0]], server[1]

    def txt(self, name: str) -> bytes | None:
        """Return the first TXT record of a name, its strings joined, or None if there is none.

        Raises:
            DnsUnavailableError: no answer in time, or an error.
        """
        try:
            answer = self._resolver.resolve(f"{name}.", "TXT", raise_on_no_answer=False, search=False)
        except (dns.resolver.NXDOMAIN, dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel):
            return None
        except (dns.exception.DNSException, OSError) as error:
            raise DnsUnavailableError("the DNS does not answer") from error
        return next((b"".join(record.strings) for record in answer.rrset or ()), None)
