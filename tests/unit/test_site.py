"""The site of the documents builds, and a browser that shows it loads nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parents[2]
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?([a-z]+:)?//|<link\b[^>]*\bhref=["']?https?://"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a dead link, a dead anchor or a page that the navigation omits ends the build."""
    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def test_every_document_has_a_page(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert {path if path.stem != "README" else path.with_name("index.html") for path in pages} <= {
        path.relative_to(site) for path in site.rglob("*.html")
    }


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    assert not [page.name for page in site.rglob("*.html") if _LOADED.search(page.read_text())]
