"""What is said at login, against the examples of the RFCs; and what is not."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.mailbox import Credentials, Mechanism, Quirks, Server
from ingest.errors import MaildropAuthError, MaildropProtocolError, MaildropRefusedError
from ingest.pop3 import capabilities
from ingest.pop3.authentication import Authentication, authentication, require_offered
from ingest.pop3.scram import Scram

SERVER = Server("server.example.com", 995)
SASL = [mechanism for mechanism in Mechanism if mechanism not in {Mechanism.PASSWORD, Mechanism.APOP}]


def way(
    mechanism: Mechanism, user: str = "tim", secret: str = "tanstaaf", *, two_step: bool = False
) -> Authentication:
    server = Server("server.example.com", 995, quirks=Quirks(two_step_auth=two_step))
    return authentication(Credentials(user, secret, mechanism), server)


def sent(login: Authentication, timestamp: bytes | None = None) -> list[bytes]:
    return [command.encode() for command in login.commands(timestamp)]


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


def test_user_and_pass() -> None:
    assert sent(way(Mechanism.PASSWORD, "joé")) == ["USER joé\r\n".encode(), b"PASS tanstaaf\r\n"]


def test_apop_digest_uses_the_greeting_timestamp() -> None:
    """The example of RFC 1939 section 7."""
    login = way(Mechanism.APOP, "mrose")
    expected = [b"APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\n"]
    assert sent(login, b"<1896.697170952@dbc.mtview.ca.us>") == expected


def test_apop_is_refused_without_a_timestamp() -> None:
    with pytest.raises(MaildropRefusedError, match="no timestamp"):
        way(Mechanism.APOP).commands(None)


def test_plain_fits_into_the_auth_command() -> None:
    """The example of RFC 4616 section 4."""
    login = way(Mechanism.PLAIN, secret="tanstaaftanstaaf")
    assert sent(login) == [b"AUTH PLAIN " + b64(b"\0tim\0tanstaaftanstaaf") + b"\r\n"]
    login.accepted()
    with pytest.raises(MaildropProtocolError, match="one challenge more"):
        login.respond(b"")


def test_login_answers_two_prompts_whatever_their_wording() -> None:
    login = way(Mechanism.LOGIN)
    assert sent(login) == [b"AUTH LOGIN\r\n"]
    assert login.respond(b64(b"User Name\0")) == b"tim"
    assert login.respond(b"not base64") == b"tanstaaf"
    login.accepted()
    with pytest.raises(MaildropProtocolError, match="one challenge more"):
        login.respond(b"")


def test_xoauth2_follows_googles_format() -> None:
    """The example of Google's description; a refusal is answered with nothing."""
    login = way(Mechanism.XOAUTH2, "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg")
    response = (
        b"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhk"
        b"SFJoZG1semRHRXVZMjl0Q2cBAQ=="
    )
    assert sent(login) == [b"AUTH XOAUTH2 " + response + b"\r\n"]
    assert login.respond(b64(b'{"status":"401"}')) == b""
    with pytest.raises(MaildropProtocolError):
        login.respond(b"")


def test_oauthbearer_follows_rfc_7628() -> None:
    """The examples of sections 4.1 and 4.3: user, host and port stand in it; a refusal is answered with control-A."""
    login = way(Mechanism.OAUTHBEARER, "u,=@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")
    (line,) = sent(login)
    assert base64.b64decode(line.split()[2]) == (
        b"n,a=u=2C=3D@example.com,\x01host=server.example.com\x01port=995\x01"
        b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    )
    assert login.respond(b64(b'{"status":"invalid_token"}')) == b"\x01"


@pytest.mark.parametrize("mechanism", [Mechanism.XOAUTH2, Mechanism.OAUTHBEARER])
def test_refused_token_cannot_be_accepted(mechanism: Mechanism) -> None:
    login = way(mechanism)
    login.commands(None)
    login.respond(b"e30=")
    with pytest.raises(MaildropProtocolError):
        login.accepted()


