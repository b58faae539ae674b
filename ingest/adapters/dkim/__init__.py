"""Keys of DKIM signers, from the DNS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.errors import DnsUnavailableError, StartError

if TYPE_CHECKING:
    from ingest.ports.dkim import DkimKeys

# A resolver asks a server again after two seconds, and then another one.
_DNS_SECONDS = 5.0


def published_keys() -> DkimKeys:
    """What checks signatures with keys from the DNS.

    Raises:
        StartError: what it needs is not installed, or the system names no name server.
    """
    try:
        # Imported here, for both need packages that come with an extra.
        from ingest.adapters.dkim.keys import PublishedKeys  # noqa: PLC0415
        from ingest.adapters.dkim.resolver import DnsResolver  # noqa: PLC0415
    except ImportError as error:
        raise StartError(f"verifying DKIM needs {error.name}; pip install 'mailhaul[dkim]'") from error
    try:
        return PublishedKeys(DnsResolver(_DNS_SECONDS).txt)
    except DnsUnavailableError as error:
        raise StartError(f"verifying DKIM needs the DNS: {error}") from error
