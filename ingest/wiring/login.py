"""The identity provider, as the configuration describes it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.adapters.oidc import Provider
    from ingest.config import Config, Secrets

CALLBACK = "/login/oidc/callback"


def identity_provider(config: Config, secrets: Secrets) -> Provider | None:
    """Return the identity provider that logs people in to the console; None if none is configured."""
    section = None if config.console is None else config.console.oidc
    if section is None:
        return None
    from ingest.adapters.oidc import Client, Provider  # noqa: PLC0415 - authlib takes 0.2 s

    client = Client(
        issuer=section.issuer,
        client_id=section.client_id,
        scopes=tuple(section.scopes),
        redirect_url=f"{section.url.rstrip('/')}{CALLBACK}",
        secret=None if section.client_secret is None else partial(secrets.read, section.client_secret),
        ca_file=None if section.ca is None else str(section.ca),
    )
    return Provider(client, time.monotonic, time.time)


def check_login(config: Config, secrets: Secrets) -> str:
    """Ask the identity provider for everything that a login needs; return what it offers.

    Raises:
        ConfigError: the client's secret cannot be read.
        ProviderUnavailableError: the provider cannot be used.
        SignOnRefusedError: it does not know the client.
    """
    provider = identity_provider(config, secrets)
    assert provider is not None
    return provider.check()
