"""Read ZIP archives: the files that their central directory lists, one after another, in pieces.

The standard library's reader is used, with limits of our own: the size of the directory is checked before it is read,
only compression methods whose memory is bounded are supported, and names are decoded here, because most archives of
business software use the code page of the machine that made them.
"""

from __future__ import annotations

import re
import stat
import struct
import zlib
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from ingest.containers.code_pages import code_page_of, ideographic_code_page_of
from ingest.containers.passwords import Passwords
from ingest.containers.stream import FileEnd
from ingest.containers.zipcrypt import Locked, unlock
from ingest.mime.charsets import detect_charset, is_utf8
from ingest.mime.defects import Defect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingest.containers.stream import FileEvent

ZIP = "application/zip"

# Some 20,000 entries. The directory of a bomb can be as large as the archive, and each entry takes a KiB of memory.
_DIRECTORY_BYTES = 2**20
_END = struct.Struct("<4s4H2LH")  # end of central directory (APPNOTE section 4.3.16)
_END_MARK, _END_64_MARK = b"PK\5\6", b"PK\6\6"
_END_64 = struct.Struct(
    "<4s36xQ8x"
)  # the same for ZIP64 (section 4.3.14): its signature, and the size of the directory
_LOCATOR_64_BYTES = 20
_END_BYTES = _END.size + 65_535 + _LOCATOR_64_BYTES + _END_64.size  # with the longest comment
_NAME_BYTES = 4096  # from which their code page is determined
# Ends with a byte that is no part of a character of several bytes in any code page that is determined.
_SEPARATED = re.compile(rb".*[ -/]", re.DOTALL)
_PIECE = 65_536
_METHODS = frozenset({ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2})  # LZMA declares how much memory it takes
_ENCRYPTED, _UTF8 = 0x1, 0x800  # flags (APPNOTE section 4.4.4)
_UNIX = 3  # made by
_UNICODE_PATH = 0x7075  # extra field with the name in UTF-8 (APPNOTE section 4.6.9)
_DOS = "cp850"  # written by Windows' own archiver in western Europe; a superset of the letters of cp437
_MAC = "__MACOSX/"  # resource forks, which only macOS can use
# What damaged or hostile archives raise from the standard library's reader.
_BROKEN = (BadZipFile, NotImplementedError, EOFError, OSError, ValueError, struct.error, zlib.error, RuntimeError)


@dataclass
class ArchiveLock:
    """What is known about the encryption of an archive.

    Attributes:
        passwords: to try.
        is_locked: whether files in it are encrypted.
        is_opened: whether a password opened one of them.
    """

    passwords: Passwords = field(default_factory=Passwords, repr=False)
    is_locked: bool = False
    is_opened: bool = False


def read_zip(file: BinaryIO, defects: set[Defect], lock: ArchiveLock | None = None) -> Iterator[FileEvent]:
    """Yield the files of a ZIP archive: their bytes in pieces, then their end.

    A damaged file is returned as far as it could be read. Files that no password opens, or compressed with another
    method, are not extracted.

    Args:
        file: the archive, seekable; it stays open.
        defects: codes of what is wrong with the archive are added to it.
        lock: has the passwords; what is found out about the encryption is noted in it.
    """
    lock = lock or ArchiveLock()
    if not _is_small(file):
        defects.add(Defect.CONTAINER_LIMIT)
        return
    try:
        archive = ZipFile(file)
    except _BROKEN:
        defects.add(Defect.CONTAINER_BROKEN)
        return
    with archive:
        entries = [entry for entry in archive.infolist() if not _is_skipped(entry)]
        for entry, path in zip(entries, _paths(entries), strict=True):
            if entry.flag_bits & _ENCRYPTED:
                yield from _locked_file(archive, file, entry, path, lock=lock, defects=defects)
            elif entry.compress_type not in _METHODS:
                defects.add(Defect.CONTAINER_BROKEN)
            else:
                yield from _file(_content(archive, entry), path)


def _content(archive: ZipFile, entry: ZipInfo) -> Iterator[bytes]:
    with archive.open(entry) as content:
        while piece := content.read(_PIECE):
            yield piece


