"""The first configuration: any answers give a file that is read back with the same meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.config.load import load
from ingest.config.providers import Provider
from ingest.config.starter import Application, FirstMailbox, first_configuration, mailbox_id, provider_of

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.config import Config


def read(folder: Path, first: FirstMailbox) -> Config:
    path = folder / "mailhaul.yaml"
    path.write_text(first_configuration(first))
    return load(path, {})


def first(address: str = "invoices@example.org", **changes: object) -> FirstMailbox:
    answers = {"secret": "env:P", "provider": Provider.GENERIC, "host": "pop.example.org", "application": None}
    return FirstMailbox(address, data="/srv/mail haul: #1", **(answers | changes))  # type: ignore[arg-type]


def test_password_login_at_a_named_server(tmp_path: Path) -> None:
    config = read(tmp_path, first(secret="file:secrets/a b"))
    (box,) = config.mailboxes
    assert (box.id, box.host, box.auth.username, box.auth.type) == (
        *("invoices", "pop.example.org", "invoices@example.org", "password"),
    )
    assert box.auth.password == "file:secrets/a b"  # type: ignore[union-attr]
    assert config.store.url == "file:///srv/mail%20haul%3A%20%231/store"


@pytest.mark.parametrize("installed", [True, False])
def test_console_is_configured_where_its_packages_are_installed(tmp_path: Path, *, installed: bool) -> None:
    assert (read(tmp_path, first(console=installed)).console is not None) == installed


@pytest.mark.parametrize("provider", [each for each in Provider if each is not Provider.GENERIC])
def test_each_provider_gives_a_valid_configuration(tmp_path: Path, provider: Provider) -> None:
    (box,) = read(tmp_path, first(provider=provider, host=None)).mailboxes
    assert (box.provider, box.auth.type) == (provider, "password")


@pytest.mark.parametrize(("provider", "tenant"), [(Provider.GMAIL, None), (Provider.MICROSOFT365, "example.org")])
def test_application_logs_in_with_oauth2(tmp_path: Path, provider: Provider, tenant: str | None) -> None:
    (box,) = read(tmp_path, first(provider=provider, host=None, application=Application("0a1b", tenant))).mailboxes
    assert (box.auth.type, box.auth.client_id, box.auth.tenant) == ("oauth2", "0a1b", tenant)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["yes", "null", "1", "1e5", "on", "2026-11-27"])
def test_name_that_yaml_takes_for_something_else_is_quoted(tmp_path: Path, name: str) -> None:
    (box,) = read(tmp_path, first(f"{name}@example.org", host=name)).mailboxes
    assert (box.id, box.host) == (name, name)


@given(address=st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=80))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_address_is_written_so_that_it_is_read_back(tmp_path: Path, address: str) -> None:
    (box,) = read(tmp_path, first(address)).mailboxes
    assert box.auth.username == address


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("invoices@example.org", "invoices"),
        ("Billing.Dept+x@example.org", "billing.dept-x"),
        ("münchen@example.org", "m-nchen"),
        ("@example.org", "mailbox"),
        (r"CORP\ann", "corp-ann"),
        ("x" * 99, "x" * 63),
    ],
)
def test_mailbox_id_comes_from_the_address(address: str, expected: str) -> None:
    assert mailbox_id(address) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [("a@Gmail.com", Provider.GMAIL), ("a@yahoo.com", Provider.YAHOO), ("a@example.org", Provider.GENERIC)],
)
def test_provider_is_guessed_from_the_domain(address: str, expected: Provider) -> None:
    assert provider_of(address) is expected
