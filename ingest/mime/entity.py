"""What the header of one entity says: its type, its encoding, its name, and what role it plays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ingest.mime.defects import Defect
from ingest.mime.fields import Field, Structured, first, parse_structured
from ingest.mime.text import clean

if TYPE_CHECKING:
    from ingest.domain.manifest import Role

_SIGNATURES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature"})
_NESTED = frozenset({"message/rfc822", "message/global"})
_PKCS7 = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity's header, read. `container` is the subtype of the multipart around it, empty at the top."""

    media_type: str
    boundary: str | None
    charset: str | None
    smime_type: str
    encoding: str
    disposition: str | None
    filename: str | None
    content_id: str | None
    container: str

    @property
    def is_multipart(self) -> bool:
        """Whether it holds parts."""
        return self.media_type.startswith("multipart/")

    @property
    def is_message(self) -> bool:
        """Whether it is a nested message."""
        return self.media_type in _NESTED

    @property
    def body_kind(self) -> Literal["text", "html"] | None:
        """What body it could be, if it is the first of its kind."""
        if self.filename is not None or self.disposition == "attachment":
            return None
        if self.media_type == "text/plain":
            return "text"
        return "html" if self.media_type == "text/html" else None

    @property
    def role(self) -> Role:
        """What it is, if it is no body."""
        if self.is_message:
            return "message"
        if self.media_type in _SIGNATURES:
            return "signature"
        if self.container == "encrypted" or (self.media_type in _PKCS7 and self.smime_type == "enveloped-data"):
            return "encrypted"
        if self.container == "alternative" and self.disposition != "attachment":
            return "alternative"
        shown = self.container == "related" or self.media_type.startswith("image/")
        if self.disposition != "attachment" and ((self.content_id and shown) or self.body_kind):
            return "inline"
        return "attachment"


def read_entity(fields: list[Field], container: str, defects: set[Defect]) -> Entity:
    """Read the fields that say what an entity is.

    Args:
        fields: of its header.
        container: subtype of the multipart around it.
        defects: grows.
    """
    if sum(field.name == "content-type" for field in fields) > 1:
        defects.add(Defect.DUPLICATE_FIELD)
    declared = first(fields, "content-type")
    kind = parse_structured(declared or b"", defects)
    disposition = parse_structured(first(fields, "content-disposition") or b"", defects)
    media_type = _media_type(kind, container)
    if media_type == "message/partial":
        defects.add(Defect.PARTIAL)
    content_id = first(fields, "content-id")
    return Entity(
        media_type=media_type,
        boundary=kind.parameters.get("boundary"),
        charset=kind.parameters.get("charset"),
        smime_type=kind.parameters.get("smime-type", "").lower(),
        encoding=(first(fields, "content-transfer-encoding") or b"").decode("ascii", "replace"),
        disposition=disposition.value or None,
        filename=disposition.parameters.get("filename") or kind.parameters.get("name") or None,
        content_id=clean(content_id.decode("utf-8", "replace")).strip(" <>") if content_id is not None else None,
        container=container,
    )


def _media_type(kind: Structured, container: str) -> str:
    """RFC 2045 section 5.2: without a type that makes sense, plain text; in a digest, a message."""
    main, slash, sub = kind.value.partition("/")
    if slash and main and sub:
        return kind.value[:127]
    return "message/rfc822" if container == "digest" else "text/plain"
