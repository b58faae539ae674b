"""HTML that is safe to show: an allowlist of elements, attributes and styles, nothing that runs or is loaded.

Images are shown only from the mail itself: `cid:` references are replaced with their bytes in a second step, as the
first one may run in another process. Links stay, and open without a way back to the page.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache, lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Attributes of each element; those of every element are in _COMMON.
_TAGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("abbr", "address", "article", "aside", "b", "bdi", "big", "blockquote", "br", "caption"), ()),
    **dict.fromkeys(("center", "cite", "code", "dd", "del", "dfn", "dl", "dt", "em", "figcaption", "figure"), ()),
    **dict.fromkeys(("footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "i", "ins", "kbd", "main", "mark"), ()),
    **dict.fromkeys(("nav", "p", "pre", "q", "s", "samp", "section", "small", "span", "strike", "strong"), ()),
    **dict.fromkeys(("sub", "sup", "tbody", "tfoot", "thead", "time", "tr", "tt", "u", "ul", "var", "wbr"), ()),
    "a": ("href", "title"),
    "bdo": ("dir",),
    "col": ("span", "width"),
    "colgroup": ("span", "width"),
    "div": ("align",),
    "font": ("color", "face", "size"),
    "hr": ("align", "noshade", "size", "width"),
    "img": ("align", "alt", "border", "height", "hspace", "src", "title", "vspace", "width"),
    "li": ("value",),
    "ol": ("start", "type"),
    "table": ("align", "bgcolor", "border", "cellpadding", "cellspacing", "height", "width"),
    "td": ("abbr", "align", "bgcolor", "colspan", "height", "nowrap", "rowspan", "valign", "width"),
    "th": ("abbr", "align", "bgcolor", "colspan", "height", "nowrap", "rowspan", "scope", "valign", "width"),
}
_COMMON = ("dir", "lang", "style")
# Removed with their content. Of other unknown elements the text stays.
_DROPPED = (
    *("applet", "audio", "canvas", "embed", "frame", "frameset", "iframe", "math", "noembed", "noframes", "noscript"),
    *("object", "plaintext", "script", "style", "svg", "template", "title", "video", "xmp"),
)
# Layout inside its own box: nothing that moves a text over another, or loads something.
_PROPERTIES = re.compile(
    r"(?:background(?:-color)?|border(?:-(?:top|right|bottom|left))?(?:-(?:color|style|width|radius))?"
    r"|border-(?:collapse|spacing)|clear|color|direction|display|float|font(?:-(?:family|size|style|variant|weight))?"
    r"|(?:min-|max-)?(?:height|width)|letter-spacing|line-height|list-style(?:-(?:position|type))?"
    r"|(?:margin|padding)(?:-(?:top|right|bottom|left))?|table-layout"
    r"|text-(?:align|decoration|indent|transform)|vertical-align|white-space|word-(?:break|spacing|wrap))"
)
# Words, numbers, colours and names of fonts. Escapes, comments and functions other than colours are not among them.
_VALUE = re.compile(
    r"(?:[\w\s#%.,!+-]|'[\w\s.,-]*'|\"[\w\s.,-]*\"|(?:rgb|hsl)a?\([\d\s.,%/]{1,60}\))*", re.IGNORECASE
)
_NO_NEGATIVE = ("margin", "text-indent")
_STYLE_LENGTH = 4096
_LINK = re.compile(r"(?:https?://|mailto:|tel:)[^\0-\x20]*", re.IGNORECASE)
_CID = re.compile(r"(?i)\s*cid:\s{0,9}<?([^\"'\s<>]{1,998})>?\s*")
_DATA_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp|bmp);base64,[A-Za-z0-9+/=%\s]*", re.IGNORECASE)
# In the form that the library writes: attributes in double quotes, which are escaped inside.
_IMAGE = re.compile(rb'(<img(?: [a-z-]{1,20}="[^"]*")*?) src="cid:([^"]*)"')
SHOWN_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"})
_HEAD = (
    b'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="'
    b"default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'\">"
    b'<meta name="referrer" content="no-referrer"></head><body>\n'
)
_FOOT = b"\n</body></html>\n"


class Image(NamedTuple):
    """An image of the mail: its detected media type, one of SHOWN_IMAGES, and its bytes."""

    media_type: str
    data: bytes


@cache
def converter() -> str:
    """Return the name and version of the library."""
    return f"nh3 {version('nh3')}"


def to_safe(markup: bytes) -> tuple[bytes, bool]:
    """Return a fragment of HTML in UTF-8 in which images still refer to `cid:`, and True: all of it was read.

    Args:
        markup: HTML in UTF-8.
    """
    import nh3  # noqa: PLC0415 - loaded when the first mail needs it

    cleaned = nh3.clean(
        markup.decode("utf-8", "replace"),
        tags=set(_TAGS),
        clean_content_tags=set(_DROPPED),
        attributes={tag: {*own, *_COMMON} for tag, own in _TAGS.items()},
        attribute_filter=_attribute,
        url_schemes={"cid", "data", "http", "https", "mailto", "tel"},
        link_rel="noopener noreferrer nofollow",
    )
    return cleaned.encode("utf-8", "replace"), True


def _attribute(element: str, name: str, value: str) -> str | None:
    """Return what becomes of an attribute that is allowed; None to leave it out."""
    if name == "style":
        return _style(value) or None
    if name == "href":
        return value.strip() if _LINK.fullmatch(value.strip()) else None
    if element == "img" and name == "src":
        if _DATA_IMAGE.fullmatch(value):
            return value
        match = _CID.fullmatch(value)
        return None if match is None else f"cid:{content_id(unquote(match[1]))}"
    return value


def content_id(text: str) -> str:
    """Return a Content-ID in the form that references are compared in."""
    return text.strip(" <>").lower()


@lru_cache(maxsize=1024)  # a mail repeats a few dozen
def _style(text: str) -> str:
    if len(text) > _STYLE_LENGTH:
        return ""
    kept = []
    for declaration in text.split(";"):
        name, _, value = declaration.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not value or _PROPERTIES.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            continue
        if "-" in value and name.startswith(_NO_NEGATIVE) and re.search(r"(?<![\w.])-", value):
            continue
        kept.append(f"{name}: {value}")
    return "; ".join(kept)


def with_images(fragment: bytes, images: Mapping[str, Image], limit: int) -> Iterator[bytes]:
    """Yield the whole document, with the images that it refers to.

    An image that would make the document longer than `limit` bytes is left out, as is one that is not there.

    Args:
        fragment: from `to_safe`.
        images: by Content-ID, see `content_id`.
        limit: on the bytes of the document.
    """
    yield _HEAD
    left, at = limit - len(fragment) - len(_HEAD) - len(_FOOT), 0
    for match in _IMAGE.finditer(fragment):
        yield fragment[at : match.end(1)]
        at = match.end()
        image = images.get(_unescaped(match[2]))
        if image is not None and (size := _data_size(image)) <= left:
            left -= size
            yield b' src="data:%s;base64,%s"' % (image.media_type.encode("ascii"), b64encode(image.data))
    yield fragment[at:]
    yield _FOOT


def references(fragment: bytes) -> list[str]:
    """Return the Content-IDs of the images that a fragment from `to_safe` refers to."""
    return [_unescaped(match[2]) for match in _IMAGE.finditer(fragment)]


def _unescaped(reference: bytes) -> str:
    return reference.decode("utf-8", "replace").replace("&amp;", "&")


def _data_size(image: Image) -> int:
    return (len(image.data) + 2) // 3 * 4 + 64
