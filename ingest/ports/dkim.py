"""The seam to the keys that sign mail (DKIM, RFC 6376), which their owners publish in the DNS."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

# Why a signature does not hold: it is another's; there is no key; the key cannot be used for it; the DNS is silent.
KeyReason = Literal["signature", "no_key", "key", "dns"]


class Claim(NamedTuple):
    """What one signature says, ready to be checked against the signer's key.

    Attributes:
        domain: who signed, lower case.
        selector: which of its keys, lower case.
        algorithm: `rsa` or `ed25519`, both over SHA-256.
        for_itself: whether the signer speaks for the very domain and not for one below it.
        signed: the bytes that were signed.
        signature: over them.
    """

    domain: str
    selector: str
    algorithm: Literal["rsa", "ed25519"]
    for_itself: bool
    signed: bytes
    signature: bytes


class DkimKeys(Protocol):
    """Checks signatures. Used by several threads at once."""

    def check(self, claim: Claim) -> KeyReason | None:
        """Why a signature does not hold; None where it does. Never raises, and ends within a time that is set."""
        ...
