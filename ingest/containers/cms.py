"""What a CMS signature is around (RFC 5652): the content of smime.p7m and of signed invoices such as `*.xml.p7m`.

Nothing is verified: who signed is for who reads the stored file to find out. Read are DER and BER of indefinite
length, as they are, as PEM or in base64, and these in base64 again: certified mail and web portals in Italy make all
of them.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Literal

from ingest.containers import ber
from ingest.containers.stream import BrokenError, FileEnd
from ingest.mime.defects import Defect
from ingest.mime.radix64 import Base64

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ingest.containers.stream import FileEvent

# What `kind_of` wants to see.
HEAD_BYTES = 1024

Kind = Literal["signed", "encrypted"]

_KINDS: dict[bytes, Kind] = {
    bytes.fromhex("2a864886f70d010702"): "signed",  # signedData
    bytes.fromhex("2a864886f70d010703"): "encrypted",  # envelopedData
    bytes.fromhex("2a864886f70d010704"): "encrypted",  # signedAndEnvelopedData (RFC 2315)
    bytes.fromhex("2a864886f70d010706"): "encrypted",  # encryptedData
    bytes.fromhex("2a864886f70d0109100117"): "encrypted",  # authEnvelopedData (RFC 5083)
}
_OID_BYTES = 32
_VERSION_BYTES = 4
_OCTET_STRINGS = (ber.OCTET_STRING, ber.OCTET_STRING | ber.CONSTRUCTED)
# Base64 of a sequence with a length of its own, of PEM, and of base64 of these.
_BASE64 = re.compile(rb"(?:M[A-P]|LS0tLS1CRUdJTi|T[UV]|TFMw)[A-Za-z0-9+/=\s]*")
_PEM = b"-----BEGIN "
_BEGINNING = 32  # bytes that tell how the following ones are encoded
# Base64 in PEM in base64, and one more for what nobody has thought of.
_LAYERS = 3


def kind_of(head: bytes) -> Kind | None:
    """What a file is, by its first `HEAD_BYTES`; None for anything but signed or encrypted CMS."""
    try:
        return _KINDS.get(_begin(ber.BerReader(_plain([head]))))
    except BrokenError:
        return None


def read_signed(chunks: Iterable[bytes], defects: set[Defect]) -> Iterator[FileEvent]:
    """The content of signed data, as one file without a name; nothing where it was signed apart from its content.

    Never raises, whatever the bytes.

    Args:
        chunks: the file in pieces of any size.
        defects: of it; grows. Where it is broken, what came before is given out.
    """
    begun, of_content = False, frozenset[Defect]()
    try:
        for piece in _content(ber.BerReader(_plain(chunks))):
            begun = True
            yield piece
    except BrokenError:
        defects.add(Defect.CONTAINER_BROKEN)
        of_content = frozenset({Defect.CONTAINER_BROKEN})
    if begun:
        yield FileEnd(defects=of_content)


def _begin(reader: ber.BerReader) -> bytes:
    """ContentInfo (RFC 5652 section 3) up to its content; returns the type."""
    reader.enter(ber.SEQUENCE)
    content_type = reader.value(ber.OID, _OID_BYTES)
    reader.enter(ber.EXPLICIT_0)
    return content_type


def _content(reader: ber.BerReader) -> Iterator[bytes]:
    """SignedData (section 5.1) up to the end of its content; certificates and signatures follow."""
    if _KINDS.get(_begin(reader)) != "signed":
        raise BrokenError
    reader.enter(ber.SEQUENCE)
    reader.value(ber.INTEGER, _VERSION_BYTES)
    reader.skip(ber.SET)
    reader.enter(ber.SEQUENCE)
    reader.value(ber.OID, _OID_BYTES)
    if reader.enter(ber.EXPLICIT_0) is None:
        return
    element = reader.next()
    if element is None or element.tag not in _OCTET_STRINGS:
        raise BrokenError
    yield from reader.octet_string(element)


def _plain(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Without the text encodings around it."""
    pieces = iter(chunks)
    for _ in range(_LAYERS):
        beginning, pieces = _beginning(pieces)
        if beginning.startswith(_PEM):
            pieces = _decoded(_without_pem_lines(pieces))
        elif _BASE64.fullmatch(beginning):
            pieces = _decoded(pieces)
        else:
            break
    return pieces


def _beginning(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes behind blanks; and all from there."""
    taken = b""
    for chunk in chunks:
        taken = (taken + chunk).lstrip()
        if len(taken) >= _BEGINNING:
            break
    return taken[:_BEGINNING], chain([taken], chunks)


def _without_pem_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What is between the first line and the next one with a hyphen, which is not in the alphabet (RFC 7468)."""
    inside = False
    for chunk in chunks:
        body = chunk
        if not inside:
            _, line_end, body = chunk.partition(b"\n")
            inside = bool(line_end)
        body, hyphen, _ = body.partition(b"-")
        if inside and body:
            yield body
        if inside and hyphen:
            return


def _decoded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    decoder = Base64()
    for chunk in chunks:
        if data := decoder.feed(chunk):
            yield data
    if rest := decoder.close():
        yield rest
