"""Read the beginning of an XML file: its root element, and the text of an element near it.

A tokenizer instead of a parser: the data is in the first tags, and the dangerous features of XML (entities, DTDs,
external references) are then absent rather than switched off. It makes one pass, builds no tree, and stops where the
input is no longer XML.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Every other encoding in use is an ASCII superset for markup (XML 1.0 appendix F), so Latin-1 is good enough: the
# wanted text is ASCII. Longer marks come first, because the mark of UTF-16 begins that of UTF-32.
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

# All repetitions are possessive, so matching never backtracks.
_START = re.compile(r"""<([^\s/>"'=<!?]++)((?:[^"'<>]++|"[^"<]*+"|'[^'<]*+')*+)>""")
_END = re.compile(r"</([^\s/>\"'=<]++)\s*+>")
_ATTRIBUTE = re.compile(r"""\s*+([^\s=/"']++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)')""")
_DOCTYPE = re.compile(r"<!DOCTYPE\s++(html\b)?+", re.IGNORECASE)
_CLOSED = (("<!--", "-->"), ("<?", "?>"))  # skipped constructs and their ends
_CDATA, _CDATA_END = "<![CDATA[", "]]>"


class Token(NamedTuple):
    """One token: a tag with its name and raw attributes, a text, or a DOCTYPE (name `html`, or empty)."""

    kind: Literal["start", "empty", "end", "text", "doctype"]
    name: str = ""
    content: str = ""


class Root(NamedTuple):
    """The root element. `namespace` is None if there is none, or its prefix is undeclared."""

    name: str
    namespace: str | None
    attributes: dict[str, str]


def decoded(head: bytes) -> str | None:
    """Decode bytes that begin like XML, by byte order mark or first character; None for other bytes.

    Args:
        head: the beginning of the file, cut anywhere.
    """
    encoding = next((name for mark, name in _ENCODINGS if head.startswith(mark)), "latin-1")
    text = head.decode(encoding, "replace").removeprefix("\ufeff").removeprefix(_BOM_UTF8).lstrip(" \t\r\n\0")
    return text if text.startswith("<") else None


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a text up to its end, its DOCTYPE, or the first thing that is not XML."""
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
    """Return the token at `at` (None for a comment or instruction) and its end; -1 if tokenizing stops here."""
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
    """Parse the root start tag."""
    attributes: dict[str, str] = {}
    at = 0
    while found := _ATTRIBUTE.match(token.content, at):
        attributes.setdefault(found[1], found[2] if found[2] is not None else found[3])
        at = found.end()
    prefix, _, name = token.name.rpartition(":")
    return Root(name, attributes.get(f"xmlns:{prefix}" if prefix else "xmlns"), attributes)


def text_at(path: tuple[str, ...], rest: Iterator[Token]) -> str | None:
    """Return the text of the first element at a path of local names, in the tokens after the root start tag.

    Args:
        path: names from the children of the root downwards.
        rest: the tokens after the root's start tag.

    Returns:
        None if there is no such element, or the tokens end before it does.
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
