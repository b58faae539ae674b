"""Who vouches for a message: the trusted server's results, and DKIM signatures that are verified here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.domain.manifest import Authentication, DkimSignature, DkimVerification
from ingest.mime.authentication import authentication_results
from ingest.mime.dkim import DkimReader
from ingest.usecases.spool import HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.domain.message import OpenMessage
    from ingest.mime.dkim import Signature
    from ingest.ports.dkim import DkimKeys

# What says that a signature could not be verified; all other reasons say that it does not hold.
_ERRORS = frozenset({"malformed", "algorithm", "no_key", "key", "dns"})


def _nobody(_mailbox: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Authenticator:
    """What is to be found out, passed in.

    Attributes:
        authserv_id: the server that is trusted in a mailbox; None where none is.
        keys: checks DKIM signatures; None where they are not to be verified.
        dkim_bytes: of larger messages no signature is verified.
    """

    authserv_id: Callable[[str], str | None] = _nobody
    keys: DkimKeys | None = None
    dkim_bytes: int = 0

    def watch(self, message: OpenMessage) -> Watch:
        """Something that finds it out for one message."""
        received = message.received_at or message.first_seen
        reader = DkimReader(self.dkim_bytes, received.timestamp()) if self.keys is not None else None
        return Watch(self.authserv_id(message.mailbox), self.keys, reader)


class Watch:
    """Sees one message pass."""

    def __init__(self, authserv_id: str | None, keys: DkimKeys | None, reader: DkimReader | None) -> None:
        self._authserv_id, self._keys, self._reader = authserv_id, keys, reader
        self._head: bytes | None = None

    def through(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The same chunks; the first holds the header, or so much of it as counts."""
        for chunk in chunks:
            if self._head is None:
                self._head = chunk[:HEAD_BYTES]
            if self._reader is not None:
                self._reader.feed(chunk)
            yield chunk

    def authentication(self) -> Authentication | None:
        """What was found, after all chunks; looks keys up. None where nothing was to be found out."""
        return self._told(self._head or b"", self._verified())

    def of_top(self, head: bytes) -> Authentication | None:
        """The same for a message of which only this beginning is there."""
        return self._told(head, DkimVerification(result="too_large") if self._keys is not None else None)

    def _told(self, head: bytes, verified: DkimVerification | None) -> Authentication | None:
        if self._authserv_id is None and verified is None:
            return None
        results = authentication_results(head, self._authserv_id) if self._authserv_id else None
        return Authentication(
            authserv_id=self._authserv_id if results is not None else None,
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
        # One that holds is enough (RFC 6376 section 4.2); one that could not be checked might have.
        result = next((result for result in ("pass", "error", "fail") if result in results), "none")
        return DkimVerification(result=result, signatures=checked)


def _checked(signature: Signature, keys: DkimKeys) -> DkimSignature:
    reason = keys.check(signature.claim) if signature.claim is not None else signature.reason
    result = "pass" if reason is None else "error" if reason in _ERRORS else "fail"
    return DkimSignature(domain=signature.domain, selector=signature.selector, result=result, reason=reason)
