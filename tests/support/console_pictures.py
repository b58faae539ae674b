"""`python -m tests.support.console_pictures [PAGE ...]`: draw the pictures of the console in the documents.

Each page in light, dark and narrow, of a console that always shows the same. Look at them after a change.
"""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PIL import Image

from tests.support.chromium import chromium
from tests.support.live_console import failed_key, filled_console, served
from tests.support.waiting import eventually
from tests.unit.console.conftest import SECRETS, Console

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGES = Path(__file__).parents[2] / "docs" / "images"
NARROW, WIDE = {"width": 390, "height": 844}, {"width": 1280, "height": 860}
_VIEWS: tuple[tuple[str, Literal["light", "dark"], dict[str, int]], ...] = (
    ("", "light", WIDE),
    ("-dark", "dark", WIDE),
    ("-narrow", "light", NARROW),
)
# Enough for text and a photograph of a logo, at a third of the size.
_COLOURS = 128


def draw(wanted: set[str]) -> None:
    """Write the pictures of these pages, or of all."""
    with (
        tempfile.TemporaryDirectory() as folder,
        filled_console(Path(folder)) as console,
        served(console) as address,
        chromium() as (page, _),
    ):
        page.emulate_media(reduced_motion="reduce")
        page.goto(address)
        if not wanted or "login" in wanted:
            _draw(page, "login")
        page.get_by_label("Token").fill(SECRETS["operator"])
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Messages").wait_for()
        for name, path in _pages(console).items():
            if not wanted or name in wanted:
                page.goto(address + path)
                _draw(page, name)


def _pages(console: Console) -> dict[str, str]:
    client = console.client("operator")
    for mailbox in ("invoices-de", "orders"):
        client.post(f"/api/v1/mailboxes/{mailbox}/poll")
    job = str(client.post("/api/v1/replays", json={"mailboxes": ["invoices-de"], "dry_run": True}).json()["id"])
    eventually(lambda: client.get(f"/api/v1/replays/{job}").json()["ended"], "the replay does not end")
    invoices = client.get("/api/v1/messages", params={"kind": "invoice", "mailbox": "invoices-de"}).json()["messages"]
    invoice = next(one["key"] for one in invoices if one["invoices"])
    return {
        "messages": "/",
        "search": "/?kind=invoice&mailbox=invoices-de",
        "message": f"/messages/{invoice}",
        "failed": f"/messages/{failed_key()}",
        **{name: f"/{name}" for name in ("mailboxes", "failures", "consumers", "activity", "replays")},
        "replay": f"/replays/{job}",
    }


def _draw(page: Page, name: str) -> None:
    for suffix, scheme, size in _VIEWS:
        page.set_viewport_size(size)  # type: ignore[arg-type]  # a dictionary with these two
        page.emulate_media(color_scheme=scheme)
        page.wait_for_load_state("networkidle")
        with Image.open(BytesIO(page.screenshot())) as shot:
            small = shot.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
        small.save(IMAGES / f"console-{name}{suffix}.png", optimize=True)


if __name__ == "__main__":
    draw(set(sys.argv[1:]))
