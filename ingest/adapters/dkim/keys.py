"""Check DKIM signatures with the keys that signers publish (RFC 6376 section 3.6, RFC 8301, RFC 8463)."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from typing_extensions import override

from ingest.errors import DnsUnavailableError
from ingest.ports.dkim import DkimKeys

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.ports.dkim import Claim, KeyReason

# RFC 8301 section 3.2: shorter keys must be refused, longer ones need not be supported.
_LEAST_BITS, _MOST_BITS = 1024, 4096
_RECORD_BYTES = 4096
_FOLDS = bytes(range(0x21))


class PublishedKeys(DkimKeys):
    """Looks a signer's key up and checks a signature with it.

    Args:
        lookup: returns the TXT record of a name, its strings joined, or None. Raises DnsUnavailableError.
    """

    def __init__(self, lookup: Callable[[str], bytes | None]) -> None:
        self._lookup = lookup

    @override
    def check(self, claim: Claim) -> KeyReason | None:
        try:
            record = self._lookup(f"{claim.selector}._domainkey.{claim.domain}")
        except DnsUnavailableError:
            return "dns"
        if record is None:
            return "no_key"
        key = _key(record, claim)
        if key is None:
            return "key"
        try:
            if isinstance(key, RSAPublicKey):
                key.verify(claim.signature, claim.signed, PKCS1v15(), SHA256())
            else:
                key.verify(claim.signature, hashlib.sha256(claim.signed).digest())
        except InvalidSignature:
            return "signature"
        return None


def _key(record: bytes, claim: Claim) -> RSAPublicKey | Ed25519PublicKey | None:
    """Return the key of a record if it is valid for this signature."""
    if len(record) > _RECORD_BYTES:
        return None
    tags = _tags(record)
    fits = (
        tags.get(b"v", b"DKIM1") == b"DKIM1"
        and tags.get(b"k", b"rsa").decode("ascii", "replace") == claim.algorithm
        and b"sha256" in _list(tags.get(b"h", b"sha256"))
        and not {b"*", b"email"}.isdisjoint(_list(tags.get(b"s", b"*")))
        and (claim.for_itself or b"s" not in _list(tags.get(b"t", b"")))
    )
    if not fits:
        return None
    try:
        return _made(b64decode(tags.get(b"p", b"").translate(None, _FOLDS), validate=True), claim)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _made(data: bytes, claim: Claim) -> RSAPublicKey | Ed25519PublicKey | None:
    if claim.algorithm == "ed25519":
        return Ed25519PublicKey.from_public_bytes(data)
    key = load_der_public_key(data)
    return key if isinstance(key, RSAPublicKey) and _LEAST_BITS <= key.key_size <= _MOST_BITS else None


def _tags(record: bytes) -> dict[bytes, bytes]:
    pairs = (spec.partition(b"=") for spec in record.split(b";"))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _list(value: bytes) -> set[bytes]:
    return {item.strip() for item in value.split(b":")}
