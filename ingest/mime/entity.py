"""The MIME fields of one entity: type, transfer encoding, file name, and the role that follows from them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from ingest.mime.decoders import decoder_for
from ingest.mime.defects import Defect
from ingest.mime.detect import detect_type
from ingest.mime.fields import NOTHING, MimeFields, Structured, find_mime_fields, parse_structured
from ingest.mime.text import clean, decode_header

if TYPE_CHECKING:
    from ingest.domain.manifest import BodyKind, Role
    from ingest.mime.events import Flow

_NESTED: Final = frozenset({"message/rfc822", "message/global"})
_BODY_KINDS: Final[dict[str, BodyKind]] = {"text/plain": "text", "text/html": "html"}
_ROLES: Final[dict[str, Role]] = {
    **dict.fromkeys(_NESTED, "message"),
    "application/pkcs7-signature": "signature",
    "application/x-pkcs7-signature": "signature",
    "application/pgp-signature": "signature",
    "application/pgp-encrypted": "encrypted",
}
_PKCS7: Final = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_ENVELOPED: Final = frozenset({"enveloped-data", "authenveloped-data"})
# RFC 2045 section 5.1; blanks around the slash come from RFC 822 and still occur.
_MEDIA_TYPE: Final = re.compile(r"([\w!#$&^.+-]{1,127})\s*/\s*([\w!#$&^.+-]{1,127})", re.ASCII)
_DISPOSITION: Final = re.compile(r"[\w!#$&^.+-]{1,127}", re.ASCII)
# Most parts have one of these, which need no further parsing.
_USUAL_TYPES: Final = frozenset(
    {
        *("text/plain", "text/html", "text/xml", "image/png", "image/jpeg", "image/gif", "message/rfc822"),
        *("application/pdf", "application/octet-stream", "application/xml", "application/zip"),
        *("multipart/mixed", "multipart/alternative", "multipart/related", "multipart/signed", "multipart/report"),
    }
)
_BASE64_LINE: Final = re.compile(rb"[0-9A-Za-z+/]*={0,2}")
_LINES: Final = 2048  # bytes
_USUAL_DISPOSITIONS: Final = frozenset({"attachment", "inline"})
_TEXT: Final = 998  # characters of a charset or an id: the longest line that RFC 5322 allows
# RFC 2046 section 5.1.1 allows 70; longer ones occur, and a whole delimiter line has to fit into what is held back.
_BOUNDARY: Final = 900
_QUOTES: Final = b"\"' \t\r\n"
_USUAL_DISPOSITION_FIELDS: Final = frozenset({b"attachment", b"inline"})
_USUAL_BYTES: Final = 200
# A multipart with one boundary that is neither encoded nor damaged, as nearly all software writes it.
_USUAL_MULTIPART: Final = re.compile(
    rb"""
      (?i: multipart/([a-z]{1,20})) (?:;[ \t]* (?i:type|report-type|protocol|micalg)=(?:"[\w/.+-]+"|[\w/.+-]+) )*
      ;[ \t]* (?i:boundary)= (?:"([\w()+,\-./:=]+)"|([\w+\-./:=]+))
      (?:;[ \t]* (?i:type|report-type|protocol|micalg)=(?:"[\w/.+-]+"|[\w/.+-]+) )* ;?
    """,
    re.ASCII | re.VERBOSE,
)
_TYPES: Final = 8  # type declarations of one part, or boundaries in one of them, that are considered


class Entity(NamedTuple):
    """The parsed header of one entity. `container` is the subtype of the multipart around it, empty at the top.

    `boundaries` holds several candidates if the header names several; the first one that occurs counts. `body_kind`
    is the kind of body the entity becomes if it is the first of its kind.
    """

    media_type: str
    boundaries: tuple[bytes, ...]
    charset: str | None
    smime_type: str
    encoding: str
    disposition: str | None
    filename: str | None
    content_id: str | None
    container: str
    body_kind: BodyKind | None
    location: str | None = None
    description: str | None = None
    flow: Flow | None = None

    @property
    def is_multipart(self) -> bool:
        """Whether the entity has parts, also where it does not declare what divides them."""
        return bool(self.boundaries) or self.media_type.startswith("multipart/")

    @property
    def is_message(self) -> bool:
        """Whether the entity is a nested message."""
        return self.media_type in _NESTED

    def may_hold(self, lines: bytes) -> bool:
        """Whether lines behind its header may be its content: base64 has to look like it."""
        if "base64" not in self.encoding.lower():
            return True
        return all(_BASE64_LINE.fullmatch(line.strip()) for line in lines[:_LINES].splitlines()[:-1])

    @property
    def role(self) -> Role:
        """The role of an entity that is not a body."""
        known = _ROLES.get(self.media_type)
        if known is not None:
            return known
        if self.container == "encrypted" or (self.media_type in _PKCS7 and self.smime_type in _ENVELOPED):
            return "encrypted"
        if self.disposition == "attachment":
            return "attachment"
        if self.container == "alternative":
            return "alternative"
        return "inline" if self._is_shown else "attachment"

    @property
    def _is_shown(self) -> bool:
        """Whether a mail program shows it inside the body.

        Apple Mail sends every file with the disposition `inline`, so it counts for images only.
        """
        if self.media_type.startswith("image/"):
            return bool(self.content_id) or self.disposition == "inline"
        return bool(self.content_id and self.container == "related") or self.body_kind is not None


PLAIN_TEXT: Final = Entity("text/plain", (), None, "", "", None, None, None, "", "text")


def read_entities(fields: MimeFields, container: str, defects: set[Defect]) -> list[Entity]:
    """Parse the MIME fields of an entity.

    Args:
        fields: of its header.
        container: subtype of the multipart around it.
        defects: receives what was repaired.

    Returns:
        The entity; if its type is declared more than once, one candidate for each. See `choose`.
    """
    has_fields, declared, encoding, disposed, content_id, location, description = fields
    is_bare = not (content_id or location or description)
    if len(declared) == 1 and is_bare and (disposed is None or disposed in _USUAL_DISPOSITION_FIELDS):
        usual = _usual(declared[0], encoding, disposed, container)
        if usual is not None:
            return [usual]
    if not declared:
        # A part of a digest is a message that way (RFC 2046 section 5.1.5).
        if not has_fields and container != "digest":
            defects.add(Defect.NO_HEADERS)
        return [_read(fields, NOTHING, container, defects)]
    kind = parse_structured(declared[0], defects)
    first = _read(fields, kind, container, defects)
    several = len(kind.boundaries) > 1 and len({boundary.rstrip() for boundary in kind.boundaries}) > 1
    if len(declared) == 1 and not several:
        return [first]
    others = [_read(fields, parse_structured(value, set()), container, set()) for value in declared[1:_TYPES]]
    entities = [first, *others]
    boundaries = tuple(dict.fromkeys(boundary for entity in entities for boundary in entity.boundaries))
    defects.add(Defect.DUPLICATE_FIELD)
    if len(boundaries) > 1 and entities[0].boundaries:
        entities = [entities[0]._replace(boundaries=boundaries)]
    return entities


def read_clean_entities(head: bytes, container: str, defects: set[Defect]) -> list[Entity]:
    """Parse a header of which each line belongs to a field; see `read_entities`."""
    if len(head) <= _USUAL_BYTES and b"ame" not in head and b"oundary" not in head and b"<" not in head:
        repeated = _repeated_header(head, container)
        if repeated is not None:
            return [repeated]
    return read_entities(find_mime_fields(head), container, defects)


@lru_cache(maxsize=256)  # mail repeats a few dozen headers of texts
def _repeated_header(head: bytes, container: str) -> Entity | None:
    return _without_defects(find_mime_fields(head), container)


@lru_cache(maxsize=256)  # mail repeats a few dozen combinations of type, charset and encoding
def _repeated(declared: bytes, encoding: bytes | None, disposition: bytes | None, container: str) -> Entity | None:
    return _without_defects((True, [declared], encoding, disposition, None, None, None), container)


def _without_defects(fields: MimeFields, container: str) -> Entity | None:
    """Return an entity if there is one candidate, without defects."""
    defects: set[Defect] = set()
    types = fields[1]
    if len(types) != 1:
        return None
    entity = _read(fields, parse_structured(types[0], defects), container, defects)
    return None if defects or len(entity.boundaries) > 1 else entity


def _usual(declared: bytes, encoding: bytes | None, disposition: bytes | None, container: str) -> Entity | None:
    """Return an entity without a name, or a multipart with an ordinary boundary; None for any other."""
    if len(declared) > _USUAL_BYTES or len(encoding or b"") > _USUAL_BYTES:
        return None
    lower = declared.lower()
    if b"boundary" not in lower:
        return None if b"name" in lower else _repeated(declared, encoding, disposition, container)
    match = _USUAL_MULTIPART.fullmatch(declared)
    if match is None:
        return None
    kind, quoted, bare = match.groups()
    boundary = quoted or bare
    media_type = f"multipart/{kind.decode('ascii').lower()}"
    disposed = None if disposition is None else disposition.decode("ascii")
    written = "" if encoding is None else encoding.decode("latin-1")
    return Entity(media_type, (boundary,), None, "", written, disposed, None, None, container, None)


def choose(entities: list[Entity], beginning: bytes) -> Entity:
    """Return the first candidate, unless the content clearly matches another: its boundary, or its file signature."""
    content = beginning.partition(b"\n--")[0]
    for entity in entities:
        if any(beginning.lstrip().startswith(b"--" + boundary.rstrip()) for boundary in entity.boundaries):
            return entity
    detected = detect_type(decoder_for(entities[0].encoding).feed(content), "", None)
    plain = detected in ("text/plain", "application/octet-stream")
    return next((entity for entity in entities if entity.media_type == detected and not plain), entities[0])


def _read(fields: MimeFields, kind: Structured, container: str, defects: set[Defect]) -> Entity:
    _, _, encoding, disposed, content_id, location, description = fields
    disposition = NOTHING if disposed is None else parse_structured(disposed, defects)
    media_type = kind.value if kind.value in _USUAL_TYPES else _media_type(kind, container)
    if media_type == "message/partial":
        defects.add(Defect.PARTIAL)
    boundaries: tuple[bytes, ...] = ()
    body_kind = _BODY_KINDS.get(media_type)
    if media_type.startswith("multipart/"):
        boundaries = _boundaries(kind)
        if not boundaries:
            defects.add(Defect.NO_BOUNDARY)
            body_kind = "text"  # unless a boundary can be guessed
    parameters = kind.parameters
    disposed_as = _disposition(disposition) if disposition.value else None
    filename = disposition.parameters.get("filename") or parameters.get("name") or None
    charset, smime_type, flow = None, "", None
    if parameters:
        charset, smime_type = parameters.get("charset"), parameters.get("smime-type", "").lower()
        flow = _flow(kind) if media_type == "text/plain" else None
    return Entity(
        media_type,
        boundaries,
        None if charset is None else clean(charset)[:_TEXT],
        smime_type,
        "" if encoding is None else encoding.decode("latin-1"),
        disposed_as,
        filename,
        clean(content_id.decode("utf-8", "replace"))[:_TEXT].strip(" <>") if content_id else None,
        container,
        body_kind if filename is None and disposed_as != "attachment" else None,
        # A long URL is folded (RFC 2557 section 4.4.2), and unfolding leaves blanks in it.
        clean(location.decode("utf-8", "replace").replace(" ", ""))[:_TEXT] if location else None,
        clean(decode_header(description[: _TEXT * 8], set()))[:_TEXT] if description else None,
        flow,
    )


def _flow(kind: Structured) -> Flow | None:
    """Return how the lines of a text are folded (RFC 3676 section 4)."""
    if kind.parameters.get("format", "").strip().lower() != "flowed":
        return None
    return "delsp" if kind.parameters.get("delsp", "").strip().lower() == "yes" else "flowed"


def _media_type(kind: Structured, container: str) -> str:
    """Return the media type; without a valid one, plain text (RFC 2045 section 5.2), or a message in a digest."""
    match = _MEDIA_TYPE.match(kind.value)
    if match is not None:
        return f"{match[1]}/{match[2]}"
    if kind.boundaries[:1] != [b""] and kind.value.partition("/")[0].strip() == "multipart":
        return "multipart/mixed"  # without a subtype, or with a damaged one
    return "message/rfc822" if container == "digest" else "text/plain"


def _disposition(disposition: Structured) -> str | None:
    if disposition.value in _USUAL_DISPOSITIONS:
        return disposition.value
    match = _DISPOSITION.match(disposition.value)
    return match[0] if match is not None else None


def _boundaries(kind: Structured) -> tuple[bytes, ...]:
    """Return the boundaries as bytes, not decoded, no two of which differ in trailing blanks only.

    Where quotes are damaged, what they should have enclosed is a candidate, too.
    """
    found = {boundary.rstrip(): boundary for boundary in reversed(kind.boundaries)}
    for boundary in kind.boundaries:
        if b'"' in boundary or b";" in boundary or b"'" in boundary:
            enclosed = boundary.strip(_QUOTES), boundary.partition(b";")[0].strip(_QUOTES)
            found |= {each: each for each in enclosed if each not in found}
    return tuple([boundary for name, boundary in found.items() if name and len(boundary) <= _BOUNDARY][:_TYPES])
