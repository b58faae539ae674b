"""Extract the content of signed and compressed CMS (RFC 5652, RFC 3274): smime.p7m, or `invoice.xml.p7m`.

Signatures are not verified. The encodings are DER and BER of indefinite length, plain, as PEM or in base64, and each
of these in base64 again: certified mail and web portals in Italy produce all of them.
"""

from __future__ import annotations

import codecs
import re
import zlib
from itertools import chain
from typing import TYPE_CHECKING, Literal

from ingest.containers import ber
from ingest.containers.stream import BrokenError, FileEnd
from ingest.mime.defects import Defect
from ingest.mime.radix64 import Base64

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ingest.containers.stream import FileEvent

# How many bytes `kind_of` needs.
HEAD_BYTES = 1024

Kind = Literal["signed", "encrypted", "compressed"]

_KINDS: dict[bytes, Kind] = {
    bytes.fromhex("2a864886f70d010702"): "signed",  # signedData
    bytes.fromhex("2a864886f70d010703"): "encrypted",  # envelopedData
    bytes.fromhex("2a864886f70d010704"): "encrypted",  # signedAndEnvelopedData (RFC 2315)
    bytes.fromhex("2a864886f70d010706"): "encrypted",  # encryptedData
    bytes.fromhex("2a864886f70d0109100117"): "encrypted",  # authEnvelopedData (RFC 5083)
    bytes.fromhex("2a864886f70d0109100109"): "compressed",  # compressedData (RFC 3274)
}
_OID_BYTES = 32
_PIECE = 65_536
_VERSION_BYTES = 4
_OCTET_STRINGS = (ber.OCTET_STRING, ber.OCTET_STRING | ber.CONSTRUCTED)
# Base64 of a sequence, of PEM, and of base64 of these.
_BASE64 = re.compile(rb"(?:M[A-P]|LS0tLS1CRUdJTi|T[UV]|TFMw)[A-Za-z0-9+/=\s]*")
_PEM = b"-----BEGIN "
# What all of these begin with, and a sequence that is not encoded as text.
_FIRST = (b"0", b"M", b"L", b"T", b"-")
_BEGINNING = 32  # bytes that show the text encoding
# Base64 in PEM in base64, and one spare.
_LAYERS = 3


def kind_of(head: bytes) -> Kind | None:
    """Return the kind of a CMS file by its first `HEAD_BYTES`; None for anything else."""
    if not head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(_FIRST):
        return None
    try:
        return _KINDS.get(_begin(ber.BerReader(_plain([head]))))
    except BrokenError:
        return None


def read_signed(chunks: Iterable[bytes], defects: set[Defect]) -> Iterator[FileEvent]:
    """Yield the content of signed or compressed data as one unnamed file; nothing for a detached signature.

    Never raises, whatever the bytes.

    Args:
        chunks: the file in pieces of any size.
        defects: of the file; grows. Content before a damaged place is yielded.
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
    """Read ContentInfo (RFC 5652 section 3) up to its content, and return the type."""
    reader.enter(ber.SEQUENCE)
    content_type = reader.value(ber.OID, _OID_BYTES)
    reader.enter(ber.EXPLICIT_0)
    return content_type


def _content(reader: ber.BerReader) -> Iterator[bytes]:
    """Read SignedData (section 5.1) or CompressedData up to the end of its content."""
    kind = _KINDS.get(_begin(reader))
    if kind not in ("signed", "compressed"):
        raise BrokenError
    reader.enter(ber.SEQUENCE)
    reader.value(ber.INTEGER, _VERSION_BYTES)
    reader.skip(ber.SET if kind == "signed" else ber.SEQUENCE)  # the algorithms
    reader.enter(ber.SEQUENCE)
    reader.value(ber.OID, _OID_BYTES)
    if reader.enter(ber.EXPLICIT_0) is None:
        return
    element = reader.next()
    if element is None or element.tag not in _OCTET_STRINGS:
        raise BrokenError
    content = reader.octet_string(element)
    yield from content if kind == "signed" else _inflated(content)


def _inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress zlib, the only algorithm of RFC 3274, in pieces: what is too much for the caller, it stops."""
    stream = zlib.decompressobj()
    try:
        for piece in pieces:
            data = piece
            while data and not stream.eof:
                if out := stream.decompress(data, _PIECE):
                    yield out
                data = stream.unconsumed_tail
        if out := stream.flush():
            yield out
    except zlib.error as error:
        raise BrokenError from error
    if not stream.eof:
        raise BrokenError


def _plain(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Remove the text encodings."""
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
    """Return the first bytes after blanks, and all bytes from there."""
    taken = b""
    for chunk in chunks:
        taken = (taken + chunk).removeprefix(codecs.BOM_UTF8).lstrip()
        if len(taken) >= _BEGINNING:
            break
    return taken[:_BEGINNING], chain([taken], chunks)


def _without_pem_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines between the PEM label lines; a hyphen is not in the alphabet (RFC 7468)."""
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