FIRST = b64(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
FINAL = b64(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
NONCE = "rOprNGfwEbeRWgbNEkqO"


def test_scram_follows_rfc_7677() -> None:
    """The example of section 3, the server's signature with it."""
    exchange = Scram("user", "pencil", NONCE)
    assert exchange.initial() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert exchange.respond(FIRST) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert exchange.respond(FINAL) == b""
    exchange.accepted()
    with pytest.raises(MaildropProtocolError):
        exchange.respond(FINAL)


def test_scram_rejects_a_server_that_does_not_know_the_password() -> None:
    exchange = Scram("user", "pencil", NONCE)
    exchange.initial()
    with pytest.raises(MaildropProtocolError, match="without proving"):
        exchange.accepted()
    exchange.respond(FIRST)
    with pytest.raises(MaildropProtocolError, match="without proving"):
        exchange.accepted()
    with pytest.raises(MaildropProtocolError, match="signature"):
        exchange.respond(b64(b"v=" + b64(b"x" * 32)))


@pytest.mark.parametrize(
    "first",
    [
        b64(b"r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
        b64(b"r=rOprNGfwEbeRWgbNEkqO%x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1000001"),
        b64(b"r=rOprNGfwEbeRWgbNEkqO%x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1"),
        b64(b"r=rOprNGfwEbeRWgbNEkqO%x,s=x,i=4096"),
        b64(b"e=unknown-user"),
        b64(b"\xff"),
        b"no base64",
        b"",
    ],
)
def test_scram_rejects_malformed_messages_and_excessive_iterations(first: bytes) -> None:
    exchange = Scram("user", "pencil", NONCE)
    exchange.initial()
    with pytest.raises(MaildropProtocolError):
        exchange.respond(first)


@given(st.lists(st.binary(max_size=60), max_size=3))
def test_arbitrary_challenges_raise_only_protocol_errors(challenges: list[bytes]) -> None:
    exchange = Scram("user", "pencil", NONCE)
    exchange.initial()
    for challenge in challenges:
        with pytest.raises(MaildropProtocolError):
            exchange.respond(b64(challenge))


@pytest.mark.parametrize("mechanism", [Mechanism.PLAIN, Mechanism.XOAUTH2, Mechanism.OAUTHBEARER])
def test_two_step_auth_sends_the_same_initial_response(mechanism: Mechanism) -> None:
    """Microsoft 365 wants them. What the first challenge says is not looked at."""
    (whole,) = sent(way(mechanism))
    login = way(mechanism, two_step=True)
    name = whole.split()[1]
    assert sent(login) == [b"AUTH " + name + b"\r\n"]
    assert b64(login.respond(b"")) == whole.split()[2]


@pytest.mark.parametrize("mechanism", [Mechanism.PLAIN, Mechanism.XOAUTH2])
def test_initial_response_over_255_bytes_goes_in_two_steps(mechanism: Mechanism) -> None:
    """RFC 2449 section 4; the limit itself is kept to the byte."""
    lengths = []
    for size in range(300):
        login = way(mechanism, secret="x" * size)
        (line,) = sent(login)
        lengths.append(len(line))
        if len(line.split()) == 2:
            assert login.respond(b"").endswith((b"x" * size, b"x" * size + b"\x01\x01"))
    assert 251 < max(lengths) <= 255


@pytest.mark.parametrize("mechanism", list(Mechanism))
@pytest.mark.parametrize("what", ["\r", "\n", "\0", "a\r\nDELE 1", "\ud800"])
def test_credentials_cannot_inject_commands(mechanism: Mechanism, what: str) -> None:
    with pytest.raises(MaildropAuthError, match="user name"):
        way(mechanism, user=what)
    with pytest.raises(MaildropAuthError, match="password"):
        way(mechanism, secret=what)


def test_credentials_cannot_inject_bearer_fields() -> None:
    for mechanism in (Mechanism.XOAUTH2, Mechanism.OAUTHBEARER):
        with pytest.raises(MaildropAuthError):
            way(mechanism, user="a\x01auth=Bearer x")


def test_scram_refuses_what_saslprep_prohibits() -> None:
    with pytest.raises(MaildropAuthError, match="SCRAM"):
        way(Mechanism.SCRAM_SHA_256, secret="a\x07")


@pytest.mark.parametrize("mechanism", list(Mechanism))
def test_repr_never_shows_a_password(mechanism: Mechanism) -> None:
    commands = way(mechanism, "geheim", "geheim").commands(b"<a@b>")
    assert "geheim" not in repr(commands)
    assert b64(b"geheim").decode() not in repr(commands)


@pytest.mark.parametrize("mechanism", SASL)
def test_mechanism_that_is_not_offered_is_named_with_those_that_are(mechanism: Mechanism) -> None:
    login = way(mechanism)
    announced = capabilities.read([b"USER", b"SASL GSSAPI NTLM"])
    with pytest.raises(MaildropRefusedError, match=r"GSSAPI, NTLM\. USER and PASS work too"):
        require_offered(login.mechanism, announced, SERVER)
    with pytest.raises(MaildropRefusedError, match="no AUTH at all"):
        require_offered(login.mechanism, capabilities.read([b"TOP"]), SERVER)
    require_offered(login.mechanism, capabilities.UNKNOWN, SERVER)
    require_offered(login.mechanism, capabilities.read([f"SASL X {login.mechanism}".encode()]), SERVER)


@pytest.mark.parametrize("mechanism", [Mechanism.PASSWORD, Mechanism.APOP])
def test_login_without_sasl_needs_no_announcement(mechanism: Mechanism) -> None:
    """Servers forget to list USER, and APOP is announced by the greeting."""
    offered = capabilities.read([b"SASL PLAIN"])
    require_offered(way(mechanism).mechanism, offered, SERVER)
    with pytest.raises(MaildropRefusedError):
        require_offered("SCRAM-SHA-256", offered, SERVER)
