"""Encrypted entries of ZIP archives: WinZip's AES (AE-1, AE-2), and the classic cipher of PKWARE.

AES is authenticated before anything is extracted, so that a wrong password never gives bytes. The classic cipher has
one byte to recognise a password by; the content's checksum decides. It is the standard library's, in Python, so that
one of its bytes counts as much as sixteen others.
"""

from __future__ import annotations

import bz2
import hashlib
import hmac
import struct
import zlib
from typing import IO, TYPE_CHECKING, BinaryIO, NamedTuple
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, BadZipFile

from ingest.mime.defects import Defect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zipfile import ZipFile, ZipInfo

    from ingest.containers.passwords import Passwords

_AES_METHOD, _AES_EXTRA = 99, 0x9901  # https://www.winzip.com/en/support/aes-encryption/
_STRONG = 0x40  # flag: PKWARE's strong encryption (APPNOTE section 7), which is patented and not read
_KEY_BYTES = {1: 16, 2: 24, 3: 32}
_ITERATIONS, _VERIFIER_BYTES, _MAC_BYTES = 1000, 2, 10
_BLOCK = 16
_PIECE = 65_536
_METHODS = frozenset({ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2})
_LOCAL = struct.Struct("<4s22x2H")  # local file header (APPNOTE section 4.3.7): its mark, lengths of name and extra
_CLASSIC_COST = 16
_PROOF_BYTES = 2**20  # inflated without an error by a wrong key: never
_WRONG = (BadZipFile, EOFError, OSError, RuntimeError, ValueError, zlib.error)


class Locked(NamedTuple):
    """Why an entry stays shut."""

    defect: Defect


class _Aes(NamedTuple):
    version: int
    key_bytes: int
    method: int


def unlock(archive: ZipFile, file: BinaryIO, entry: ZipInfo, passwords: Passwords) -> Iterator[bytes] | Locked:
    """Return the content of an encrypted entry in pieces, or why there is none.

    Args:
        archive: the opened archive.
        file: the same archive.
        entry: one of its entries.
        passwords: to try.

    Raises:
        BadZipFile, EOFError, OSError, ValueError, zlib.error: it is damaged; also while iterating.
    """
    if not passwords:
        return Locked(Defect.ENCRYPTION_UNSUPPORTED if entry.flag_bits & _STRONG else Defect.ARCHIVE_PASSWORD)
    if entry.flag_bits & _STRONG:
        return Locked(Defect.ENCRYPTION_UNSUPPORTED)
    if entry.compress_type != _AES_METHOD:
        return _classic(archive, entry, passwords)
    aes = _read_extra(entry.extra)
    if aes is None or aes.method not in _METHODS:
        return Locked(Defect.ENCRYPTION_UNSUPPORTED)
    return _strong(file, entry, aes, passwords)


def _classic(archive: ZipFile, entry: ZipInfo, passwords: Passwords) -> Iterator[bytes] | Locked:
    if entry.compress_type not in _METHODS:
        return Locked(Defect.ENCRYPTION_UNSUPPORTED)
    for password in passwords:
        try:
            content = archive.open(entry, pwd=password)
        except RuntimeError:  # the byte that recognises a password
            continue
        with content:
            if not passwords.spend(2 * _CLASSIC_COST * entry.compress_size):
                return Locked(Defect.CONTAINER_LIMIT)
            if not _is_sound(content, entry):
                continue
        passwords.prefer(password)
        return _pieces(archive, entry, password)
    return Locked(Defect.CONTAINER_LIMIT if passwords.is_exhausted else Defect.PASSWORD_WRONG)


def _is_sound(content: IO[bytes], entry: ZipInfo) -> bool:
    """Read content with a key that may be wrong; the reader compares the checksum at the end."""
    size = 0
    try:
        while piece := content.read(_PIECE):
            size += len(piece)
            if size >= _PROOF_BYTES and entry.compress_type != ZIP_STORED:
                break
    except _WRONG:
        return False
    return True


def _pieces(archive: ZipFile, entry: ZipInfo, password: bytes) -> Iterator[bytes]:
    with archive.open(entry, pwd=password) as content:
        while piece := content.read(_PIECE):
            yield piece


