"""TXT records from the DNS, through dnspython."""

from __future__ import annotations

import dns.exception
import dns.name
import dns.resolver

from ingest.errors import DnsUnavailableError

_NAMES = 4096  # whose answers are remembered for as long as these say


class DnsResolver:
    """Asks the system's name servers.

    Args:
        timeout: seconds for one question as a whole.
        server: address and port to ask instead.

    Raises:
        DnsUnavailableError: the system names no server.
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
        """The first TXT record of a name, its strings joined; None where there is none.

        Raises:
            DnsUnavailableError: no answer in time, or none that says yes or no.
        """
        try:
            answer = self._resolver.resolve(f"{name}.", "TXT", raise_on_no_answer=False, search=False)
        except (dns.resolver.NXDOMAIN, dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel):
            return None
        except (dns.exception.DNSException, OSError) as error:
            raise DnsUnavailableError("the DNS does not answer") from error
        return next((b"".join(record.strings) for record in answer.rrset or ()), None)
