"""OAuth2 access tokens, fetched through Authlib and cached until they expire."""

from ingest.adapters.tokens.cache import TokenCache

__all__ = ["TokenCache"]
