"""PDFs that hold files, made in the test."""

from __future__ import annotations

import io
import zlib
from typing import NamedTuple

from pypdf import PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, NameObject


class Holding(NamedTuple):
    """A file to embed; `tree` and `associated` say where it is named."""

    name: str
    data: bytes
    tree: bool = True
    associated: bool = False


def pdf(*holding: Holding, password: str | None = None, algorithm: str = "AES-256") -> bytes:
    """One empty page with these files.

    Args:
        holding: the files.
        password: encrypts it; an empty one opens by itself.
        algorithm: as pypdf names them.
    """
    writer = PdfWriter()
    writer.add_blank_page(72, 72)
    associated = ArrayObject()
    for each in holding:
        made = writer.add_attachment(each.name, each.data)
        if each.associated:
            associated.append(writer._add_object(made.pdf_object))
    names = writer.root_object.get("/Names")
    if names is not None and not all(each.tree for each in holding):
        pairs = names["/EmbeddedFiles"]["/Names"]
        kept = [pair for i, pair in enumerate(pairs) if holding[i // 2].tree]
        names["/EmbeddedFiles"][NameObject("/Names")] = ArrayObject(kept)
    if associated:
        writer.root_object[NameObject("/AF")] = associated
    if password is not None:
        writer.encrypt(password, "owner", algorithm=algorithm)
    return written(writer)


def nested(writer: PdfWriter, depth: int, *, cyclic: bool) -> None:
    """Put the name tree's entries under intermediate nodes, the lowest of which may lead back to the first."""
    names = writer.root_object["/Names"]
    assert isinstance(names, DictionaryObject)
    entries = names["/EmbeddedFiles"]
    assert isinstance(entries, DictionaryObject)
    top = writer._add_object(DictionaryObject())
    below = writer._add_object(entries)
    for _ in range(depth):
        kids = ArrayObject([below, top] if cyclic else [below])
        below = writer._add_object(DictionaryObject({NameObject("/Kids"): kids}))
    top_node = top.get_object()
    assert isinstance(top_node, DictionaryObject)
    top_node[NameObject("/Kids")] = ArrayObject([below])
    names[NameObject("/EmbeddedFiles")] = top


def written(writer: PdfWriter) -> bytes:
    """What it writes."""
    into = io.BytesIO()
    writer.write(into)
    return into.getvalue()


def with_object_streams(name: str, data: bytes, dictionary: bytes) -> bytes:
    """All but streams is compressed (PDF 1.5), as newer writers do.

    Args:
        name: of the one file it holds.
        data: of that file.
        dictionary: entries of its stream's dictionary.
    """
    inside = {
        1: b"<</Type/Catalog/Pages 2 0 R/Names<</EmbeddedFiles<</Names[(a)3 0 R]>>>>>>",
        2: b"<</Type/Pages/Count 0/Kids[]>>",
        3: b"<</Type/Filespec/F(%s)/EF<</F 4 0 R>>>>" % name.encode(),
    }
    places, body = b"", b""
    for number, content in inside.items():
        places += b"%d %d " % (number, len(body))
        body += content + b" "
    made = bytearray(b"%PDF-1.5\n")
    at = {4: len(made)}
    made += _stream(4, dictionary, zlib.compress(data))
    at[5] = len(made)
    made += _stream(5, b"/Type/ObjStm/N 3/First %d" % len(places), zlib.compress(places + body))
    at[6] = len(made)
    rows = [(0, 0, 65535), (2, 5, 0), (2, 5, 1), (2, 5, 2), *((1, at[number], 0) for number in (4, 5, 6))]
    table = b"".join(bytes([kind]) + b.to_bytes(4, "big") + c.to_bytes(2, "big") for kind, b, c in rows)
    made += _stream(6, b"/Type/XRef/Size 7/W[1 4 2]/Root 1 0 R", zlib.compress(table))
    return bytes(made + b"startxref\n%d\n%%%%EOF\n" % at[6])


def _stream(number: int, dictionary: bytes, data: bytes) -> bytes:
    head = b"%d 0 obj<<%s/Filter/FlateDecode/Length %d>>stream\n" % (number, dictionary, len(data))
    return head + data + b"\nendstream endobj\n"
