"""TLS contexts that verify by default, and error messages for failed handshakes."""

from __future__ import annotations

import hashlib
import os
import ssl
import threading
from typing import TYPE_CHECKING

from asn1crypto import x509  # type: ignore[import-untyped]  # it has no types

from ingest.errors import MaildropTlsError

if TYPE_CHECKING:
    from ingest.domain.mailbox import Server

    _Version = tuple[int, int, int] | None

# Codes of X509_verify_cert_error_string (OpenSSL's x509_vfy.h).
_NOT_YET_VALID = 9
_EXPIRED = 10
_SELF_SIGNED = frozenset({18, 19})
_UNKNOWN_ISSUER = frozenset({2, 20, 21})
_WRONG_NAME = frozenset({62, 64})
# Maximum number of certificates cached; servers replace theirs every few months.
_CERTIFICATES = 10_000
_NO_TLS_REASONS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"})


class Contexts:
    """One context per CA file, made on first use (about 30 ms of CPU) and kept.

    A CA file that has changed is read again, so that it can be replaced without a restart. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._verifying: dict[str | None, tuple[_Version, ssl.SSLContext]] = {}
        self._pinned: ssl.SSLContext | None = None

    def context(self, server: Server) -> ssl.SSLContext:
        """Return the context for a server; with a pinned fingerprint only the fingerprint is checked.

        Raises:
            MaildropTlsError: the CA file cannot be used.
        """
        with self._lock:
            if server.fingerprint is not None:
                self._pinned = self._pinned or _pinning()
                return self._pinned
            version = _version(server.ca_file)
            known = self._verifying.get(server.ca_file)
            if known is None or known[0] != version:
                known = self._verifying[server.ca_file] = version, _verifying(server.ca_file)
            return known[1]


class Certificates:
    """Expiry times of server certificates. Parsing one costs as much as the rest of a poll, so results are kept."""

    def __init__(self) -> None:
        self._ends: dict[bytes, float] = {}

    def check(self, sock: ssl.SSLSocket, server: Server) -> float:
        """Return when the server's certificate expires (seconds since 1970).

        Raises:
            MaildropTlsError: it is not the pinned one.
        """
        certificate = sock.getpeercert(binary_form=True) or b""
        fingerprint = hashlib.sha256(certificate)
        if server.fingerprint is not None and fingerprint.hexdigest() != server.fingerprint.replace(":", "").lower():
            raise MaildropTlsError(
                f"The certificate of {server.label} has the SHA-256 fingerprint {fingerprint.hexdigest()}, not the "
                "configured one. If the server has a new certificate, verify that and set the new `fingerprint`."
            )
        end = self._ends.get(fingerprint.digest())
        if end is None:
            if len(self._ends) >= _CERTIFICATES:
                self._ends.clear()
            end = self._ends[fingerprint.digest()] = _end_of(certificate)
        return end


def translated(error: ssl.SSLError, server: Server) -> MaildropTlsError:
    """Translate a failed handshake into an error that names the remedy."""
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


def _version(ca_file: str | None) -> _Version:
    """Return a value that changes with the file. Kubernetes swaps symlinks, which changes the inode."""
    if ca_file is None:
        return None
    try:
        stat = os.stat(ca_file)  # noqa: PTH116 - making a Path costs more than the call
    except OSError:
        return None  # reading it reports the error
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


def _end_of(certificate: bytes) -> float:
    """Return the expiry of a DER certificate; `ssl` parses only certificates that it has verified."""
    return float(x509.Certificate.load(certificate).not_valid_after.timestamp())


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
