"""ZIP archives with passwords: a few that other programs wrote, and a writer of both ciphers for all others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import struct
import zipfile
import zlib
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

CONTENT = b"Netto 12,50 EUR. " * 8
PASSWORD = "tiger"

# `Beleg.txt` with CONTENT, by Info-ZIP 3.0 (deflated, stored) and by pyzipper 0.3.6 (AE-1 and AE-2, with keys of 128,
# 192 and 256 bits, `a/Beleg.txt`).
WRITTEN_BY_OTHERS = {
    name: base64.b64decode(data)
    for name, data in {
        "classic": (
            "UEsDBBQACQAIACFqe121JUX8IgAAAIgAAAAJAAAAQmVsZWcudHh05StbOzlUoXeUAWehLMK4cAnv4PnkHXQSWXj/oOvtlNJVv1BLBwi1JUX8"
            "IgAAAIgAAABQSwECHgMUAAkACAAhantdtSVF/CIAAACIAAAACQAAAAAAAAABAAAApIEAAAAAQmVsZWcudHh0UEsFBgAAAAABAAEANwAAAFkA"
            "AAAAAA=="
        ),
        "classic-stored": (
            "UEsDBAoACQAAACFqe121JUX8lAAAAIgAAAAJAAAAQmVsZWcudHh03y50aINWwQ3CHpVhS2lTehd1G3xUFE+KKDAZc/xrNpB+E3NBa9HTLQxV"
            "x665iXgx0BcDZ6Y42t5Db06Cu8NlOqza/dBSAopYcfqAJSsTJ2KZm2KUH8N2YFKk8o5GUcMrQ5gbFgs1Ezw9UF3vVXYjP1fIH6GJ8TYe9Rga"
            "QT5UyHduEdJfydcEi0j5JKwuQdv7sGDkm1BLBwi1JUX8lAAAAIgAAABQSwECHgMKAAkAAAAhantdtSVF/JQAAACIAAAACQAAAAAAAAAAAAAA"
            "pIEAAAAAQmVsZWcudHh0UEsFBgAAAAABAAEANwAAAMsAAAAAAA=="
        ),
        "aes-128-1": (
            "UEsDBBQAAQBjACFqe121JUX8KgAAAIgAAAALAAsAYS9CZWxlZy50eHQBmQcAAQBBRQEIANOIydNZUQsylUyXfZdd852E3CvaFZDO3+Hk9z7X"
            "TTeaQogIkCoGVKnx6lBLAQIUAxQAAQBjACFqe121JUX8KgAAAIgAAAALAAsAAAAAAAAAAACAAQAAAABhL0JlbGVnLnR4dAGZBwABAEFFAQgA"
            "UEsFBgAAAAABAAEARAAAAF4AAAAAAA=="
        ),
        "aes-192-2": (
            "UEsDBBQAAQBjACFqe10AAAAALgAAAIgAAAALAAsAYS9CZWxlZy50eHQBmQcAAgBBRQIIAJ6OHS3vy3oeJgcmrk775N7zKA/EkQww5aZ919mC"
            "yFOavqaC9pyXtbHpgPudtZNQSwECFAMUAAEAYwAhantdAAAAAC4AAACIAAAACwALAAAAAAAAAAAAgAEAAAAAYS9CZWxlZy50eHQBmQcAAgBB"
            "RQIIAFBLBQYAAAAAAQABAEQAAABiAAAAAAA="
        ),
        "aes-256-2": (
            "UEsDBBQAAQBjACFqe10AAAAAMgAAAIgAAAALAAsAYS9CZWxlZy50eHQBmQcAAgBBRQMIAP1IKvF6cC9beoqc2CUr8pLYm8RGHBWG2+bZ3AXf"
            "nOkXRszq3vQq7JOWQYf0ZsPcODT2UEsBAhQDFAABAGMAIWp7XQAAAAAyAAAAiAAAAAsACwAAAAAAAAAAAIABAAAAAGEvQmVsZWcudHh0AZkH"
            "AAIAQUUDCABQSwUGAAAAAAEAAQBEAAAAZgAAAAAA"
        ),
    }.items()
}


class Entry(NamedTuple):
    """A file to encrypt; `aes` is 1 or 2 for AE-1 or AE-2, 0 for the classic cipher."""

    content: bytes
    name: str = "a.txt"
    password: str = PASSWORD
    aes: int = 2
    method: int = zipfile.ZIP_DEFLATED
    charset: str = "utf-8"


def locked(*entries: Entry, plain: bytes | None = None) -> bytes:
    """An archive of encrypted files, and one that is not if `plain` is given."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        if plain is not None:
            made.writestr("plain.txt", plain)
        for entry in entries:
            _append(made, data, entry)
    return data.getvalue()


