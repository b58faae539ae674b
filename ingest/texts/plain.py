"""HTML as plain text, laid out as a browser shows it: tables in columns, lists with bullets, hidden text left out."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]

_BLANK_LINES = re.compile(r"\n{4,}")
_TOO_DEEP = "depth"  # in the message of libxml2, which drops what is nested deeper than 256 elements


@cache
def converter() -> str:
    """Return the name and version of the library."""
    return f"inscriptis {version('inscriptis')}"


def to_plain(markup: bytes) -> tuple[bytes, bool]:
    """Return HTML as plain text in UTF-8, and whether all of it was read. Lines end with LF, without trailing blanks.

    Args:
        markup: HTML in UTF-8.

    Raises:
        ArithmeticError, LookupError, RuntimeError, TypeError, ValueError: from the library, for odd HTML.
    """
    # Loaded when the first mail needs it.
    from inscriptis.html_engine import Inscriptis  # type: ignore[import-untyped]  # noqa: PLC0415
    from lxml.etree import LxmlError  # type: ignore[import-untyped]  # noqa: PLC0415
    from lxml.html import HTMLParser, document_fromstring  # type: ignore[import-untyped]  # noqa: PLC0415

    parser = HTMLParser(encoding="utf-8", no_network=True, remove_pis=True)
    try:
        tree = document_fromstring(markup.replace(b"\0", b""), parser=parser)
    except LxmlError:  # nothing to show
        return b"", True
    whole = not any(_TOO_DEEP in entry.message.lower() for entry in parser.error_log)
    text = Inscriptis(tree, _layout()).get_text()
    lines = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
    return (_BLANK_LINES.sub("\n\n\n", lines) + "\n").encode("utf-8", "replace") if lines else b"", whole


@cache
def _layout() -> ParserConfig:
    from inscriptis.css_profiles import CSS_PROFILES  # type: ignore[import-untyped]  # noqa: PLC0415
    from inscriptis.model.config import ParserConfig  # noqa: PLC0415

    return ParserConfig(css=CSS_PROFILES["relaxed"].copy(), display_images=True, deduplicate_captions=True)
