"""TLS: who is trusted, what is said when nobody can be, and that no credentials are sent before."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import warnings
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ingest.domain.mailbox import Credentials, Deadlines, Mailbox, Server, Tls
from ingest.errors import MaildropConnectError, MaildropTemporaryError, MaildropTimeoutError, MaildropTlsError
from ingest.pop3 import dialogue
from ingest.pop3.connector import Pop3Connector
from ingest.pop3.tls_errors import translated
from tests.support.scripted_pop3 import (
    Close,
    Drain,
    Expect,
    ScriptedServer,
    Secure,
    Send,
    Stall,
    Step,
    Trickle,
    login,
)
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

CREDENTIALS = Credentials("joe", "secret")
DEADLINES = Deadlines(*[PATIENCE] * 6)


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def polled(
    steps: Sequence[Step],
    tls: Tls = Tls.IMPLICIT,
    *,
    ca_file: str | None = None,
    fingerprint: str | None = None,
    deadlines: Deadlines = DEADLINES,
) -> tuple[list[bytes], list[str], float | None]:
    """Log in and quit; what the server read in the clear of its script, the phases, the certificate's end."""
    phases: list[str] = []
    with ScriptedServer(steps) as server:
        target = Mailbox("m", Server("127.0.0.1", server.port, tls, ca_file, fingerprint), deadlines=deadlines)
        try:
            drop = Pop3Connector()(target, CREDENTIALS, lambda phase, _: phases.append(phase), lambda _: None)
        except Exception:
            assert not any(line.startswith((b"USER", b"PASS")) for line in server.received)
            raise
        assert drop.quit()
    return server.received, phases, drop.terms.certificate_not_after


GOODBYE: list[Step] = [Expect("QUIT"), Send(b"+OK\r\n")]


