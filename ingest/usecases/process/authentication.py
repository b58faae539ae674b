"""Authentication of a message: the trusted server's results, and DKIM signatures that are verified here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.domain.manifest import Authentication, DkimSignature, DkimVerification
from ingest.mime.authentication import authentication_results
from ingest.mime.dkim import DkimReader
from ingest.mime.envelope import Trust
from ingest.usecases.spool import HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.domain.message import OpenMessage
    from ingest.mime.dkim import Signature
    from ingest.ports.dkim import DkimKeys

# Reasons for which a signature could not be verified; with any other reason it is invalid.
_ERRORS = frozenset({"malformed", "algorithm", "no_key", "key", "dns"})


def _nobody(_mailbox: str) -> Trust:
    return Trust()


@dataclass(frozen=True, slots=True)
class Authenticator:
    """What is checked about messages.

    Attributes:
        trust: returns whose trace fields are believed in a mailbox.
        keys: checks DKIM signatures; None if they are not to be verified.
        dkim_bytes: signatures of messages larger than this are not verified.
    """

    trust: Callable[[str], Trust] = _nobody
    keys: DkimKeys | None = None
    dkim_bytes: int = 0

    def begin(self, message: OpenMessage) -> AuthenticationCheck:
        """Return the check of one message."""
        received = message.received_at or message.first_seen
        reader = DkimReader(self.dkim_bytes, received.timestamp()) if self.keys is not None else None
        return AuthenticationCheck(self.trust(message.mailbox), self.keys, reader)


class AuthenticationCheck:
    """Checks one message, whose bytes are passed through it while they are parsed.

    Attributes:
        trust: whose trace fields are believed.
    """

    def __init__(self, trust: Trust, keys: DkimKeys | None, reader: DkimReader | None) -> None:
        self.trust, self._keys, self._reader = trust, keys, reader
        self._head: bytes | None = None

    def pass_through(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Return the same chunks, which are looked at if anything is to be checked."""
        return chunks if self.trust.authserv_id is None and self._reader is None else self._watched(chunks)

    def _watched(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the same chunks. The header is read from the first, up to `HEAD_BYTES`."""
        for chunk in chunks:
            if self._head is None:
                self._head = chunk[:HEAD_BYTES]
            if self._reader is not None:
                self._reader.feed(chunk)
            yield chunk

    def result(self) -> Authentication | None:
        """Return the result once all chunks have passed, None if nothing was to be checked; looks up DKIM keys."""
        return self._authentication(self._head or b"", self._verified())

    def result_of_header(self, head: bytes) -> Authentication | None:
        """Return the result for a message of which only the header is stored."""
        return self._authentication(head, DkimVerification(result="too_large") if self._keys is not None else None)

    def _authentication(self, head: bytes, verified: DkimVerification | None) -> Authentication | None:
        server = self.trust.authserv_id
        if server is None and verified is None:
            return None
        results = authentication_results(head, server) if server else None
        return Authentication(
            authserv_id=server if results is not None else None,
            results=results or [],
            dkim_verified=verified,
        )

    def _verified(self) -> DkimVerification | None:
        if self._keys is None or self._reader is None:
            return None
        signatures = self._reader.close()
        if self._reader.too_large:
            return DkimVerification(result="too_large")
        checked = [_checked(signature, self._keys) for signature in signatures]
        results = {signature.result for signature in checked}
        # One valid signature is enough (RFC 6376 section 4.2); one that could not be checked might be valid.
        result = next((result for result in ("pass", "error", "fail") if result in results), "none")
        return DkimVerification(result=result, signatures=checked)


def _checked(signature: Signature, keys: DkimKeys) -> DkimSignature:
    reason = keys.check(signature.claim) if signature.claim is not None else signature.reason
    result = "pass" if reason is None else "error" if reason in _ERRORS else "fail"
    return DkimSignature(domain=signature.domain, selector=signature.selector, result=result, reason=reason)
