"""Logging in to and out of the console through a real identity provider, in a real browser."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from ingest.demo.server import DemoServer
from tests.support.chromium import chromium
from tests.support.identity_provider import CLIENT_SECRET, IdentityProvider
from tests.support.servers import free_port
from tests.support.service import Service, write_config
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page


@pytest.fixture
def console(tmp_path: Path) -> Iterator[tuple[str, IdentityProvider]]:
    """A service whose console logs people in through a provider: its address, and the provider."""
    (tmp_path / "drops" / "in").mkdir(parents=True)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with DemoServer(tmp_path / "drops", {"in": "right"}) as server, IdentityProvider(tmp_path, address) as provider:
        auth = {"type": "password", "username": "in", "password": "env:SECRET"}
        box = {"id": "in", "host": "127.0.0.1", "port": server.port, "tls": "none", "auth": auth}
        oidc = {
            "url": address,
            "issuer": provider.issuer,
            "client_id": "mailhaul",
            "client_secret": "env:CLIENT_SECRET",
            "scopes": ["openid", "profile", "groups"],
            "roles": [{"group": "mail-admins", "role": "operator"}, {"group": "staff"}],
        }
        config = write_config(tmp_path, [box], console={"port": port, "oidc": oidc})
        with Service(config, env={"SECRET": "right", "CLIENT_SECRET": CLIENT_SECRET}):
            eventually(lambda: listens(port), "the console does not listen")
            yield address, provider


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def log_in(page: Page, user: str) -> None:
    page.get_by_role("link", name="Log in with single sign-on").click()
    page.get_by_label("User").fill(user)
    page.get_by_role("button", name="Go").click()


@pytest.mark.e2e
def test_people_log_in_and_out_through_a_real_provider(console: tuple[str, IdentityProvider]) -> None:
    address, provider = console
    with chromium() as (page, hosts):
        page.goto(f"{address}/mailboxes")
        log_in(page, "anna")
        page.wait_for_url(f"{address}/mailboxes")
        page.get_by_role("button", name="Pause").wait_for()
        with page.expect_response(lambda answer: answer.url.endswith("/live")):
            page.goto(address)
        other = page.context.new_page()
        other.goto(f"{address}/mailboxes")
        other.get_by_role("button", name="Log out").click()
        page.get_by_role("link", name="Log in with single sign-on").wait_for()  # without a reload
        other.get_by_role("button", name="Yes").click()
        other.wait_for_url(f"{address}/")
        other.close()
        log_in(page, "ben")
        with page.expect_response(lambda answer: answer.url.endswith("/live")):
            page.wait_for_url(f"{address}/")
        other = page.context.new_page()
        other.goto(f"{provider.issuer}/session/end")  # by another application
        other.get_by_role("button", name="Yes").click()
        page.get_by_role("link", name="Log in with single sign-on").wait_for()
        other.close()
        log_in(page, "ben")
        page.get_by_role("button", name="Log out").wait_for()
        provider.stop()
        page.goto(f"{address}/mailboxes")
        page.get_by_role("region", name="in").wait_for()
        assert page.get_by_role("button", name="Pause").count() == 0, "a viewer does nothing"
        own = {address, provider.issuer}
        assert {f"http://{host}" for host in hosts} == own
