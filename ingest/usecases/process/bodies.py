"""Choose the bodies of a message among its texts, once all of them are known.

A body is the first text of its kind without a file name, joined with those that follow it in the same message: Apple
Mail writes the text above, between and below images as parts of their own. A message without such a text, or with
blank ones only, has the first one with a name that is not declared an attachment; one whose text is only in its
winmail.dat has that.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ingest.mime.body import BodyText
from ingest.mime.defects import codes
from ingest.mime.detect import binary_type
from ingest.usecases.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ingest.domain.manifest import Attachment, BodyKind
    from ingest.usecases.process.parts import Part

_KINDS: dict[str, BodyKind] = {"text/plain": "text", "text/html": "html", "text": "text", "html": "html"}
_MOST_TEXTS = 50  # kept until the message was read, each in up to a MiB of memory
_BLANK_BYTES = 4096  # a longer text is not looked through for something to read
_BLANK = re.compile(rb"(?:[\s\0\xa0]|\xc2\xa0|\xef\xbb\xbf|\xff\xfe|\xfe\xff|&nbsp;)*+")
# What shows nothing in HTML. An image, or another element that loads something, may.
_UNSEEN = re.compile(
    rb"<!--.*?(?:-->|\Z)|<(style|title|script)\b.*?(?:</\1\s*>|\Z)"
    rb"|<[/!]?(?!img|object|embed|iframe|video|svg|input)[a-z?][^>]*+(?:>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_CHUNK_BYTES = 65_536
_REFERENCES = 1000
_REFERENCE_BYTES = 998
# Some programs write a blank or a bracket before the id.
_CID = re.compile(rb"(?i)\bcid:\s{0,9}<?([^\"'\s<>)]{1,998})")


@dataclass
class ChosenBody:
    """A body: its parts in order, and its text in UTF-8."""

    kind: BodyKind
    parts: list[Part]
    spool: Spool
    charset: str
    defects: list[str]

    @property
    def path(self) -> str:
        """The path of its first part."""
        return self.parts[0].head.path

    @property
    def is_blank(self) -> bool:
        """Whether it shows nothing."""
        return _shows_nothing(self.kind, self.spool)


@dataclass
class Texts:
    """The texts of a message that may become its bodies."""

    _kept: list[Part] = field(default_factory=list)

    def add(self, part: Part, kind: BodyKind) -> bool:
        """Keep a part that may be a body of this kind; it must not be stored before `choose`.

        Returns:
            Whether it was kept.
        """
        if len(self._kept) >= _MOST_TEXTS and not part.is_body:
            return False
        part.text = kind
        self._kept.append(part)
        return True

    def choose(self) -> tuple[list[ChosenBody], list[Part]]:
        """Return the bodies, and the texts that are attachments; some of these are part of a body, too.

        Raises:
            SpoolError: there is no room for a converted text.
        """
        chosen = [parts for kind in ("text", "html") if (parts := self._parts(kind))]
        if all(_is_blank(part) for parts in chosen for part in parts):
            named = self._named()
            chosen = [[part] for part in named] if not chosen or not all(map(_is_blank, named)) else chosen
        bodies = [_converted(parts) for parts in chosen]
        shown = {id(part) for parts in chosen for part in parts}
        only_body = {id(parts[0]) for parts in chosen if not parts[0].head.filename}
        stored = {id(body.spool) for body in bodies}
        rest = []
        for part in self._kept:
            if id(part) in only_body or part.is_fallback:
                if id(part.spool) not in stored:
                    part.spool.close()
            else:
                if part.is_body or id(part) in shown:
                    part.head = part.head._replace(role="inline")
                rest.append(part)
        self._kept = []
        return bodies, rest

    def close(self) -> None:
        """Release what is kept."""
        for part in self._kept:
            part.spool.close()

    def _named(self) -> list[Part]:
        """Return the first text with a name, and its alternative of the other kind."""
        named = [part for part in self._kept if part.head.filename and not part.is_fallback]
        others = [part for part in named[1:] if part.head.role == "alternative" and part.text != named[0].text]
        return [*named[:1], *others[:1]]

    def _parts(self, kind: str) -> list[Part]:
        texts = [part for part in self._kept if part.text == kind and not part.head.filename]
        if len(texts) < 2:  # noqa: PLR2004 - nothing to choose
            return [part for part in texts if part.is_fallback or part.head.role != "attachment"]
        own = [part for part in texts if not part.is_fallback]
        first = next(
            (part for role in (kind, "inline", "alternative") for part in own if part.head.role == role), None
        )
        if first is None or _is_blank(first):
            first = next((part for part in texts if part.is_fallback), first)
        if first is None:
            return []
        after = own[own.index(first) + 1 :] if not first.is_fallback else []
        return [
            first,
            *(part for part in after if part.head.role == "inline" and part.head.parent == first.head.parent),
        ]


def kind_of_text(part: Part) -> BodyKind | None:
    """Return the kind of body that a part may be; None if it can be none."""
    head = part.head
    if head.role in ("text", "html"):
        return _KINDS[head.role]
    if not part.own or head.disposition == "attachment" or head.role not in ("inline", "alternative", "attachment"):
        return None
    return _KINDS.get(head.declared_type)


def is_binary(part: Part) -> bool:
    """Return whether a part, which passes for a text of the message, holds a known binary type."""
    return binary_type(part.spool.head(_BLANK_BYTES)) is not None


def _is_blank(part: Part) -> bool:
    """Return whether a text shows nothing."""
    return _shows_nothing(part.text, part.spool)


def _shows_nothing(kind: BodyKind | None, spool: Spool) -> bool:
    if spool.size >= _BLANK_BYTES:
        return False
    shown = spool.head(_BLANK_BYTES)
    if kind == "html":
        shown = _UNSEEN.sub(b"", shown)
    return _BLANK.fullmatch(shown) is not None


def _converted(parts: list[Part]) -> ChosenBody:
    kind = parts[0].text
    assert kind is not None  # only texts are kept
    if len(parts) == 1 and not parts[0].head.filename:
        text = BodyText(_reader(parts[0].spool), parts[0].head.charset, kind)
        if text.is_unchanged:
            defects = sorted({*parts[0].defects, *codes(text.defects)})
            return ChosenBody(kind, parts, parts[0].spool, text.charset, defects)
    spool, defects, charsets = Spool(), list[str](), list[str]()
    for number, part in enumerate(parts):
        if number:
            spool.write(b"\n")
        text = BodyText(_reader(part.spool), part.head.charset, kind)
        for piece in text:
            spool.write(piece)
        charsets.append(text.charset)
        defects += [code for code in (*part.defects, *codes(text.defects)) if code not in defects]
    return ChosenBody(kind, parts, spool, charsets[0], sorted(defects))


def _reader(spool: Spool) -> Callable[[], Iterable[bytes]]:
    if spool.size <= _CHUNK_BYTES:
        whole = (spool.head(),) if spool.size else ()
        return lambda: whole

    def read() -> Iterator[bytes]:
        file = spool.reader()
        while piece := file.read(_CHUNK_BYTES):
            yield piece

    return read


def references(body: ChosenBody) -> set[str]:
    """Return the Content-IDs that an HTML body refers to, in lower case."""
    found: set[str] = set()
    tail = b""
    for piece in _reader(body.spool)():
        data = tail + piece
        for match in _CID.finditer(data) if b"cid:" in data.lower() else ():
            found.add(unquote(html.unescape(match[1].decode("utf-8", "replace"))).strip(" <>").lower())
            if len(found) >= _REFERENCES:
                return found
        tail = data[-_REFERENCE_BYTES:]
    return found


def with_roles(attachments: Iterable[Attachment], referred: set[str]) -> list[Attachment]:
    """Decide which images are part of the text: those, and only those, that the HTML refers to.

    Images of nested messages keep their roles, since the text that may refer to them is inside the message.
    """
    found = list(attachments)
    nested = {attachment.part for attachment in found if attachment.role == "message"}
    return [_with_role(attachment, referred, nested) for attachment in found]


def _with_role(attachment: Attachment, referred: set[str], nested: set[str]) -> Attachment:
    if not (attachment.declared_type.startswith("image/") or attachment.detected_type.startswith("image/")):
        return attachment
    if nested and any(path in nested for path in _around(attachment.part)):
        return attachment
    if attachment.content_id is not None and attachment.content_id.lower() in referred:
        return attachment.model_copy(update={"role": "inline"})
    return attachment.model_copy(update={"role": "attachment"}) if attachment.role == "inline" else attachment


def _around(path: str) -> Iterator[str]:
    """Yield the paths of what a part is inside of."""
    while path:
        path = path.rpartition(".")[0]
        yield path
