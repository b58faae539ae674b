"""The beginning of an XML file: its root element, and the text of an element near it.

A tokenizer of our own instead of a parser, because what is wanted stands in the first tags, and what can hurt in XML
(entities, DTDs, anything external) is then not there to be switched off. It goes once from left to right, keeps no
tree, and stops where the file is no XML any more.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Every other encoding in use has ASCII where XML has its marks (XML 1.0 appendix F), so that Latin-1 will do: what is
# asked for is ASCII. The longer ones come first, since UTF-16's mark is the beginning of UTF-32's.
_ENCODINGS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
    (b"\x4c\x6f\xa7\x94\x93", "cp037"),  # <?xml in EBCDIC
)
_BOM_UTF8 = codecs.BOM_UTF8.decode("latin-1")

# All repetitions are possessive: what has been passed is never tried again.
_START = re.compile(r"""<([^\s/>"'=<!?]++)((?:[^"'<>]++|"[^"<]*+"|'[^'<]*+')*+)>""")
_END = re.compile(r"</([^\s/>\"'=<]++)\s*+>")
_ATTRIBUTE = re.compile(r"""\s*+([^\s=/"']++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)')""")
_DOCTYPE = re.compile(r"<!DOCTYPE\s++(html\b)?+", re.IGNORECASE)
_CLOSED = (("<!--", "-->"), ("<?", "?>"))  # what is passed over, up to where
_CDATA, _CDATA_END = "<![CDATA[", "]]>"


class Token(NamedTuple):
    """One piece: a tag with its name and attributes as they are written, a text, a DOCTYPE named html or nothing."""

    kind: Literal["start", "empty", "end", "text", "doctype"]
    name: str = ""
    content: str = ""


class Root(NamedTuple):
    """The root element. `namespace` is None where it has none, or a prefix that nothing declares."""

    name: str
    namespace: str | None
    attributes: dict[str, str]


def decoded(head: bytes) -> str | None:
    """The text of bytes that begin like XML, by their byte order mark or their first character; else None.

    Args:
        head: the file's beginning; it may end anywhere.
    """
    encoding = next((name for mark, name in _ENCODINGS if head.startswith(mark)), "latin-1")
    text = head.decode(encoding, "replace").removeprefix("\ufeff").removeprefix(_BOM_UTF8).lstrip(" \t\r\n\0")
    return text if text.startswith("<") else None


def tokens(text: str) -> Iterator[Token]:
    """The pieces of a text in their order, up to its end, its DOCTYPE, or where it is no XML."""
    at = 0
    while at < len(text):
        if text[at] != "<":
            end = text.find("<", at)
            end = len(text) if end < 0 else end
            yield Token("text", content=text[at:end])
        elif text.startswith(_CDATA, at):
            end = text.find(_CDATA_END, at)
            if end < 0:
                return
            yield Token("text", content=text[at + len(_CDATA) : end])
            end += len(_CDATA_END)
        else:
            token, end = _markup(text, at)
            if token is not None:
                yield token
            if end < 0:
                return
        at = end


def _markup(text: str, at: int) -> tuple[Token | None, int]:
    """What begins here, None for a comment or an instruction, and where it ends; -1 where nothing comes after it."""
    for opening, closing in _CLOSED:
        if text.startswith(opening, at):
            end = text.find(closing, at + len(opening))
            return None, -1 if end < 0 else end + len(closing)
    if found := _END.match(text, at):
        return Token("end", found[1]), found.end()
    if found := _START.match(text, at):
        return Token("empty" if found[2].endswith("/") else "start", found[1], found[2]), found.end()
    if found := _DOCTYPE.match(text, at):
        return Token("doctype", "html" if found[1] else ""), -1
    return None, -1


def root_of(token: Token) -> Root:
    """What the first tag says."""
    attributes: dict[str, str] = {}
    at = 0
    while found := _ATTRIBUTE.match(token.content, at):
        attributes.setdefault(found[1], found[2] if found[2] is not None else found[3])
        at = found.end()
    prefix, _, name = token.name.rpartition(":")
    return Root(name, attributes.get(f"xmlns:{prefix}" if prefix else "xmlns"), attributes)


def text_at(path: tuple[str, ...], rest: Iterator[Token]) -> str | None:
    """The text of the first element on a path of names without prefixes, in what comes after the root's start tag.

    Args:
        path: from the root's children downwards.
        rest: the tokens after the root's start tag.

    Returns:
        None where there is no such element, or the text ends before the element does.
    """
    depth = matched = 0
    found: list[str] = []
    for token in rest:
        if token.kind == "start":
            if matched == depth < len(path) and token.name.rpartition(":")[2] == path[depth]:
                matched += 1
            depth += 1
        elif token.kind == "end":
            if matched == depth == len(path):
                return "".join(found).strip()
            depth -= 1
            matched = min(matched, depth)
        elif token.kind == "text" and matched == depth == len(path):
            found.append(token.content)
    return None
