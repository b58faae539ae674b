"""TLS contexts that verify by default, and error messages for failed handshakes."""

from __future__ import annotations

import hashlib
import os
import ssl
import threading
import time
from typing import TYPE_CHECKING

from asn1crypto import x509  # type: ignore[import-untyped]  # it has no types

from ingest.errors import MaildropConnectError, MaildropTlsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.domain.mailbox import Server

    _Version = tuple[int, int, int] | None

# Codes of X509_verify_cert_error_string (OpenSSL's x509_vfy.h).
_EXPIRED = 10
_WRONG_NAME = frozenset({62, 64})
_TRUST = "set `ca` to the file of the CA that signed it, or `fingerprint` to its SHA-256."
_CERTIFICATE_WORDS = (
    ({9}, "is not valid yet; compare the clocks of the server and of this machine."),
    ({18, 19}, f"is self-signed, or signed by a CA that is not trusted here: {_TRUST}"),
    (
        {2, 20, 21},
        f"is signed by a CA that is not known here, or sent without the intermediate certificates: {_TRUST}",
    ),
    ({66, 67, 68}, "or that of a CA above it is too weak (key or signature); its operator has to replace it."),
)
# Maximum number of certificates cached; servers replace theirs every few months.
_CERTIFICATES = 10_000
_NAMES = 5
# What asn1crypto raises for malformed certificates.
_MALFORMED = (ValueError, TypeError, KeyError, IndexError, OverflowError)
# OpenSSL's reasons, those of alerts among them (ssl_err.c).
_CLIENT_CERTIFICATE = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_BAD_CERTIFICATE"})
_HANDSHAKE_FAILURE = frozenset({"SSLV3_ALERT_HANDSHAKE_FAILURE", "SSL/TLS_ALERT_HANDSHAKE_FAILURE"})
_WANTS_CERTIFICATE = (
    "asks for a client certificate, which Mailhaul does not have: ask its operator for a port or an account"
    " without one."
)
_OLD_TLS = "offers no TLS version from 1.2 on: its operator has to enable TLS 1.2 or 1.3."
_NO_CIPHER = (
    "has no secure cipher in common with us, or needs a server name: set `host` to its name, not to an address; if it"
    " offers RSA key exchange only, its operator has to enable ECDHE."
)
_UNKNOWN_NAME = "does not know the name that it was asked for: set `host` to the name that its operator gives."
_REMEDIES = {
    "DH_KEY_TOO_SMALL": "uses Diffie-Hellman keys that are too short: its operator has to use 2048 bits, or ECDHE.",
    "UNSUPPORTED_PROTOCOL": _OLD_TLS,
    "TLSV1_ALERT_PROTOCOL_VERSION": _OLD_TLS,
    "TLSV1_UNRECOGNIZED_NAME": _UNKNOWN_NAME,
    "TLSV1_ALERT_UNRECOGNIZED_NAME": _UNKNOWN_NAME,
    **dict.fromkeys((*_HANDSHAKE_FAILURE, "NO_SHARED_CIPHER", "TLSV1_ALERT_INSUFFICIENT_SECURITY"), _NO_CIPHER),
}
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


def translated(error: ssl.SSLError, server: Server, chain: Sequence[bytes]) -> MaildropTlsError:
    """Translate a failed handshake into an error that names the remedy.

    Args:
        error: what OpenSSL said.
        server: whom the handshake was with.
        chain: the certificates that the server sent, unverified, in DER; empty if it came to none.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return MaildropTlsError(_certificate_words(error, server, chain))
    reason = error.reason or ""
    if reason in _NO_TLS_REASONS:
        return MaildropTlsError(
            f"{server.label} does not speak TLS on this port from the start: "
            "use its TLS port (usually 995), or set `tls: starttls`."
        )
    if reason in _CLIENT_CERTIFICATE or (reason in _HANDSHAKE_FAILURE and chain):
        return MaildropTlsError(f"{server.label} {_WANTS_CERTIFICATE}")
    if reason in _REMEDIES:
        return MaildropTlsError(f"{server.label} {_REMEDIES[reason]}")
    return MaildropTlsError(f"TLS with {server.label} failed: {reason or 'no reason given'}.")


def after_handshake(error: ssl.SSLError) -> MaildropTlsError | MaildropConnectError:
    """Translate an error after the handshake. In TLS 1.3 a server refuses us for want of a certificate only then."""
    if error.reason in _CLIENT_CERTIFICATE:
        return MaildropTlsError(f"The server {_WANTS_CERTIFICATE}")
    return MaildropConnectError(f"The TLS connection broke: {error.reason or 'no reason given'}.")


def _certificate_words(error: ssl.SSLCertVerificationError, server: Server, chain: Sequence[bytes]) -> str:
    subject = f"The certificate of {server.label}"
    code = error.verify_code
    if code == _EXPIRED:
        return _expired_words(subject, server, chain)
    if code in _WRONG_NAME:
        names = _names(chain)
        listed = f" ({', '.join(names)})" if names else ""
        return f"{subject} is for another name{listed}; set `host` to the name that the server's operator gives."
    found = next((words for codes, words in _CERTIFICATE_WORDS if code in codes), None)
    return f"{subject} {found or f'cannot be trusted: {error.verify_message}.'}"


def _expired_words(subject: str, server: Server, chain: Sequence[bytes]) -> str:
    """Tell an expired certificate of the server from one above it, which OpenSSL reports in the same way."""
    if chain and not _is_expired(chain[0]):
        return (
            f"A CA certificate above that of {server.label} has expired; its operator has to send the current"
            " intermediate certificates."
        )
    return f"{subject} has expired; its operator has to renew it."


def _is_expired(certificate: bytes) -> bool:
    try:
        return _end_of(certificate) < time.time()
    except _MALFORMED:
        return True


def _names(chain: Sequence[bytes]) -> list[str]:
    """Return some of the names that the server's certificate is for, safe to print."""
    try:
        found = x509.Certificate.load(chain[0]).subject_alt_name_value if chain else None
        names = [str(name.native) for name in found or ()]
    except _MALFORMED:
        return []
    return [name for name in names if name.isprintable()][:_NAMES]


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
