"""Public keys of DKIM signers, from the DNS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.errors import DnsUnavailableError, StartError

if TYPE_CHECKING:
    from ingest.ports.dkim import DkimKeys

# A resolver repeats a query after two seconds, then asks another server.
_DNS_SECONDS = 5.0


def published_keys() -> DkimKeys:
    """Return a checker of signatures with keys from the DNS.

    Raises:
        StartError: a needed package is not installed, or the system has no name server configured.
    """
    try:
        # Imported here because both need packages of an extra.
        from ingest.adapters.dkim.keys import PublishedKeys  # noqa: PLC0415
        from ingest.adapters.dkim.resolver import DnsResolver  # noqa: PLC0415
    except ImportError as error:
        raise StartError(f"verifying DKIM needs {error.name}; pip install 'mailhaul[dkim]'") from error
    try:
        return PublishedKeys(DnsResolver(_DNS_SECONDS).txt)
    except DnsUnavailableError as error:
        raise StartError(f"verifying DKIM needs the DNS: {error}") from error