def _locked_file(
    archive: ZipFile, file: BinaryIO, entry: ZipInfo, path: str, *, lock: ArchiveLock, defects: set[Defect]
) -> Iterator[FileEvent]:
    lock.is_locked = True
    try:
        content = unlock(archive, file, entry, lock.passwords)
    except _BROKEN:
        defects.add(Defect.CONTAINER_BROKEN)
        return
    if isinstance(content, Locked):
        defects.add(content.defect)
        return
    lock.is_opened = True
    yield from _file(content, path)


def _file(content: Iterator[bytes], path: str) -> Iterator[FileEvent]:
    broken = frozenset[Defect]()
    try:
        yield from content
    except _BROKEN:
        broken = frozenset({Defect.CONTAINER_BROKEN})
    folder, _, name = path.rpartition("/")
    yield FileEnd(name or None, defects=broken, location=path if folder else None)


def _is_small(file: BinaryIO) -> bool:
    """Return whether the directory is small enough to read; the reader rejects an archive without one."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_BYTES))
    tail = file.read(_END_BYTES)
    # The reader looks for the record in these two places, in this order.
    at = len(tail) - _END.size
    if at < 0 or tail[at : at + 4] != _END_MARK or tail[-2:] != b"\0\0":
        at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) - at < _END.size:
        return True
    directory_bytes: int = _END.unpack_from(tail, at)[5]
    large = at - _LOCATOR_64_BYTES - _END_64.size
    if large >= 0 and tail[large : large + 4] == _END_64_MARK:
        directory_bytes = _END_64.unpack_from(tail, large)[1]
    return directory_bytes <= _DIRECTORY_BYTES


def _is_skipped(entry: ZipInfo) -> bool:
    """Return whether an entry is not a file: a folder, a symbolic link, or metadata of macOS."""
    is_link = entry.create_system == _UNIX and stat.S_ISLNK(entry.external_attr >> 16)
    return entry.is_dir() or is_link or entry.filename.startswith(_MAC)


def _paths(entries: Sequence[ZipInfo]) -> list[str]:
    """Return the decoded path of each entry, with slashes."""
    written = [_bytes_of(entry) for entry in entries]
    undeclared = _sample([raw for raw in written if raw is not None and not is_utf8(raw)])
    codec = code_page_of(undeclared) or detect_charset(undeclared) or ideographic_code_page_of(undeclared) or _DOS
    return [
        (entry.filename if raw is None else raw.decode("utf-8" if is_utf8(raw) else codec, "replace")).replace(
            "\\", "/"
        )
        for entry, raw in zip(entries, written, strict=True)
    ]


def _sample(names: list[bytes]) -> bytes:
    """Return the first names, as many as show the code page: there may be a MiB of them.

    A single name that is longer ends between two characters, whichever code page it is in.
    """
    sizes = accumulate(map(len, names))
    whole = [name for name, size in zip(names, sizes, strict=True) if size <= _NAME_BYTES]
    if whole or not names:
        return b"\n".join(whole)
    beginning = names[0][:_NAME_BYTES]
    found = _SEPARATED.match(beginning)
    return found[0] if found else beginning


def _bytes_of(entry: ZipInfo) -> bytes | None:
    """Return the bytes of the name if its charset is not declared, None if the reader decoded it correctly."""
    if entry.flag_bits & _UTF8:
        return None
    try:
        written = entry.orig_filename.encode("cp437")  # the charset that the reader assumes for all others
    except UnicodeEncodeError:
        return None
    return _unicode_path(entry.extra, zlib.crc32(written)) or written


def _unicode_path(extra: bytes, checksum: int) -> bytes | None:
    """Return the name in UTF-8 of the extra field that Info-ZIP writes, None if there is none for this name."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        data = extra[at + 4 : at + 4 + size]
        if kind == _UNICODE_PATH and len(data) == size > 5 and struct.unpack_from("<L", data, 1)[0] == checksum:  # noqa: PLR2004
            return data[5:]
        at += 4 + size
    return None