def _append(made: zipfile.ZipFile, data: io.BytesIO, entry: Entry) -> None:
    info = zipfile.ZipInfo(entry.name)
    packed = zlib.compress(entry.content, wbits=-15) if entry.method == zipfile.ZIP_DEFLATED else entry.content
    checksum = zlib.crc32(entry.content)
    if entry.aes:
        info.extra = struct.pack("<HHH2sBH", 0x9901, 7, entry.aes, b"AE", 3, entry.method)
        sealed, method = _aes(packed, entry.password.encode(entry.charset)), 99
    else:
        sealed, method = _classic(packed, checksum, entry.password.encode(entry.charset)), entry.method
    # The writer of the standard library encrypts nothing: it writes the sealed bytes, and the header says the rest.
    info.header_offset = data.tell()
    info.compress_size, info.file_size = len(sealed), len(entry.content)
    info.CRC, info.flag_bits, info.compress_type = 0 if entry.aes == 2 else checksum, 1, method
    name = entry.name.encode()
    sizes = len(sealed), len(entry.content), len(name), len(info.extra)
    data.write(struct.pack("<4s5H3L2H", b"PK\3\4", 51, 1, method, 0, 33, info.CRC, *sizes))
    data.write(name + info.extra + sealed)
    made.start_dir = data.tell()
    made._didModify = True  # type: ignore[attr-defined]
    made.filelist.append(info)


def _aes(data: bytes, password: bytes) -> bytes:
    salt = hashlib.sha256(data).digest()[:16]
    keys = hashlib.pbkdf2_hmac("sha1", password, salt, 1000, dklen=66)
    block = Cipher(algorithms.AES(keys[:32]), modes.ECB()).encryptor()  # noqa: S305 - of the counter
    stream = b"".join(block.update(number.to_bytes(16, "little")) for number in range(1, len(data) // 16 + 2))
    sealed = bytes(one ^ other for one, other in zip(data, stream, strict=False))
    return salt + keys[64:] + sealed + hmac.digest(keys[32:64], sealed, "sha1")[:10]


def _classic(data: bytes, checksum: int, password: bytes) -> bytes:
    keys = [0x12345678, 0x23456789, 0x34567890]
    table = [_crc_of(number) for number in range(256)]

    def update(byte: int) -> None:
        keys[0] = keys[0] >> 8 ^ table[(keys[0] ^ byte) & 255]
        keys[1] = ((keys[1] + (keys[0] & 255)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = keys[2] >> 8 ^ table[(keys[2] ^ keys[1] >> 24) & 255]

    for byte in password:
        update(byte)
    sealed = bytearray()
    for byte in bytes(11) + bytes([checksum >> 24]) + data:
        key = keys[2] | 2
        sealed.append(byte ^ (key * (key ^ 1) >> 8 & 255))
        update(byte)
    return bytes(sealed)


def _crc_of(number: int) -> int:
    for _ in range(8):
        number = number >> 1 ^ (0xEDB88320 if number & 1 else 0)
    return number
