"""Debian's Chromium, driven by Playwright, with every request that it sends."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

from tests.support.servers import find_program, missing
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

# As root, and without what it does on its own.
_OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)


@contextmanager
def chromium(*, width: int = 1280, dark: bool = False) -> Iterator[tuple[Page, list[str]]]:
    """Open a page; yield it, and the list of the hosts that are asked for something, which grows."""
    program = find_program("chromium")
    if program is None:
        missing("chromium", "Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), args=list(_OPTIONS))
        scheme: Literal["dark", "light"] = "dark" if dark else "light"
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        hosts: list[str] = []
        page.context.on("request", lambda request: hosts.append(urlsplit(request.url).netloc))
        try:
            yield page, hosts
        finally:
            browser.close()
