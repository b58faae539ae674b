"""Ed25519 keys (RFC 8032), read from PEM as `openssl genpkey -algorithm ed25519` writes it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from typing_extensions import override

from ingest.errors import ConfigError
from ingest.ports.signing import PublicKey, Signer


@dataclass(frozen=True, slots=True)
class Ed25519Signer(Signer):
    """A private key."""

    _key: Ed25519PrivateKey = field(repr=False)

    @property
    @override
    def key_id(self) -> str:
        return _key_id(self._key.public_key())

    @override
    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


@dataclass(frozen=True, slots=True)
class Ed25519PublicKeyFile(PublicKey):
    """A public key."""

    _key: Ed25519PublicKey

    @property
    @override
    def key_id(self) -> str:
        return _key_id(self._key)

    @override
    def verifies(self, signature: bytes, data: bytes) -> bool:
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


def load_signer(pem: str, name: str) -> Ed25519Signer:
    """Return the private key in a PEM text.

    Args:
        pem: the text.
        name: where it is from, for the error.

    Raises:
        ConfigError: it is none.
    """
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        remedy = "make one with: openssl genpkey -algorithm ed25519"
        raise ConfigError([f"{name}: is no Ed25519 private key in PEM without a password; {remedy}"])
    return Ed25519Signer(key)


def load_public_key(pem: str, name: str) -> Ed25519PublicKeyFile:
    """Return the public key in a PEM text, or that of the private key in it; arguments and errors as above."""
    if "PRIVATE KEY" in pem:
        return Ed25519PublicKeyFile(load_signer(pem, name)._key.public_key())  # noqa: SLF001 - of this module
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError([f"{name}: is no Ed25519 public key in PEM; write it with: openssl pkey -in KEY -pubout"])
    return Ed25519PublicKeyFile(key)


def _key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]
