"""The console in a real browser, on a running service."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
import yaml

from ingest.cli.children import PROCESSES
from ingest.demo.mails import Kind, sample
from ingest.demo.server import DemoServer
from tests.support.bench import message_key
from tests.support.chromium import chromium
from tests.support.servers import free_port
from tests.support.service import Service, write_config
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

EVIL = b"http://evil.invalid"
HOSTILE = (
    b"From: Mallory <mallory@evil.invalid>\r\nTo: in@example.org\r\nSubject: A hostile mail\r\n"
    b"Date: Fri, 27 Nov 2026 12:00:00 +0000\r\nMessage-ID: <hostile@evil.invalid>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/html; charset=utf-8\r\n\r\n"
    b"<html><head><meta http-equiv=refresh content='0;url=%b/refresh'><base href='%b/'>"
    b"<link rel=stylesheet href='%b/link.css'>"
    b"<style>@import url(%b/i.css); *{background:url(%b/s.gif)}</style></head>"
    b"<body background='%b/body.gif' onload=\"document.title='pwned'\"><p id=seen>Read me</p>"
    b"<script>document.title='pwned';fetch('%b/script')</script>"
    b"<img src='%b/img.gif' onerror=\"fetch('%b/onerror')\">"
    b"<div style='background-image:\\75rl(%b/escape.gif)'>x</div>"
    b"<svg onload=\"fetch('%b/svg')\"><image href='%b/s'/></svg>"
    b"<iframe src='%b/frame'></iframe><object data='%b/object'></object><video src='%b/video' autoplay></video>"
    b"<form action='%b/form'><input name=q autofocus onfocus='this.form.submit()'></form></body></html>\r\n"
).replace(b"%b", EVIL)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A service with a console; its address, and the folder of its mailbox."""
    drop = tmp_path / "drops" / "in"
    drop.mkdir(parents=True)
    (drop / "0.eml").write_bytes(HOSTILE)
    with DemoServer(tmp_path / "drops", {"in": "right"}) as server:
        auth = {"type": "password", "username": "in", "password": "env:SECRET"}
        box = {"id": "in", "host": "127.0.0.1", "port": server.port, "tls": "none", "auth": auth}
        port = free_port()
        config = write_config(tmp_path, [box], console={"port": port})
        with Service(config, env={"SECRET": "right"}) as running:
            running.wait_for_events(1)
            eventually(lambda: listens(port), "the console does not listen")
            yield f"http://127.0.0.1:{port}", drop


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.e2e
def test_hostile_mail_runs_nothing_and_asks_no_other_host_and_new_mail_shows_up(service: tuple[str, Path]) -> None:
    address, drop = service
    with chromium() as (page, hosts):
        page.goto(address)
        page.get_by_role("link", name="A hostile mail").click()
        frame = page.frame_locator("iframe.mail")
        assert frame.locator("p").first.text_content() == "Read me"
        page.wait_for_load_state("networkidle")
        assert page.title() == "A hostile mail · Mailhaul"
        assert set(hosts) == {address.removeprefix("http://")}
        shows_mail_that_arrives(page, address, drop)
        eight_tabs_share_one_connection(page, address, drop)
        finds_the_invoice(page, address)
        counts_and_replays(page, address)
        serves_metrics(drop.parents[1] / "mailhaul.yaml")
        assert set(hosts) == {address.removeprefix("http://")}


def serves_metrics(config: Path) -> None:
    """On the last of the ports that the service has for them."""
    port = yaml.safe_load(config.read_text())["metrics"]["port"] + len(PROCESSES)
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
        found = answer.read().decode()
    for series in (
        'console_request_duration_seconds_count{route="/",status="2xx"}',
        'cpu_seconds_total{role="console"}',
    ):
        assert series in found
    assert "mailhaul_console_live_streams" in found


def shows_mail_that_arrives(page: Page, address: str, drop: Path) -> None:
    """Without a reload: the page is opened once."""
    invoice = sample(1, "in", Kind.XML_INVOICE)
    page.goto(address)
    with page.expect_response(lambda answer: answer.url.endswith("/live")):
        page.reload()
    (drop / "1.eml").write_bytes(invoice.raw)
    page.locator(f'a[href="/messages/{message_key("in", invoice.raw)}"]').wait_for()


def eight_tabs_share_one_connection(page: Page, address: str, drop: Path) -> None:
    """A browser opens six to a host: with one for each tab, the seventh would show nothing."""
    page.goto("about:blank")  # which gives back its connection
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    tabs = [page.context.new_page() for _ in range(8)]
    with page.context.expect_event("request", lambda request: request.url.endswith("/live")):
        for tab in tabs:
            tab.goto(address)
    another = sample(2, "in", Kind.XML_INVOICE)
    (drop / "2.eml").write_bytes(another.raw)
    for tab in tabs:
        tab.locator(f'a[href="/messages/{message_key("in", another.raw)}"]').wait_for()
    assert sum(url.endswith("/live") for url in asked) == 1
    for tab in tabs:
        tab.close()
    page.goto(address)


def finds_the_invoice(page: Page, address: str) -> None:
    """By what its own page says of it."""
    page.get_by_role("link", name="Messages").click()
    page.locator(".k-invoice").first.wait_for()
    number = page.locator("td.total .muted").first.text_content()
    page.goto(address)
    page.get_by_label("Search messages").fill(str(number))
    page.keyboard.press("Enter")
    page.locator("td.subject a").first.click()
    assert page.locator("dl.invoice").get_by_text(str(number), exact=True).is_visible()


def counts_and_replays(page: Page, address: str) -> None:
    """The page follows the progress by itself."""
    page.goto(f"{address}/replays")
    page.get_by_role("button", name="Count").click()
    page.get_by_role("button", name="Republish 3 events").click()
    page.locator("#job .badge", has_text="done").wait_for()
    assert page.locator("dt", has_text="Published").locator("+ dd").text_content() == "3"
    assert page.get_by_role("button", name="Stop").count() == 0
