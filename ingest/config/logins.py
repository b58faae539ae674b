"""Read the credentials of mailboxes: login sections and secrets combined."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.config.mailbox import OAuth2Auth, PasswordAuth
from ingest.config.providers import PRESETS
from ingest.config.secrets import is_reference
from ingest.domain.mailbox import ClientCertificate, Credentials, Mechanism
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from ingest.config.mailbox import MailboxSection, ProxySection
    from ingest.config.providers import Preset
    from ingest.config.secrets import Secrets
    from ingest.domain.grant import Grant, TokenLogin

# Token server of all Google service accounts, whatever the mailbox's provider.
_GOOGLE = "https://oauth2.googleapis.com/token"


def login(section: MailboxSection, proxy: ProxySection | None, secrets: Secrets) -> Credentials | TokenLogin:
    """Read the credentials of a mailbox.

    Args:
        section: of the mailbox.
        proxy: that of the mailbox, or of the defaults.
        secrets: read now.

    Raises:
        ConfigError: a secret is missing.
    """
    read = _SecretReader(section.id, secrets)
    proxy_login, certificate = _proxy_login(proxy, read), _client_certificate(section, read)
    auth = section.auth
    if isinstance(auth, PasswordAuth):
        password = read("auth.password", auth.password)
        return Credentials(auth.username, password, Mechanism(auth.type), proxy=proxy_login, certificate=certificate)
    from ingest.domain.grant import TokenLogin  # noqa: PLC0415 - many configurations have no tokens

    preset = PRESETS[section.provider]
    mechanism = preset.mechanism if auth.mechanism is None else Mechanism(auth.mechanism)
    return TokenLogin(auth.username, mechanism, _grant(auth, preset, read), proxy_login, certificate)


def _grant(auth: OAuth2Auth, preset: Preset, read: _SecretReader) -> Grant:
    from ingest.domain.grant import ClientCredentials, RefreshToken, ServiceAccount  # noqa: PLC0415 - as above

    url = token_url(auth, preset).replace("{tenant}", auth.tenant or "")
    ca_file = None if auth.ca is None else str(auth.ca)
    if auth.service_account is not None:
        key = read("auth.service_account", auth.service_account)
        return ServiceAccount(url, key, auth.username, auth.scope or preset.application_scope, ca_file)
    assert auth.client_id is not None  # OAuth2Auth has checked it
    secret = None if auth.client_secret is None else read("auth.client_secret", auth.client_secret)
    if auth.refresh_token is not None:
        refresh = read("auth.refresh_token", auth.refresh_token)
        return RefreshToken(url, auth.client_id, secret, refresh, auth.scope or preset.user_scope, ca_file)
    assert secret is not None
    return ClientCredentials(url, auth.client_id, secret, auth.scope or preset.application_scope, ca_file)


def token_url(auth: OAuth2Auth, preset: Preset) -> str:
    """Return the token URL with `{tenant}` unreplaced; empty where neither login nor provider has one (`rules`)."""
    return auth.token_url or preset.token_url or (_GOOGLE if auth.service_account is not None else "")


def _proxy_login(section: ProxySection | None, read: _SecretReader) -> tuple[str, str] | None:
    if section is None or section.username is None or section.password is None:
        return None
    return section.username, read("proxy.password", section.password)


def _client_certificate(section: MailboxSection, read: _SecretReader) -> ClientCertificate | None:
    written = section.client_certificate
    if written is None:
        return None
    chain = read("client_certificate.certificate", written.certificate)
    key = chain if written.key is None else read("client_certificate.key", written.key)
    password = "" if written.password is None else read("client_certificate.password", written.password)
    return ClientCertificate(chain, key, password)


@dataclass(frozen=True, slots=True)
class _SecretReader:
    """Reads secrets of one mailbox; errors name the mailbox and the option."""

    mailbox: str
    secrets: Secrets

    def __call__(self, option: str, ref: str) -> str:
        try:
            return self.secrets.read(ref)
        except ConfigError as error:
            problems = [f"mailbox {self.mailbox}: {option}: {problem}" for problem in error.problems]
            raise ConfigError(problems) from error


def fingerprint(section: MailboxSection, secrets: Secrets) -> bytes:
    """Return the SHA-256 of everything that the mailbox's login depends on, including the secrets as they are now.

    Raises:
        ConfigError: a secret is missing.
    """
    written = section.auth.model_dump(mode="json")
    if section.client_certificate is not None:
        shown = section.client_certificate.model_dump(mode="json")
        written |= {f"client_certificate.{name}": value for name, value in shown.items()}
    read = {name: secrets.read(value) if is_reference(value) else value for name, value in written.items()}
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).digest()
