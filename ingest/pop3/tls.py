"""TLS contexts that verify by default, and the certificates of servers."""

from __future__ import annotations

import hashlib
import os
import ssl
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ingest.errors import MaildropTlsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.domain.mailbox import ClientCertificate, Server, TlsVersion

    _Version = tuple[int, int, int] | None

# Maximum number of certificates cached; servers replace theirs every few months.
_CERTIFICATES = 10_000
# Maximum number of contexts kept; one has up to 1 MB. Only client certificates make more than a few.
_CONTEXTS = 500
_VERSIONS = {
    # TLSVersion.TLSv1 would warn that it is deprecated; older ones than that are switched off by an option.
    "1.0": ssl.TLSVersion.MINIMUM_SUPPORTED,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
# OpenSSL uses TLS 1.0 and 1.1 at this level only: their signatures are made of MD5 and SHA-1.
_OLD_CIPHERS = "DEFAULT:@SECLEVEL=0"
# Without a certificate there would be nobody to verify, and without encryption nothing to protect.
_NEVER = ":!aNULL:!eNULL"


@dataclass(frozen=True, slots=True)
class _Settings:
    """What a context depends on, except the content of the CA file."""

    ca_file: str | None
    pinned: bool
    minimum: TlsVersion | None
    ciphers: str | None
    certificate: ClientCertificate | None


class Contexts:
    """One context for each combination of settings, made on first use (about 30 ms of CPU) and kept.

    A CA file that has changed is read again, so that it can be replaced without a restart. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[_Settings, tuple[_Version, ssl.SSLContext]] = {}

    def context(self, server: Server, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
        """Return the context for a server; with a pinned fingerprint only the fingerprint is checked.

        Args:
            server: who is connected to.
            certificate: our own, shown to a server that asks for one.

        Raises:
            MaildropTlsError: the CA file or the client certificate cannot be used.
        """
        pinned = server.fingerprint is not None
        ca_file = None if pinned else server.ca_file
        settings = _Settings(ca_file, pinned, server.tls_minimum, server.ciphers, certificate)
        with self._lock:
            version = _version(ca_file)
            known = self._kept.get(settings)
            if known is None or known[0] != version:
                if len(self._kept) >= _CONTEXTS:
                    self._kept.clear()
                known = self._kept[settings] = version, _made(settings)
            return known[1]


class Certificates:
    """Expiry times of server certificates. Parsing one costs as much as the rest of a poll, so results are kept."""

    def __init__(self) -> None:
        self._ends: dict[bytes, float] = {}

    def check(self, tls: ssl.SSLObject, server: Server) -> float:
        """Return when the server's certificate expires (seconds since 1970).

        Raises:
            MaildropTlsError: it is not the pinned one.
        """
        certificate = tls.getpeercert(binary_form=True) or b""
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
            end = self._ends[fingerprint.digest()] = _end_of_peer(tls, certificate)
        return end


def _end_of_peer(tls: ssl.SSLObject, certificate: bytes) -> float:
    """Return the expiry of a server's certificate. `ssl` knows that of a verified one, and needs no import for it."""
    verified = tls.getpeercert()
    return float(ssl.cert_time_to_seconds(str(verified["notAfter"]))) if verified else end_of(certificate)


def end_of(certificate: bytes) -> float:
    """Return the expiry of a DER certificate; `ssl` parses only certificates that it has verified."""
    return float(parsed(certificate).not_valid_after.timestamp())


def parsed(certificate: bytes) -> Any:
    """Return a DER certificate as asn1crypto reads it, which raises many kinds of errors for a malformed one."""
    # Imported here: it takes 30 ms, and only pinned and refused certificates need it. It has no types.
    from asn1crypto import x509  # type: ignore[import-untyped]  # noqa: PLC0415

    return x509.Certificate.load(certificate)


def _version(ca_file: str | None) -> _Version:
    """Return a value that changes with the file. Kubernetes swaps symlinks, which changes the inode."""
    if ca_file is None:
        return None
    try:
        stat = os.stat(ca_file)  # noqa: PTH116 - making a Path costs more than the call
    except OSError:
        return None  # reading it reports the error
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


def _made(settings: _Settings) -> ssl.SSLContext:
    context = _verifying(settings.ca_file)
    if settings.pinned:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # `Certificates.check` compares the fingerprint before anything is sent
    if settings.minimum is not None:
        context.minimum_version = _VERSIONS[settings.minimum]
    ciphers = settings.ciphers or (_OLD_CIPHERS if settings.minimum == "1.0" else None)
    if ciphers is not None:
        context.set_ciphers(ciphers + _NEVER)
    if settings.certificate is not None:
        _load(context, settings.certificate)
    return context


def _verifying(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise MaildropTlsError(
            f"The CA file {ca_file} contains no certificate in PEM: write the CA's certificate into it."
        ) from error
    except FileNotFoundError as error:
        raise MaildropTlsError(f"The CA file {ca_file} does not exist: correct `ca`, or put it there.") from error
    except OSError as error:
        raise MaildropTlsError(
            f"The CA file {ca_file} cannot be read ({error.strerror}): make it readable for the service's user."
        ) from error


def _load(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    """Give a context our own certificate; OpenSSL reads it from files only."""
    try:
        with _hidden_file(f"{certificate.key}\n{certificate.chain}\n".encode()) as path:
            # Without a password function OpenSSL would ask for it on the terminal.
            context.load_cert_chain(path, password=lambda: certificate.password)
    except (ssl.SSLError, ValueError) as error:  # ValueError: the password is too long
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            words = "its key belongs to another certificate: set `key` to the one that it was made with."
        else:
            words = "write certificate and key as PEM, and give the `password` of a key that is encrypted."
        raise MaildropTlsError(f"The `client_certificate` cannot be used: {words}") from error


@contextmanager
def _hidden_file(content: bytes) -> Iterator[str]:
    """Yield the path of a file in memory, or of a temporary one that only our user can read."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("client-certificate"), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name
