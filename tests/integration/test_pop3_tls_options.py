"""Old servers and client certificates: what is refused by default, and what the options of a mailbox allow."""

from __future__ import annotations

import ssl
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from asn1crypto import algos, pem  # type: ignore[import-untyped]  # it has no types
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from ingest.domain.mailbox import ClientCertificate, Credentials, Deadlines, Mailbox, Server
from ingest.errors import MaildropTlsError
from ingest.pop3.connector import Pop3Connector
from tests.support.scripted_pop3 import Expect, ScriptedServer, Secure, Send, Step, login
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
DEADLINES = Deadlines(*[PATIENCE] * 6)
GOODBYE: list[Step] = [Expect("QUIT"), Send(b"+OK\r\n")]
# RFC 2409 section 6.2: a prime of 1024 bits.
OAKLEY_2 = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
    16,
)


def serving(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA).configure_cert(context)
    return context


def polled(
    steps: Sequence[Step],
    ca_file: str,
    *,
    certificate: ClientCertificate | None = None,
    **options: Any,
) -> list[bytes]:
    """Log in and quit; returns what the server read. The options are the server's."""
    with ScriptedServer(steps) as server:
        target = Server("127.0.0.1", server.port, ca_file=ca_file, **options)
        credentials = Credentials("joe", "secret", certificate=certificate)
        box = Mailbox("m", target, deadlines=DEADLINES)
        drop = Pop3Connector()(box, credentials, lambda *_: None, lambda _: None)
        assert drop.quit()
    return server.received


def old_version(context: ssl.SSLContext, _: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")


def rsa_key_exchange(context: ssl.SSLContext, _: Path) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("kRSA")


def short_diffie_hellman(context: ssl.SSLContext, folder: Path) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0")
    path = folder / "dh.pem"
    path.write_bytes(pem.armor("DH PARAMETERS", algos.DHParameters({"p": OAKLEY_2, "g": 2}).dump()))
    context.load_dh_params(str(path))


@pytest.mark.parametrize(
    ("odd", "remedy", "options"),
    [
        (old_version, r'`tls_minimum: "1\.0"`', {"tls_minimum": "1.0"}),
        (rsa_key_exchange, "`ciphers: DEFAULT`", {"ciphers": "DEFAULT"}),
        (short_diffie_hellman, "too short.*`ciphers: DEFAULT:@SECLEVEL=1`", {"ciphers": "DEFAULT:@SECLEVEL=1"}),
    ],
)
def test_old_server_is_refused_until_its_mailbox_allows_it(
    authority: trustme.CA,
    ca_file: str,
    odd: Callable[[ssl.SSLContext, Path], None],
    remedy: str,
    options: dict[str, Any],
) -> None:
    """The words of the refusal name the very option that helps."""
    context = serving(authority)
    odd(context, Path(ca_file).parent)
    with pytest.raises(MaildropTlsError, match=remedy):
        polled([Secure(context), *login()], ca_file)
    polled([Secure(context), *login(), *GOODBYE], ca_file, **options)


def test_newer_minimum_refuses_a_server_that_is_good_enough_by_default(authority: trustme.CA, ca_file: str) -> None:
    context = serving(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    polled([Secure(context), *login(), *GOODBYE], ca_file)
    with pytest.raises(MaildropTlsError, match=r"from 1\.3 on.*lower `tls_minimum`"):
        polled([Secure(context), *login()], ca_file, tls_minimum="1.3")


def test_no_ciphers_let_a_server_in_without_a_certificate(authority: trustme.CA, ca_file: str) -> None:
    """A server without a certificate could be anybody."""
    context = serving(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    with pytest.raises(MaildropTlsError, match="cipher"):
        polled([Secure(context), *login()], ca_file, ciphers="ALL:aNULL:@SECLEVEL=0")


def wanting(authority: trustme.CA, clients: trustme.CA) -> ssl.SSLContext:
    context = serving(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    clients.configure_trust(context)
    return context


def own(
    clients: trustme.CA, *, password: str = "", given: str | None = None, end: datetime | None = None
) -> ClientCertificate:
    begin = None if end is None else end - timedelta(days=1)
    leaf = clients.issue_cert("mailhaul.example.org", not_before=begin, not_after=end)
    key = leaf.private_key_pem.bytes()
    if password:
        encryption = BestAvailableEncryption(password.encode())
        key = load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
    return ClientCertificate(chain.decode(), key.decode(), password if given is None else given)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("password", ["", "key-password"])
def test_client_certificate_is_shown_to_a_server_that_asks_for_one(
    authority: trustme.CA, ca_file: str, version: ssl.TLSVersion, password: str
) -> None:
    clients = trustme.CA()
    context = wanting(authority, clients)
    context.maximum_version = version
    received = polled([Secure(context), *login(), *GOODBYE], ca_file, certificate=own(clients, password=password))
    assert received[-1].startswith(b"QUIT")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_wanted_client_certificate_is_named(authority: trustme.CA, ca_file: str, version: ssl.TLSVersion) -> None:
    context = wanting(authority, trustme.CA())
    context.maximum_version = version
    with pytest.raises(MaildropTlsError, match="asks for a client certificate: set `client_certificate`"):
        polled([Secure(context), *login()], ca_file)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_refused_client_certificate_is_named_with_the_reason(
    authority: trustme.CA, ca_file: str, version: ssl.TLSVersion
) -> None:
    clients = trustme.CA()
    context = wanting(authority, clients)
    context.maximum_version = version
    expired = own(clients, end=datetime.now(UTC) - timedelta(days=2))
    for certificate, reason in ((own(trustme.CA()), "unknown ca"), (expired, "certificate expired")):
        with pytest.raises(MaildropTlsError, match=rf"refused our client certificate \({reason}\)"):
            polled([Secure(context), *login()], ca_file, certificate=certificate)


def test_client_certificate_that_cannot_be_used_is_reported_without_asking_anybody(ca_file: str) -> None:
    """OpenSSL would ask for a missing password on the terminal."""
    clients = trustme.CA()
    good, other = own(clients), own(clients)
    cases = [
        (ClientCertificate(good.chain, other.key), "another certificate"),
        (ClientCertificate(good.chain, ""), "as PEM"),
        (ClientCertificate("nonsense", "nonsense"), "as PEM"),
        (own(clients, password="right", given=""), "`password`"),
        (own(clients, password="right", given="wrong"), "`password`"),
        (own(clients, password="right", given="x" * 5000), "`password`"),
    ]
    for certificate, words in cases:
        with pytest.raises(MaildropTlsError, match=words):
            polled([], ca_file, certificate=certificate)


def test_client_certificate_stays_out_of_repr() -> None:
    certificate = ClientCertificate("the-chain", "the-key", "its-word")
    shown = repr(Credentials("joe", "secret", certificate=certificate)) + repr(certificate)
    assert not any(word in shown for word in ("the-chain", "the-key", "its-word"))
