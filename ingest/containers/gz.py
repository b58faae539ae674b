"""The file in a gzip file (RFC 1952), such as `invoice.xml.gz`; an archive in one stays inside."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from ingest.containers.stream import FileEnd
from ingest.mime.defects import Defect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ingest.containers.stream import FileEvent

GZIP = "application/gzip"
_MARK = b"\x1f\x8b"
_PIECE = 65_536
_MEMBERS = 1000  # files joined into one, as log programs write them
_TAR = slice(257, 262), b"ustar"  # of its first header (POSIX.1-1988)


def read_gzip(chunks: Iterable[bytes], defects: set[Defect]) -> Iterator[FileEvent]:
    """Yield the content of a gzip file in pieces, then its end; nothing if it is a tar archive.

    A damaged file is returned as far as it could be read.

    Args:
        chunks: the file, in pieces of any size.
        defects: codes of what is wrong with it are added to it.
    """
    pieces = _unpacked(chunks, defects)
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= _TAR[0].stop:
            break
    if head[_TAR[0]] == _TAR[1] or (not head and defects):
        return
    yield head
    yield from pieces
    yield FileEnd()


def _unpacked(chunks: Iterable[bytes], defects: set[Defect]) -> Iterator[bytes]:
    unpack, members = zlib.decompressobj(zlib.MAX_WBITS | 16), 1
    try:
        for chunk in chunks:
            data = chunk
            while data:
                if unpack.eof:
                    if not data.startswith(_MARK[: len(data)]):
                        return  # padding, and what else some programs write behind the end
                    members += 1
                    if members > _MEMBERS:
                        defects.add(Defect.CONTAINER_LIMIT)
                        return
                    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)  # several files in one are one content
                if piece := unpack.decompress(data, _PIECE):
                    yield piece
                data = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
    except zlib.error:
        defects.add(Defect.CONTAINER_BROKEN)
        return
    if not unpack.eof:
        defects.add(Defect.CONTAINER_BROKEN)
