"""The POP3 client against a real Dovecot: bytes, pipelining, locks, commit."""

from __future__ import annotations

import io
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from ingest.domain.mailbox import ClientCertificate, Credentials, Mailbox, Mechanism, Server, Tls
from ingest.errors import MaildropAuthError, MaildropConnectError, MaildropError, MaildropRefusedError
from ingest.pop3 import Pop3Connector
from ingest.ports.maildrop import Fetched
from tests.support.dovecot import Dovecot, as_served, running_dovecot
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.pop3.session import Pop3Session

TOKENS = {Mechanism.XOAUTH2, Mechanism.OAUTHBEARER}
pytestmark = pytest.mark.dovecot

NASTY = b"Subject: x\r\n\r\n.\r\n..\r\n.x\r\n\r\rbare\r\0\xff\r\n\r\n.\r\n"


def opened(server: Dovecot, user: str, tls: Tls = Tls.IMPLICIT) -> Pop3Session:
    port = server.pop3s_port if tls is Tls.IMPLICIT else server.pop3_port
    target = Mailbox("m", Server("127.0.0.1", port, tls, None if tls is Tls.NONE else str(server.ca_file)))
    return Pop3Connector()(target, Credentials(user, "secret"), lambda _phase, _seconds: None, lambda _: None)


def logged_in(server: Dovecot, connect: Pop3Connector, credentials: Credentials) -> Pop3Session:
    target = Mailbox("m", Server("127.0.0.1", server.pop3s_port, Tls.IMPLICIT, str(server.ca_file)))
    return connect(target, credentials, lambda _phase, _seconds: None, lambda _: None)


def everything(drop: Pop3Session) -> list[bytes]:
    outcomes = list(drop.fetch(drop.listing().rows, lambda _: io.BytesIO()))
    return [one.spool.getvalue() for one in outcomes if isinstance(one, Fetched)]


@pytest.mark.parametrize("tls", list(Tls))
def test_every_byte_comes_through(dovecot_server: Dovecot, tls: Tls) -> None:
    """Through more than one window, messages larger than it among them, in all three kinds of TLS."""
    user = f"bytes-{tls}"
    dovecot_server.add_user(user, "secret")
    mails = [b"N: %d\r\n" % number + NASTY for number in range(150)]
    mails += [b"\r\n" + b"0123456789abcde\n" * 2**17 + b"end"] * 6 + [b"x" * 2**21 + b"\r\n", b"\r\n"]
    for mail in mails:
        dovecot_server.deliver(user, mail)
    drop = opened(dovecot_server, user, tls)
    assert everything(drop) == [as_served(mail) for mail in mails]
    assert (drop.terms.certificate_not_after is None) == (tls is Tls.NONE)
    assert drop.quit()


def test_only_quit_deletes(dovecot_server: Dovecot) -> None:
    dovecot_server.add_user("commit", "secret")
    for number in range(130):
        dovecot_server.deliver("commit", b"N: %d\r\n\r\n" % number)
    drop = opened(dovecot_server, "commit")
    assert len(drop.delete(drop.listing().rows)) == 130
    drop.close()
    assert len(dovecot_server.maildrop("commit")) == 130
    drop = opened(dovecot_server, "commit")
    assert len(drop.delete(drop.listing().rows[:129])) == 129
    assert drop.quit()
    assert dovecot_server.maildrop("commit") == [b"N: 129\r\n\r\n"]


def test_vanished_message_does_not_affect_the_others(dovecot_server: Dovecot) -> None:
    """Whatever Dovecot says of it, the session or the next one has the rest."""
    dovecot_server.add_user("gone", "secret")
    for number in range(3):
        dovecot_server.deliver("gone", b"N: %d\r\n\r\n" % number)
    drop = opened(dovecot_server, "gone")
    listing = drop.listing().rows
    assert len(drop.delete(listing[1:2])) == 1
    outcomes = list(drop.fetch(listing, lambda _: io.BytesIO()))
    assert [isinstance(one, Fetched) for one in outcomes] == [True, False, True]
    drop.close()


def test_wrong_password_is_an_authentication_error(dovecot_server: Dovecot) -> None:
    dovecot_server.add_user("wrong", "other")
    with pytest.raises(MaildropAuthError):
        opened(dovecot_server, "wrong")


@pytest.mark.parametrize("mechanism", list(Mechanism))
def test_every_mechanism_logs_in_twice(dovecot_server: Dovecot, mechanism: Mechanism) -> None:
    """The second time by what was remembered."""
    user = f"by-{mechanism}"
    dovecot_server.add_user(user, "secret")
    dovecot_server.deliver(user, NASTY)
    secret = dovecot_server.token(user) if mechanism in TOKENS else "secret"
    connect = Pop3Connector()
    for _ in range(2):
        drop = logged_in(dovecot_server, connect, Credentials(user, secret, mechanism))
        assert everything(drop) == [as_served(NASTY)]
        assert drop.quit()


@pytest.mark.parametrize("mechanism", list(Mechanism))
def test_every_mechanism_reports_wrong_credentials(dovecot_server: Dovecot, mechanism: Mechanism) -> None:
    """The server says so in many ways."""
    user = f"not-by-{mechanism}"
    dovecot_server.add_user(user, "secret")
    secret = dovecot_server.token(user, seconds=-600) if mechanism in TOKENS else "wrong"
    with pytest.raises(MaildropAuthError):
        logged_in(dovecot_server, Pop3Connector(), Credentials(user, secret, mechanism))