def _read_extra(extra: bytes) -> _Aes | None:
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        data = extra[at + 4 : at + 4 + size]
        if kind == _AES_EXTRA and len(data) == 7:  # noqa: PLR2004
            version, vendor, strength, method = struct.unpack("<H2sBH", data)
            if vendor == b"AE" and strength in _KEY_BYTES and version in (1, 2):
                return _Aes(version, _KEY_BYTES[strength], method)
        at += 4 + size
    return None


def _strong(file: BinaryIO, entry: ZipInfo, aes: _Aes, passwords: Passwords) -> Iterator[bytes] | Locked:
    file.seek(entry.header_offset)
    mark, name_bytes, extra_bytes = _LOCAL.unpack(file.read(_LOCAL.size))
    if mark != b"PK\3\4":
        raise BadZipFile
    file.seek(name_bytes + extra_bytes, 1)
    salt, verifier = file.read(aes.key_bytes // 2), file.read(_VERIFIER_BYTES)
    start = file.tell()
    size = entry.compress_size - aes.key_bytes // 2 - _VERIFIER_BYTES - _MAC_BYTES
    if size < 0 or len(verifier) < _VERIFIER_BYTES:
        raise BadZipFile
    for password in passwords:
        keys = hashlib.pbkdf2_hmac("sha1", password, salt, _ITERATIONS, dklen=2 * aes.key_bytes + _VERIFIER_BYTES)
        if keys[-_VERIFIER_BYTES:] != verifier:
            continue
        if not passwords.spend(2 * size):
            return Locked(Defect.CONTAINER_LIMIT)
        if _is_authentic(file, start, size, keys[aes.key_bytes : -_VERIFIER_BYTES]):
            passwords.prefer(password)
            return _inflated(_decrypted(file, start, size, keys[: aes.key_bytes]), entry, aes)
    return Locked(Defect.CONTAINER_LIMIT if passwords.is_exhausted else Defect.PASSWORD_WRONG)


def _is_authentic(file: BinaryIO, start: int, size: int, key: bytes) -> bool:
    code = hmac.new(key, digestmod="sha1")
    for piece in _raw(file, start, size):
        code.update(piece)
    file.seek(start + size)
    return hmac.compare_digest(code.digest()[:_MAC_BYTES], file.read(_MAC_BYTES))


def _raw(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    """Yield a range of the file; another reader may move its position meanwhile."""
    at = start
    while at < start + size:
        file.seek(at)
        piece = file.read(min(_PIECE, start + size - at))
        if not piece:
            raise EOFError
        at += len(piece)
        yield piece


def _decrypted(file: BinaryIO, start: int, size: int, key: bytes) -> Iterator[bytes]:
    """Decrypt AES in counter mode with WinZip's counter, which is little-endian and begins with 1."""
    # Imported here: it takes some milliseconds, and few archives are encrypted.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415

    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - only of the counter
    counter = 1
    for piece in _raw(file, start, size):
        blocks = -(-len(piece) // _BLOCK)
        counters = b"".join([number.to_bytes(_BLOCK, "little") for number in range(counter, counter + blocks)])
        counter += blocks
        stream = block.update(counters)[: len(piece)]
        yield (int.from_bytes(piece, "little") ^ int.from_bytes(stream, "little")).to_bytes(len(piece), "little")


def _inflated(pieces: Iterator[bytes], entry: ZipInfo, aes: _Aes) -> Iterator[bytes]:
    checksum = 0
    for piece in _decompressed(pieces, aes.method):
        checksum = zlib.crc32(piece, checksum)
        yield piece
    if aes.version == 1 and checksum != entry.CRC:
        raise BadZipFile


def _decompressed(pieces: Iterator[bytes], method: int) -> Iterator[bytes]:
    if method == ZIP_STORED:
        yield from pieces
        return
    if method == ZIP_BZIP2:
        unpacker = bz2.BZ2Decompressor()
        for piece in pieces:
            data = unpacker.decompress(piece, _PIECE)
            while data:
                yield data
                data = b"" if unpacker.eof else unpacker.decompress(b"", _PIECE)
            if unpacker.eof:
                return
        raise EOFError
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for piece in pieces:
        rest = piece
        while data := inflater.decompress(rest, _PIECE):
            yield data
            rest = inflater.unconsumed_tail
        if inflater.eof:
            return
    raise EOFError
