"""OAuth2 access tokens: fetched through Authlib, kept until they end."""

from ingest.adapters.tokens.cache import TokenCache

__all__ = ["TokenCache"]
