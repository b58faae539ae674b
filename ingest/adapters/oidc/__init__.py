"""An identity provider that speaks OpenID Connect."""

from ingest.adapters.oidc.provider import Client, Provider

__all__ = ["Client", "Provider"]
