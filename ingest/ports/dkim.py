"""The port to DKIM keys (RFC 6376), which signers publish in the DNS."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

# Why a signature is not valid: it does not match; there is no key; the key does not fit; the DNS did not answer.
KeyReason = Literal["signature", "no_key", "key", "dns"]


class Claim(NamedTuple):
    """One signature, with what its verification needs.

    Attributes:
        domain: of the signer, lower case.
        selector: of its key, lower case.
        algorithm: `rsa` or `ed25519`, both over SHA-256.
        for_itself: whether the identity is in the domain itself, not in a subdomain (RFC 6376 section 3.6.1, `t=s`).
        signed: the signed bytes.
        signature: over `signed`.
    """

    domain: str
    selector: str
    algorithm: Literal["rsa", "ed25519"]
    for_itself: bool
    signed: bytes
    signature: bytes


class DkimKeys(Protocol):
    """Verifies signatures; threads may share it."""

    def check(self, claim: Claim) -> KeyReason | None:
        """None if the signature is valid, else the reason. Never raises; ends within a configured time."""
        ...
