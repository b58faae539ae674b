"""Every page of the console can be read and used by everybody: axe in a real browser, and the keyboard alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from fastapi.routing import APIRoute

from ingest.console import job_pages
from ingest.console import pages as console_pages
from tests.support.chromium import chromium
from tests.support.live_console import filled_console, pages, served
from tests.support.servers import missing
from tests.support.waiting import eventually
from tests.unit.console.conftest import SECRETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.unit.console.conftest import Console

AXE = Path(__file__).parents[2] / ".tools" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# The frames show what others wrote.
CHECK = """async (rules) => {
  const runOnly = { type: rules.length > 1 ? "tag" : "rule", values: rules };
  const found = await axe.run(document, { runOnly, iframes: false, resultTypes: ["violations"] });
  return found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`);
}"""
# No pages: what they load or show in a frame.
PARTS = {"/console.css", "/console.js", "/icon.svg", "/live", "/messages/{key}/html", "/messages/{key}/files/{part}"}
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
NARROW, WIDE = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, str]]:
    with filled_console(tmp_path_factory.mktemp("console")) as found, served(found) as address:
        yield found, address


@pytest.fixture(scope="module")
def page(console: tuple[Console, str]) -> Iterator[Page]:
    """A page on which an operator is logged in."""
    with chromium() as (found, _):
        found.goto(console[1])
        found.get_by_label("Token").fill(SECRETS["operator"])
        found.get_by_role("button", name="Log in").click()
        found.get_by_role("heading", name="Messages").wait_for()
        yield found


@pytest.fixture(scope="module")
def replay(console: tuple[Console, str]) -> str:
    """The id of a replay that has ended."""
    client = console[0].client("operator")
    job = str(client.post("/api/v1/replays", json={"dry_run": True}).json()["id"])
    eventually(lambda: client.get(f"/api/v1/replays/{job}").json()["ended"], "the replay does not end")
    return job


def problems(page: Page, path: str) -> Iterator[str]:
    """What axe finds, in each width and each colour scheme, and whether a page is wider than its window."""
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)  # type: ignore[arg-type]  # a dictionary with these two
        for scheme in _SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # no colours between two others
            for one in page.evaluate(CHECK, RULES if scheme == "light" else ["color-contrast"]):
                yield f"{path} {size['width']} {scheme} {one}"
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            yield f"{path} {size['width']} is wider than the window"


def test_every_page_has_no_barrier_in_light_and_dark_wide_and_narrow(
    console: tuple[Console, str], page: Page, replay: str
) -> None:
    if not AXE.exists():
        missing("", "axe-core", "tests/install-axe")
    known = pages(console[0], replay)
    routes = [one for router in (console_pages.router, job_pages.router) for one in router.routes]
    assert {one.path for one in routes if isinstance(one, APIRoute) and one.methods == {"GET"}} - PARTS == set(known)
    found: list[str] = []
    for path in (path for paths in known.values() for path in paths):
        page.goto(console[1] + path)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        page.evaluate(AXE.read_text())
        found += problems(page, path)
    assert not found, "\n".join(found)


def test_form_to_log_in_has_no_barrier(console: tuple[Console, str], page: Page) -> None:
    if not AXE.exists():
        missing("", "axe-core", "tests/install-axe")
    browser = page.context.browser
    assert browser is not None
    with browser.new_context() as context:
        other = context.new_page()
        other.goto(console[1])
        other.get_by_label("Token").fill("wrong")
        other.get_by_role("button", name="Log in").click()
        other.get_by_role("alert").wait_for()
        other.evaluate(AXE.read_text())
        assert list(problems(other, "login")) == []


# The element that has the focus: its place among those of the document, and whether anything shows that.
FOCUSED = """() => {
  const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
  const visible = box.width > 0 && box.height > 0 && box.top < innerHeight && box.bottom > 0 && box.left < innerWidth;
  const all = [...document.querySelectorAll("*")];
  return { place: all.indexOf(one), name: one.outerHTML.slice(0, 120),
           shown: visible && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 };
}"""


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_keyboard_reaches_everything_in_order_and_shows_where_it_is(
    console: tuple[Console, str], page: Page, replay: str, size: dict[str, Any]
) -> None:
    page.set_viewport_size(size)  # type: ignore[arg-type]  # as above
    page.emulate_media(color_scheme="light")
    for path in ("/mailboxes", pages(console[0], replay)["/messages/{key}"][0]):
        page.goto(console[1] + path)
        page.keyboard.press("Tab")
        skip = page.locator(":focus")
        assert skip.inner_text() == "Skip to content"
        assert page.evaluate(FOCUSED)["shown"]
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
        page.goto(console[1] + path)
        order = reached(page)
        assert len(order) > 15
        places = [one["place"] for one in order]
        assert places == sorted(places), [one["name"] for one in order]
        assert [one["name"] for one in order if not one["shown"]] == []


def reached(page: Page) -> list[dict[str, Any]]:
    """The elements that Tab leads to, until it leaves the page; a frame counts as one."""
    found: list[dict[str, Any]] = []
    while len(found) < 200:
        page.keyboard.press("Tab")
        one = page.evaluate(FOCUSED)
        if one["name"].startswith("<body"):
            return found
        if one["name"].startswith("<iframe"):
            continue
        found.append(one)
    raise AssertionError("the focus does not leave the page")
