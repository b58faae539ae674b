"""CMS (RFC 5652): BER written by hand, and DER signed by a library."""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable

SIGNED, ENVELOPED = bytes.fromhex("2a864886f70d010702"), bytes.fromhex("2a864886f70d010703")
DATA = bytes.fromhex("2a864886f70d010701")
COMPRESSED = bytes.fromhex("2a864886f70d0109100109")
END = b"\0\0"


def der(tag: int, content: bytes) -> bytes:
    """An element of definite length."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    data = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(data)]) + data + content


def ber(tag: int, *content: bytes) -> bytes:
    """An element of indefinite length."""
    return bytes([tag, 0x80]) + b"".join(content) + END


def in_segments(pieces: Iterable[bytes], *, marked: bool = True) -> bytes:
    """An OCTET STRING in segments."""
    segments = b"".join(der(0x04, piece) for piece in pieces)
    return ber(0x24, segments) if marked else der(0x24, segments)


def signed_ber(content: bytes, kind: bytes = SIGNED) -> bytes:
    """Signed data of indefinite length, as OpenSSL streams it; `content` is an OCTET STRING, or nothing."""
    around = ber(0xA0, content) if content else b""
    inner = ber(0x30, der(0x06, DATA), around)
    data = ber(0x30, der(0x02, b"\1"), der(0x31, b""), inner, der(0x31, b""))
    return ber(0x30, der(0x06, kind), ber(0xA0, data))


def compressed(content: bytes) -> bytes:
    """Compressed data (RFC 3274)."""
    algorithm = der(0x30, der(0x06, bytes.fromhex("2a864886f70d0109100308")))
    inner = der(0x30, der(0x06, DATA) + der(0xA0, der(0x04, zlib.compress(content))))
    data = der(0x30, der(0x02, b"\0") + algorithm + inner)
    return der(0x30, der(0x06, COMPRESSED) + der(0xA0, data))


def signed(content: bytes, *options: pkcs7.PKCS7Options) -> bytes:
    """DER with certificate and signature."""
    key, certificate = _signer()
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(certificate, key, hashes.SHA256())
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary, *options])


def pem(data: bytes, label: str = "PKCS7") -> bytes:
    """PEM: base64 between two marker lines."""
    return f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(data) + f"-----END {label}-----\n".encode()


@lru_cache
def _signer() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A Shop")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
    return key, builder.not_valid_after(datetime(2036, 1, 1, tzinfo=UTC)).sign(key, hashes.SHA256())
