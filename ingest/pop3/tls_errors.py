"""Failed handshakes in words that name the remedy."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ingest.errors import MaildropConnectError, MaildropTlsError
from ingest.pop3.tls import end_of, parsed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.domain.mailbox import Server

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
_NAMES = 5
# What asn1crypto raises for malformed certificates.
_MALFORMED = (ValueError, TypeError, KeyError, IndexError, OverflowError)
# Alerts, as OpenSSL names them behind ALERT_ (ssl_err.c); what comes before that differs between its versions.
_ALERT = "ALERT_"
_CERTIFICATE_WANTED = frozenset({"CERTIFICATE_REQUIRED", "BAD_CERTIFICATE"})
_CERTIFICATE_REFUSED = frozenset(
    {
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_REVOKED",
        "CERTIFICATE_UNKNOWN",
        "UNSUPPORTED_CERTIFICATE",
        "UNKNOWN_CA",
        "ACCESS_DENIED",
    }
)
_WANTS_CERTIFICATE = (
    "asks for a client certificate: set `client_certificate` to the one that its operator issued, or ask for a port"
    " or an account without."
)
_REFUSES_CERTIFICATE = (
    "refused our client certificate ({alert}): set `client_certificate` to a current one that its operator issued."
)
_NO_CIPHER = (
    "has no secure cipher in common with us, or needs a server name: set `host` to its name, not to an address. If it"
    " offers RSA key exchange only, its operator has to enable ECDHE; until then set `ciphers: DEFAULT`."
)
_UNKNOWN_NAME = "does not know the name that it was asked for: set `host` to the name that its operator gives."
_SHORT_KEYS = (
    "uses Diffie-Hellman keys that are too short: its operator has to use 2048 bits, or ECDHE. Until then set"
    " `ciphers: DEFAULT:@SECLEVEL=1`, or `@SECLEVEL=0` below 1024 bits."
)
_OLD_RENEGOTIATION = (
    "runs a TLS library from before 2010 that can be attacked by renegotiation (RFC 5746): its operator has to update"
    " it."
)
_OLD_REASONS = frozenset({"UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE"})
_REMEDIES = {
    "DH_KEY_TOO_SMALL": _SHORT_KEYS,
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": _OLD_RENEGOTIATION,
    "UNRECOGNIZED_NAME": _UNKNOWN_NAME,
    "TLSV1_UNRECOGNIZED_NAME": _UNKNOWN_NAME,
    **dict.fromkeys(("HANDSHAKE_FAILURE", "NO_SHARED_CIPHER", "INSUFFICIENT_SECURITY"), _NO_CIPHER),
}
_NO_TLS_REASONS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"})


def translated(
    error: ssl.SSLError, server: Server, chain: Sequence[bytes], *, with_certificate: bool = False
) -> MaildropTlsError:
    """Translate a failed handshake into an error that names the remedy.

    Args:
        error: what OpenSSL said.
        server: whom the handshake was with.
        chain: the certificates that the server sent, unverified, in DER; empty if it came to none.
        with_certificate: whether we have a client certificate.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return MaildropTlsError(_certificate_words(error, server, chain))
    reason = error.reason or ""
    alert = reason.partition(_ALERT)[2]
    if is_no_tls(error):
        return MaildropTlsError(
            f"{server.label} does not speak TLS on this port from the start: "
            "use its TLS port (usually 995), or set `tls: starttls`."
        )
    wanted = not with_certificate and alert == "HANDSHAKE_FAILURE" and bool(chain)
    if words := _WANTS_CERTIFICATE if wanted else _about_certificate(alert, with_certificate=with_certificate):
        return MaildropTlsError(f"{server.label} {words}")
    if reason in _OLD_REASONS or alert == "PROTOCOL_VERSION":
        return MaildropTlsError(f"{server.label} {_old_words(server)}")
    remedy = _REMEDIES.get(alert or reason)
    if remedy is not None:
        return MaildropTlsError(f"{server.label} {remedy}")
    return MaildropTlsError(f"TLS with {server.label} failed: {reason or 'no reason given'}.")


