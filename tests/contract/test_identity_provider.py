"""A real identity provider, asked as `mailhaul check` does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.oidc import Client, Provider
from ingest.errors import ProviderUnavailableError, SignOnRefusedError
from tests.support.identity_provider import CLIENT_SECRET, IdentityProvider

if TYPE_CHECKING:
    from pathlib import Path

CONSOLE = "http://127.0.0.1:8480"


def provider(issuer: str, secret: str = CLIENT_SECRET) -> Provider:
    client = Client(issuer, "mailhaul", ("openid",), f"{CONSOLE}/login/oidc/callback", lambda: secret)
    return Provider(client, time.monotonic, time.time)


def test_provider_knows_the_client_by_its_secret_alone(tmp_path: Path) -> None:
    with IdentityProvider(tmp_path, CONSOLE) as running:
        assert "knows the client; logs out there too" in provider(running.issuer).check()
        with pytest.raises(SignOnRefusedError, match="client_secret"):
            provider(running.issuer, "wrong").check()
        with pytest.raises(ProviderUnavailableError, match="another issuer"):
            provider(f"{running.issuer}/").check()
        running.stop()
        with pytest.raises(ProviderUnavailableError, match="cannot be reached"):
            provider(running.issuer).check()