def test_a_private_ca_is_trusted_when_configured(
    authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a verified certificate is known without parsing it."""
    monkeypatch.delattr("ingest.pop3.tls.parsed")
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    context = serving(authority.issue_cert("127.0.0.1", not_after=end))
    _, phases, not_after = polled([Secure(context), *login(), *GOODBYE], ca_file=ca_file)
    assert phases == ["connect", "tls", "auth", "quit"]
    assert not_after == end.timestamp()


def test_a_self_signed_certificate_is_refused_with_the_remedy(authority: trustme.CA) -> None:
    """Certificates are verified by default."""
    context = serving(authority.issue_cert("127.0.0.1"))
    with pytest.raises(MaildropTlsError, match=r"`ca`.*`fingerprint`"):
        polled([Secure(context), *login()])


def test_a_certificate_for_another_name_is_refused(authority: trustme.CA, ca_file: str) -> None:
    context = serving(authority.issue_cert("pop.example.org"))
    with pytest.raises(MaildropTlsError, match=r"another name \(pop\.example\.org\)"):
        polled([Secure(context), *login()], ca_file=ca_file)


def test_certificate_that_only_has_a_common_name_is_listed_by_that(tmp_path: Path) -> None:
    """As old servers have, and appliances."""
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = signed("mail.example.net", key, "mail.example.net", key, ca=True, alternative=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    trustme.LeafCert(pem, leaf, []).configure_cert(context)
    trusted = tmp_path / "leaf.pem"
    trusted.write_bytes(leaf)
    with pytest.raises(MaildropTlsError, match=r"another name \(mail\.example\.net\); set `host`"):
        polled([Secure(context), *login()], ca_file=str(trusted))


@pytest.mark.parametrize(
    ("expired", "words"),
    [
        ("root", "that is trusted here has expired: replace it in the file"),
        ("intermediate", r"intermediate CA certificate .* has expired \(intermediate, on 20.*not the server's own"),
        ("127.0.0.1", r"certificate of 127\.0\.0\.1:\d+ has expired \(127\.0\.0\.1, on 20.*renew"),
    ],
)
def test_expired_certificate_is_named_among_those_of_the_chain(tmp_path: Path, expired: str, words: str) -> None:
    ends = {expired: datetime.now(UTC) - timedelta(days=1)}
    leaf_key, ca_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = signed("root", root_key, "root", root_key, ca=True, end=ends.get("root"))
    above = signed("intermediate", ca_key, "root", root_key, ca=True, end=ends.get("intermediate"))
    leaf = signed("127.0.0.1", leaf_key, "intermediate", ca_key, end=ends.get("127.0.0.1"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem = leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    trustme.LeafCert(pem, leaf, [above]).configure_cert(context)
    trusted = tmp_path / "root.pem"
    trusted.write_bytes(root)
    with pytest.raises(MaildropTlsError, match=words):
        polled([Secure(context), *login()], ca_file=str(trusted))


def signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    ca: bool = False,
    end: datetime | None = None,
    alternative: bool = True,
) -> bytes:
    """A certificate in PEM."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(end or now + timedelta(days=10))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if alternative:
        other: x509.GeneralName = x509.DNSName(name) if ca else x509.IPAddress(ip_address(name))
        builder = builder.add_extension(x509.SubjectAlternativeName([other]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM)


def wants_certificate(context: ssl.SSLContext, authority: trustme.CA) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)


def old_tls(context: ssl.SSLContext, _: trustme.CA) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")


def rsa_key_exchange(context: ssl.SSLContext, _: trustme.CA) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("kRSA")


def wants_certificate_in_tls_1_2(context: ssl.SSLContext, authority: trustme.CA) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    wants_certificate(context, authority)


def wants_a_name(context: ssl.SSLContext, _: trustme.CA) -> None:
    context.sni_callback = lambda _sock, name, _context: (
        None if name == "pop.example.org" else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    )


@pytest.mark.parametrize(
    ("odd", "remedy"),
    [
        (wants_certificate, "client certificate"),
        (wants_certificate_in_tls_1_2, "client certificate"),
        (old_tls, r"enable TLS 1\.2"),
        (rsa_key_exchange, "RSA key exchange.*ECDHE"),
        (wants_a_name, "set `host` to the name"),
    ],
)
def test_failed_handshake_names_the_remedy(
    authority: trustme.CA, ca_file: str, odd: Callable[[ssl.SSLContext, trustme.CA], None], remedy: str
) -> None:
    context = serving(authority.issue_cert("127.0.0.1"))
    odd(context, authority)
    with pytest.raises(MaildropTlsError, match=remedy):
        polled([Secure(context), *login()], ca_file=ca_file)


@pytest.mark.parametrize("certificate", [b"", b"0", b"0\x03\x02\x01\x05", bytes(100)])
@pytest.mark.parametrize("code", [10, 62])
def test_malformed_certificate_does_not_hide_the_error(certificate: bytes, code: int) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    text = str(translated(error, Server("pop.example.org", 995), [certificate]))
    assert "expired" in text or "another name" in text


def test_an_expired_certificate_is_refused(authority: trustme.CA, ca_file: str) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    context = serving(authority.issue_cert("127.0.0.1", not_before=yesterday - timedelta(1), not_after=yesterday))
    with pytest.raises(MaildropTlsError, match="expired"):
        polled([Secure(context), *login()], ca_file=ca_file)


@pytest.mark.parametrize("colons", [True, False])
def test_a_pinned_certificate_is_trusted_whoever_signed_it(authority: trustme.CA, colons: bool) -> None:  # noqa: FBT001 - a parameter
    """In either of the forms that tools print."""
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    certificate = authority.issue_cert("pop.example.org", not_after=end)
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    digest = hashlib.sha256(der).digest()
    pin = digest.hex(":").upper() if colons else digest.hex()
    received, _, not_after = polled([Secure(serving(certificate)), *login(), *GOODBYE], fingerprint=pin)
    assert received[-1].startswith(b"QUIT")
    assert not_after == end.timestamp()


def test_with_a_pin_no_other_certificate_is_trusted(authority: trustme.CA, ca_file: str) -> None:
    """Not even one that the CA has signed."""
    context = serving(authority.issue_cert("127.0.0.1"))
    with pytest.raises(MaildropTlsError, match="fingerprint"):
        polled([Secure(context), *login()], ca_file=ca_file, fingerprint="00" * 32)


def test_starttls_protects_the_login_and_asks_for_the_capabilities_again(authority: trustme.CA, ca_file: str) -> None:
    """What was announced in the clear may have been put there by somebody else."""
    context = serving(authority.issue_cert("127.0.0.1"))
    plain = [Send(b"+OK\r\n"), Expect("CAPA"), Send(b"+OK\r\nSTLS\r\n.\r\n"), Expect("STLS"), Send(b"+OK\r\n")]
    steps = [*plain, Secure(context), *login()[1:], *GOODBYE]
    received, phases, not_after = polled(steps, Tls.STARTTLS, ca_file=ca_file)
    assert received == [b"CAPA", b"STLS", b"CAPA", b"USER joe", b"PASS secret", b"CAPA", b"QUIT"]
    assert phases == ["connect", "tls", "auth", "quit"]
    assert not_after is not None


def test_plain_text_in_the_place_of_the_handshake_is_fatal(ca_file: str) -> None:
    """What comes after the answer to STLS, in a packet of its own."""
    plain = [Send(b"+OK\r\n"), Expect("CAPA"), Send(b"+OK\r\nSTLS\r\n.\r\n"), Expect("STLS"), Send(b"+OK\r\n")]
    with pytest.raises(MaildropTlsError):
        polled([*plain, Send(b"+OK\r\n+OK\r\n"), Drain()], Tls.STARTTLS, ca_file=ca_file)


def test_port_without_tls_is_reported() -> None:
    with pytest.raises(MaildropTlsError, match="does not speak TLS"):
        polled([Send(b"+OK POP3 ready\r\n"), Drain()])


def test_a_server_that_is_silent_in_the_handshake_meets_the_deadline() -> None:
    with pytest.raises(MaildropTimeoutError, match="TLS"):
        polled([Stall()], deadlines=Deadlines(tls=0.15))


def test_a_server_that_answers_the_handshake_byte_for_byte_meets_the_deadline() -> None:
    """Further bytes do not extend it: here two seconds of them, the beginning of one long record."""
    trickle = Trickle(b"\x16\x03\x03\x20\x00" + bytes(200), 0.01)
    with pytest.raises(MaildropTimeoutError, match="TLS"):
        polled([trickle, Stall()], deadlines=Deadlines(tls=0.15))


def test_connection_closed_during_the_handshake_is_reported() -> None:
    with pytest.raises(MaildropConnectError, match="TLS"):
        polled([Close()])


def test_a_ca_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(MaildropTlsError, match=r"missing\.pem does not exist: correct `ca`"):
        polled([Drain()], ca_file=str(tmp_path / "missing.pem"))
    empty = tmp_path / "empty.pem"
    empty.touch()
    with pytest.raises(MaildropTlsError, match=r"empty\.pem contains no certificate"):
        polled([Drain()], ca_file=str(empty))


@contextmanager
def greeting_late(context: ssl.SSLContext | None, seconds: float) -> Iterator[int]:
    """A server that greets each client after that many seconds, after a handshake if it has a context; its port."""
    over = threading.Event()

    def serve(sock: socket.socket) -> None:
        with suppress(OSError), closing(context.wrap_socket(sock, server_side=True) if context else sock) as ready:
            over.wait(seconds)
            ready.sendall(b"-ERR [SYS/TEMP] late\r\n")
            ready.recv(1)

    def accept() -> None:
        while not over.is_set():
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        yield port
        over.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join()


@pytest.mark.parametrize("tls", [Tls.NONE, Tls.STARTTLS])
@pytest.mark.parametrize("old", [False, True])
def test_server_that_waits_for_tls_is_recognised_before_the_deadline(
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
    tls: Tls,
    old: bool,  # noqa: FBT001 - a parameter
) -> None:
    """It is silent, as it waits for us as we wait for it."""
    monkeypatch.setattr(dialogue, "_SILENT_SECONDS", 0.1)
    context = serving(authority.issue_cert("127.0.0.1"))
    if old:
        old_tls(context, authority)
    with greeting_late(context, 30) as port:
        target = Mailbox("m", Server("127.0.0.1", port, tls), deadlines=Deadlines(reply=30))
        with pytest.raises(MaildropTlsError, match="expects TLS from the start on this port: set `tls: implicit`"):
            Pop3Connector()(target, CREDENTIALS, lambda *_: None, lambda _: None)


def test_slow_server_without_tls_may_greet_until_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogue, "_SILENT_SECONDS", 0.05)
    with greeting_late(None, 0.3) as port:
        target = Mailbox("m", Server("127.0.0.1", port, Tls.NONE), deadlines=DEADLINES)
        with pytest.raises(MaildropTemporaryError, match="late"):
            Pop3Connector()(target, CREDENTIALS, lambda *_: None, lambda _: None)


def test_unusable_ca_file_is_reported_before_anybody_is_dialled(tmp_path: Path) -> None:
    server = Server("127.0.0.1", 1, ca_file=str(tmp_path / "missing.pem"))
    dialled: list[str] = []
    with pytest.raises(MaildropTlsError, match="does not exist"):
        Pop3Connector()(Mailbox("m", server), CREDENTIALS, lambda *_: None, dialled.append)
    assert not dialled


def test_one_context_serves_all_mailboxes_with_the_same_ca(authority: trustme.CA, ca_file: str) -> None:
    """Making one costs 30 ms of CPU."""
    connector = Pop3Connector()
    kinds = [Server("a", 1), Server("b", 2, ca_file=ca_file), Server("c", 3, fingerprint="00")]
    first = [connector._contexts.context(server) for server in kinds]
    assert [connector._contexts.context(server) for server in kinds] == first
    assert len(set(first)) == 3