def is_no_tls(error: ssl.SSLError) -> bool:
    """Whether a handshake failed because the server does not speak TLS on this port."""
    return error.reason in _NO_TLS_REASONS


def after_handshake(error: ssl.SSLError, *, with_certificate: bool) -> MaildropTlsError | MaildropConnectError:
    """Translate an error after the handshake. In TLS 1.3 a server refuses a client's certificate only then."""
    reason = error.reason or ""
    words = _about_certificate(reason.partition(_ALERT)[2], with_certificate=with_certificate)
    if words:
        return MaildropTlsError(f"The server {words}")
    return MaildropConnectError(f"The TLS connection broke: {reason or 'no reason given'}.")


def _about_certificate(alert: str, *, with_certificate: bool) -> str:
    """Return what an alert says about our certificate; empty if it says nothing about it."""
    if with_certificate and alert in _CERTIFICATE_REFUSED | _CERTIFICATE_WANTED:
        return _REFUSES_CERTIFICATE.format(alert=alert.lower().replace("_", " "))
    return _WANTS_CERTIFICATE if alert in _CERTIFICATE_WANTED else ""


def _old_words(server: Server) -> str:
    if server.tls_minimum == "1.0":
        return "offers no TLS version that this machine has: its operator has to enable TLS 1.2 or 1.3."
    wanted = server.tls_minimum or "1.2"
    until = (
        '; until then set `tls_minimum: "1.0"` for this mailbox.' if wanted == "1.2" else ", or lower `tls_minimum`."
    )
    return f"offers no TLS version from {wanted} on: its operator has to enable TLS 1.2 or 1.3{until}"


def _certificate_words(error: ssl.SSLCertVerificationError, server: Server, chain: Sequence[bytes]) -> str:
    subject = f"The certificate of {server.label}"
    code = error.verify_code
    if code == _EXPIRED:
        return _expired_words(server, chain)
    if code in _WRONG_NAME:
        names = _names(chain)
        listed = f" ({', '.join(names)})" if names else ""
        return f"{subject} is for another name{listed}; set `host` to the name that the server's operator gives."
    found = next((words for codes, words in _CERTIFICATE_WORDS if code in codes), None)
    return f"{subject} {found or f'cannot be trusted: {error.verify_message}.'}"


def _expired_words(server: Server, chain: Sequence[bytes]) -> str:
    """Tell which certificate has expired; OpenSSL reports that of the server and those above it in the same way."""
    expired = next((place for place, one in enumerate(chain) if _is_expired(one)), None)
    if expired is None and chain:
        return (
            f"The CA certificate above that of {server.label} that is trusted here has expired: replace it in the"
            " file that `ca` names, or update the system's CA certificates."
        )
    if expired:
        return (
            f"An intermediate CA certificate that {server.label} sends has expired{_details(chain[expired])}, not the"
            " server's own; its operator has to send the current ones."
        )
    details = _details(chain[0]) if chain else ""
    return f"The certificate of {server.label} has expired{details}; its operator has to renew it."


def _is_expired(certificate: bytes) -> bool:
    try:
        return end_of(certificate) < time.time()
    except _MALFORMED:
        return True


def _details(certificate: bytes) -> str:
    """Return the name of an expired certificate and the day of its end, safe to print; empty if malformed."""
    try:
        name = str(parsed(certificate).subject.native.get("common_name", "without a name"))
        day = datetime.fromtimestamp(end_of(certificate), UTC).date()
    except (*_MALFORMED, OSError):
        return ""
    return f" ({name}, on {day})" if name.isprintable() else f" (on {day})"


def _names(chain: Sequence[bytes]) -> list[str]:
    """Return some of the names that the server's certificate is for, safe to print."""
    if not chain:
        return []
    try:
        certificate = parsed(chain[0])
        found = certificate.subject_alt_name_value
        names = [str(name.native) for name in found or ()] or [str(certificate.subject.native["common_name"])]
    except _MALFORMED:
        return []
    return [name for name in names if name.isprintable()][:_NAMES]
