"""TLS: contexts that verify by default, and failures in plain words."""

from __future__ import annotations

import hashlib
import ssl
import threading
from typing import TYPE_CHECKING

from ingest.errors import MaildropTlsError

if TYPE_CHECKING:
    from ingest.domain.mailbox import Server

# Codes of X509_verify_cert_error_string (OpenSSL's x509_vfy.h).
_NOT_YET_VALID = 9
_EXPIRED = 10
_SELF_SIGNED = frozenset({18, 19})
_UNKNOWN_ISSUER = frozenset({2, 20, 21})
_WRONG_NAME = frozenset({62, 64})
_NO_TLS_REASONS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"})


class Contexts:
    """One context for each CA file, made when it is first asked for (which costs about 30 ms of CPU) and kept.

    May be used by several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._verifying: dict[str | None, ssl.SSLContext] = {}
        self._pinned: ssl.SSLContext | None = None

    def context(self, server: Server) -> ssl.SSLContext:
        """The context for a server; with a pinned fingerprint nothing but the fingerprint counts.

        Raises:
            MaildropTlsError: the CA file cannot be used.
        """
        with self._lock:
            if server.fingerprint is not None:
                self._pinned = self._pinned or _pinning()
                return self._pinned
            if server.ca_file not in self._verifying:
                self._verifying[server.ca_file] = _verifying(server.ca_file)
            return self._verifying[server.ca_file]


def check_certificate(sock: ssl.SSLSocket, server: Server) -> float | None:
    """When the certificate ends (seconds since 1970), None where it was accepted by its fingerprint alone.

    Raises:
        MaildropTlsError: it is not the pinned one.
    """
    if server.fingerprint is None:
        end = (sock.getpeercert() or {}).get("notAfter")
        return ssl.cert_time_to_seconds(end) if isinstance(end, str) else None
    found = hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()
    if found != server.fingerprint.replace(":", "").lower():
        raise MaildropTlsError(
            f"The certificate of {server.label} has the SHA-256 fingerprint {found}, not the one configured. "
            "If the server has a new certificate, check that and set the new `fingerprint`."
        )
    return None


def translated(error: ssl.SSLError, server: Server) -> MaildropTlsError:
    """What a failed handshake means to the person who has to mend it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return MaildropTlsError(_certificate_words(error, server))
    if error.reason in _NO_TLS_REASONS:
        return MaildropTlsError(
            f"{server.label} does not speak TLS on this port from the start: "
            "use its TLS port (mostly 995), or set `tls: starttls`."
        )
    return MaildropTlsError(f"TLS with {server.label} failed: {error.reason or 'no reason given'}.")


def _certificate_words(error: ssl.SSLCertVerificationError, server: Server) -> str:
    subject = f"The certificate of {server.label}"
    code = error.verify_code
    if code == _EXPIRED:
        return f"{subject} has expired; its operator has to renew it."
    if code == _NOT_YET_VALID:
        return f"{subject} is not valid yet; compare the clocks of the server and of this machine."
    if code in _WRONG_NAME:
        return f"{subject} is for another name; set `host` to the name that the server's operator gives."
    remedy = "set `ca` to the file of the CA that signed it, or `fingerprint` to its SHA-256."
    if code in _SELF_SIGNED:
        return f"{subject} is self-signed, or signed by a CA that is not trusted here: {remedy}"
    if code in _UNKNOWN_ISSUER:
        return f"{subject} is signed by a CA that is not known here: {remedy}"
    return f"{subject} cannot be trusted: {error.verify_message}."


def _verifying(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise MaildropTlsError(f"The CA file {ca_file} cannot be read as PEM: {error.strerror or error}.") from error


def _pinning() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # `check_certificate` compares the fingerprint before anything is sent
    return context