def test_an_expired_token_is_renewed(dovecot_server: Dovecot) -> None:
    dovecot_server.add_user("renewed", "secret")
    new = Credentials("renewed", dovecot_server.token("renewed"), Mechanism.OAUTHBEARER)
    old = Credentials("renewed", dovecot_server.token("renewed", -600), Mechanism.OAUTHBEARER, renew=lambda: new)
    drop = logged_in(dovecot_server, Pop3Connector(), old)
    assert drop.listing().rows == []
    assert drop.quit()


def test_server_reads_quit_although_nobody_waits_for_its_answer(dovecot_server: Dovecot) -> None:
    """The server ends the session in good order, and the next one finds the maildrop free."""
    dovecot_server.add_user("impatient", "secret")
    connect = Pop3Connector()
    for _ in range(5):
        drop = logged_in(dovecot_server, connect, Credentials("impatient", "secret"))
        assert drop.listing().rows == []
        assert drop.quit()
    eventually(lambda: dovecot_server.log.count("pop3(impatient)") >= 5, lambda: dovecot_server.log)
    ends = [line for line in dovecot_server.log.splitlines() if "pop3(impatient)" in line]
    assert all("Logged out" in line for line in ends), ends


def test_top_gives_the_header(dovecot_server: Dovecot) -> None:
    dovecot_server.add_user("top", "secret")
    dovecot_server.deliver("top", NASTY)
    drop = opened(dovecot_server, "top")
    assert drop.top(drop.listing().rows[0]) == b"Subject: x\r\n\r\n"
    assert drop.quit()


def test_a_server_that_dies_ends_the_session_and_deletes_nothing(own_dovecot: Dovecot) -> None:
    own_dovecot.add_user("joe", "secret")
    for data in (1, 2**20, 2**25):  # the last is more than the sockets on the way can hold
        own_dovecot.deliver("joe", b"\r\n" + b"x" * data)
    drop = opened(own_dovecot, "joe")
    listing = drop.listing().rows
    drop.delete(listing[:1])
    fetched = drop.fetch(listing[1:], lambda _: io.BytesIO())
    assert isinstance(next(fetched), Fetched)
    own_dovecot.kill()
    with pytest.raises(MaildropConnectError):
        list(fetched)
    drop.close()
    assert len(own_dovecot.maildrop("joe")) == 3
    with pytest.raises(MaildropConnectError, match="Nothing answers"):
        opened(own_dovecot, "joe")
    own_dovecot.start()

    def polled_again() -> bool:
        with suppress(MaildropError):
            drop = opened(own_dovecot, "joe")
            assert len(everything(drop)) == 3
            return drop.quit()
        return False

    eventually(polled_again, "the maildrop stayed locked")


@pytest.fixture(scope="module")
def client_authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def demanding_dovecot(client_authority: trustme.CA) -> Iterator[Dovecot]:
    """A Dovecot that lets nobody log in without a certificate of this authority."""
    # Not below pytest's own folder, see `running_dovecot`.
    with tempfile.TemporaryDirectory(prefix="mailhaul-clients-") as folder:
        Path(folder).chmod(0o755)
        trusted = Path(folder) / "ca.pem"
        client_authority.cert_pem.write_to_path(str(trusted))
        options = f"ssl_ca = <{trusted}\nssl_verify_client_cert = yes\nauth_ssl_require_client_cert = yes\n"
        # By default it also wants a list of revoked certificates.
        with running_dovecot(options + "ssl_require_crl = no\n") as server:
            server.add_user("joe", "secret")
            server.deliver("joe", b"Subject: x\r\n\r\n")
            yield server


def opened_with(server: Dovecot, certificate: ClientCertificate | None, tls: Tls) -> Pop3Session:
    port = server.pop3s_port if tls is Tls.IMPLICIT else server.pop3_port
    credentials = Credentials("joe", "secret", certificate=certificate)
    target = Mailbox("m", Server("127.0.0.1", port, tls, str(server.ca_file)))
    return Pop3Connector()(target, credentials, lambda _phase, _seconds: None, lambda _: None)


def certificate_of(authority: trustme.CA) -> ClientCertificate:
    leaf = authority.issue_cert("mailhaul.example.org")
    chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
    return ClientCertificate(chain.decode(), leaf.private_key_pem.bytes().decode())


@pytest.mark.parametrize("tls", [Tls.IMPLICIT, Tls.STARTTLS])
def test_client_certificate_opens_a_server_that_demands_one(
    demanding_dovecot: Dovecot, client_authority: trustme.CA, tls: Tls
) -> None:
    drop = opened_with(demanding_dovecot, certificate_of(client_authority), tls)
    assert len(drop.listing().rows) == 1
    assert drop.quit()


@pytest.mark.parametrize("tls", [Tls.IMPLICIT, Tls.STARTTLS])
@pytest.mark.parametrize("shown", ["none", "foreign"])
def test_missing_or_foreign_client_certificate_is_named(demanding_dovecot: Dovecot, shown: str, tls: Tls) -> None:
    certificate = None if shown == "none" else certificate_of(trustme.CA())
    with pytest.raises(MaildropRefusedError, match="client certificate that it trusts: set `client_certificate`"):
        opened_with(demanding_dovecot, certificate, tls)
