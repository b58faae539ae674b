"""A hook of mkdocs: documents outside `docs/` become pages of the site.

Documents link to each other by their paths in the repository, so that the links work there as well. This hook adds
every file outside `docs/` that a page links to, under `repository/`, and rewrites the links for the site. A link to a
missing file stays as it is, and the strict build fails on it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = "repository"
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Add the files outside `docs/` that pages link to, and those that these link to."""
    waiting = [_path_in_repository(file.src_uri) for file in files.documentation_pages()]
    known = set(waiting)
    while waiting:
        source = waiting.pop()
        for target in _targets(source):
            if target in known or target.startswith("docs/") or not (ROOT / target).is_file():
                continue
            known.add(target)
            files.append(File.generated(config, f"{OUTSIDE}/{target}", content=(ROOT / target).read_bytes()))
            if target.endswith(".md"):
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links between the repository's files to links between the site's."""
    del config, files
    source = _path_in_repository(page.file.src_uri)

    def on_site(match: re.Match[str]) -> str:
        target = _path_on_site(_target(source, match[1]))
        return posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")

    return _LINK.sub(on_site, markdown)


def _targets(source: str) -> list[str]:
    return [_target(source, link) for link in _LINK.findall((ROOT / source).read_text(encoding="utf-8"))]


def _target(source: str, link: str) -> str:
    """The file in the repository that a link leads to; of a folder its README."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    return f"{target}/README.md" if (ROOT / target).is_dir() else target


def _path_in_repository(path_on_site: str) -> str:
    outside = path_on_site.removeprefix(f"{OUTSIDE}/")
    return outside if outside != path_on_site else f"docs/{path_on_site}"


def _path_on_site(path_in_repository: str) -> str:
    inside = path_in_repository.removeprefix("docs/")
    return inside if inside != path_in_repository else f"{OUTSIDE}/{path_in_repository}"
