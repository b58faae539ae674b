"""The port to signatures of statements."""

from __future__ import annotations

from typing import Protocol


class Signer(Protocol):
    """A private key.

    Attributes:
        key_id: first 16 hex digits of SHA-256 over the raw public key.
    """

    @property
    def key_id(self) -> str:
        """Which key it is."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature (64 bytes)."""
        ...


class PublicKey(Protocol):
    """A public key; `key_id` as for `Signer`."""

    @property
    def key_id(self) -> str:
        """Which key it is."""
        ...

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Return whether the signature of these bytes was made with its private key."""
        ...
