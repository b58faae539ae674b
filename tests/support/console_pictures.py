"""`python -m tests.support.console_pictures ADDRESS`: draw the pictures of the console in the documents.

ADDRESS is that of the console of a demonstration, such as http://127.0.0.1:8480.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.chromium import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGES = Path(__file__).parents[2] / "docs" / "images"


def draw(address: str) -> None:
    """Write every picture."""
    with chromium() as (page, _):
        page.goto(address)
        _save(page, "console-messages")
        page.goto(f"{address}/?invoice=2026&mailbox=invoices-de")
        page.locator("td.subject a").first.click()
        page.locator("dl.invoice").wait_for()
        _save(page, "console-message")
    with chromium(dark=True) as (page, _):
        page.goto(f"{address}/mailboxes")
        _save(page, "console-mailboxes-dark")
    with chromium(width=390) as (page, _):
        page.goto(address)
        _save(page, "console-narrow")


def _save(page: Page, name: str) -> None:
    page.screenshot(path=str(IMAGES / f"{name}.png"))


if __name__ == "__main__":
    draw(sys.argv[1].rstrip("/"))
