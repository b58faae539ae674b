"""Presets of providers, the options that override them, and the kinds of login."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ingest.config import Config, Secrets
from ingest.config.load import load
from ingest.domain.grant import ClientCredentials, RefreshToken, ServiceAccount, TokenLogin
from ingest.domain.mailbox import ClientCertificate, Credentials, Mechanism, Proxy, Quirks, Tls
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

ENV = {"PASSWORD": "hunter2", "OTHER": "s3cret", "KEY": "{}"}
SECRETS = Secrets(Path("/"), ENV)
PASSWORD = {"type": "password", "username": "u", "password": "env:PASSWORD"}
APPLICATION = {
    "type": "oauth2",
    "username": "u",
    "client_id": "c",
    "client_secret": "env:OTHER",
    "tenant": "t.example",
}


def configured(tmp_path: Path, mailbox: dict[str, object], **defaults: object) -> Config:
    path = tmp_path / "c.yaml"
    content = {
        "store": "file:///s",
        "ledger": "embedded",
        "defaults": defaults,
        "mailboxes": [{"id": "a", **mailbox}],
    }
    path.write_text(yaml.safe_dump(content))
    return load(path, {})


@pytest.mark.parametrize(
    ("provider", "host", "quirks"),
    [
        ("gmail", "pop.gmail.com", Quirks(lists_window=True)),
        ("microsoft365", "outlook.office365.com", Quirks(two_step_auth=True)),
        ("yahoo", "pop.mail.yahoo.com", Quirks()),
        ("zoho", "poppro.zoho.com", Quirks()),
    ],
)
def test_a_provider_knows_its_server(tmp_path: Path, provider: str, host: str, quirks: Quirks) -> None:
    """Defaults for other servers do not change a preset."""
    config = configured(tmp_path, {"provider": provider, "auth": PASSWORD}, tls="starttls", port=110, ca="/ca.pem")
    server = config.mailboxes_by_id()["a"].server
    assert (server.host, server.port, server.tls, server.quirks) == (host, 995, Tls.IMPLICIT, quirks)
    assert server.ca_file is None


def test_what_is_written_goes_over_the_provider(tmp_path: Path) -> None:
    mailbox = {"provider": "zoho", "host": "poppro.zoho.eu", "port": 110, "tls": "starttls", "auth": PASSWORD}
    server = configured(tmp_path, mailbox).mailboxes_by_id()["a"].server
    assert (server.host, server.port, server.tls) == ("poppro.zoho.eu", 110, Tls.STARTTLS)


def test_places_are_as_many_as_the_provider_can_bear_unless_they_are_written(tmp_path: Path) -> None:
    """Gmail and Microsoft count by account, each of which has one session at most."""
    for provider, usual in (("gmail", 100), ("microsoft365", 100), ("yahoo", 10)):
        mailbox: dict[str, object] = {"provider": provider, "auth": PASSWORD}
        written = configured(tmp_path, {**mailbox, "limits": {"connections": 3}})
        assert configured(tmp_path, mailbox).mailboxes_by_id()["a"].limits.connections == usual
        assert written.mailboxes_by_id()["a"].limits.connections == 3


@pytest.mark.parametrize("url", ["http://id.example.info/token", "http://10.0.0.1/token"])
def test_a_secret_does_not_travel_in_the_clear(tmp_path: Path, url: str) -> None:
    auth = {key: value for key, value in APPLICATION.items() if key != "tenant"}
    with pytest.raises(ConfigError, match="https://"):
        configured(tmp_path, {"host": "h", "auth": {**auth, "token_url": url}})


@pytest.mark.parametrize("kind", ["password", "apop", "sasl-plain", "sasl-login", "scram-sha-256"])
def test_each_way_with_a_password_is_the_mechanism_of_its_name(tmp_path: Path, kind: str) -> None:
    config = configured(tmp_path, {"host": "h", "auth": {**PASSWORD, "type": kind}})
    assert config.login("a", SECRETS) == Credentials("u", "hunter2", Mechanism(kind))


def test_an_application_of_microsofts(tmp_path: Path) -> None:
    login = configured(tmp_path, {"provider": "microsoft365", "auth": APPLICATION}).login("a", SECRETS)
    url = "https://login.microsoftonline.com/t.example/oauth2/v2.0/token"
    grant = ClientCredentials(url, "c", "s3cret", "https://outlook.office365.com/.default")
    assert login == TokenLogin("u", Mechanism.XOAUTH2, grant)


def test_a_user_who_has_consented(tmp_path: Path) -> None:
    auth = {"type": "oauth2", "username": "u", "client_id": "c", "refresh_token": "env:OTHER", "tenant": "t"}
    login = configured(tmp_path, {"provider": "microsoft365", "auth": auth}).login("a", SECRETS)
    assert isinstance(login, TokenLogin)
    assert isinstance(login.grant, RefreshToken)
    assert (login.grant.refresh_token, login.grant.client_secret) == ("s3cret", None)
    assert "POP.AccessAsUser.All" in (login.grant.scope or "")


def test_a_service_account_acts_for_the_user(tmp_path: Path) -> None:
    auth = {"type": "oauth2", "username": "u@example.edu", "service_account": "env:KEY"}
    login = configured(tmp_path, {"provider": "gmail", "auth": auth}).login("a", SECRETS)
    assert isinstance(login, TokenLogin)
    grant = ServiceAccount("https://oauth2.googleapis.com/token", "{}", "u@example.edu", "https://mail.google.com/")
    assert login.grant == grant


def test_options_of_a_token_go_over_the_providers(tmp_path: Path) -> None:
    auth = {**APPLICATION, "scope": "other", "mechanism": "oauthbearer", "ca": "/ca.pem"}
    login = configured(tmp_path, {"provider": "microsoft365", "auth": auth}).login("a", SECRETS)
    assert isinstance(login, TokenLogin)
    assert (login.mechanism, login.grant.scope, login.grant.ca_file) == (Mechanism.OAUTHBEARER, "other", "/ca.pem")


def test_a_proxy_and_its_login(tmp_path: Path) -> None:
    proxy = {"url": "http://proxy.example:3128", "username": "p", "password": "env:OTHER"}
    for config in (
        configured(tmp_path, {"host": "h", "auth": PASSWORD, "proxy": proxy}),
        configured(tmp_path, {"host": "h", "auth": PASSWORD}, proxy=proxy),
    ):
        assert config.mailboxes_by_id()["a"].server.proxy == Proxy("http", "proxy.example", 3128)
        login = config.login("a", SECRETS)
        assert login.proxy == ("p", "s3cret")
        assert "s3cret" not in repr(login)


def test_client_certificate_is_read_with_its_key_and_password(tmp_path: Path) -> None:
    files = {"chain.pem": "CHAIN", "key.pem": "KEY", "both.pem": "BOTH"}
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n")
    secrets = Secrets(tmp_path, ENV)
    box = {"provider": "microsoft365", "auth": APPLICATION}
    apart = {"certificate": "file:chain.pem", "key": "file:key.pem", "password": "env:OTHER"}
    login = configured(tmp_path, {**box, "client_certificate": apart}).login("a", secrets)
    assert login.certificate == ClientCertificate("CHAIN", "KEY", "s3cret")
    assert not any(text in repr(login) for text in ("CHAIN", "KEY", "s3cret"))
    together = {"certificate": "file:both.pem"}
    login = configured(tmp_path, {"host": "h", "auth": PASSWORD, "client_certificate": together}).login("a", secrets)
    assert login.certificate == ClientCertificate("BOTH", "BOTH")


@pytest.mark.parametrize("option", ["certificate", "key", "password"])
def test_missing_client_certificate_names_mailbox_and_option(tmp_path: Path, option: str) -> None:
    shown = {"certificate": "env:OTHER", option: "env:NOWHERE"}
    config = configured(tmp_path, {"host": "h", "auth": PASSWORD, "client_certificate": shown})
    with pytest.raises(ConfigError, match=rf"mailbox a: client_certificate\.{option}: env:NOWHERE"):
        config.login("a", SECRETS)


@pytest.mark.parametrize("option", ["client_secret", "refresh_token"])
def test_a_missing_secret_names_mailbox_and_option(tmp_path: Path, option: str) -> None:
    auth = {**APPLICATION, option: "env:NOWHERE"}
    config = configured(tmp_path, {"provider": "microsoft365", "auth": auth})
    with pytest.raises(ConfigError, match=rf"mailbox a: auth\.{option}: env:NOWHERE"):
        config.login("a", SECRETS)


def test_a_fingerprint_changes_with_what_a_login_depends_on_and_nothing_else(tmp_path: Path) -> None:
    def of(auth: Mapping[str, str], env: Mapping[str, str], **mailbox: Any) -> bytes:
        config = configured(tmp_path, {"provider": "microsoft365", "auth": auth, **mailbox})
        return config.fingerprint("a", Secrets(Path("/"), env))

    first = of(APPLICATION, ENV)
    assert of(APPLICATION, ENV) == first
    assert of(APPLICATION, ENV, interval="5m") == first
    assert of(APPLICATION, {**ENV, "OTHER": "new"}) != first
    assert of({**APPLICATION, "username": "v"}, ENV) != first
    assert of({**APPLICATION, "tenant": "other.example"}, ENV) != first
    shown = of(APPLICATION, ENV, client_certificate={"certificate": "env:OTHER"})
    assert shown != first
    assert of(APPLICATION, {**ENV, "OTHER": "new"}, client_certificate={"certificate": "env:OTHER"}) != shown
