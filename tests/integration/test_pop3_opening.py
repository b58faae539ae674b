"""Opening a POP3 session with a server that behaves: connect, greeting, STARTTLS, login."""

from __future__ import annotations

import socket
import threading

import pytest

from ingest.domain.mailbox import Credentials, Deadlines, Mailbox, Server, Tls
from ingest.errors import (
    MaildropAuthError,
    MaildropConnectError,
    MaildropError,
    MaildropInUseError,
    MaildropProtocolError,
    MaildropRefusedError,
    MaildropThrottledError,
    MaildropTimeoutError,
    MaildropTlsError,
)
from ingest.pop3.connector import Pop3Connector
from tests.support.scripted_pop3 import (
    CREDENTIALS,
    SHORT,
    Close,
    Drain,
    Expect,
    ScriptedServer,
    Send,
    Stall,
    Trickle,
    login,
    mailbox,
    opened,
    until_password,
)
from tests.support.servers import free_port


def test_each_phase_is_observed_once() -> None:
    seen: list[str] = []
    with ScriptedServer([*login(), Expect("QUIT"), Send(b"+OK\r\n")]) as server:
        drop = Pop3Connector()(mailbox(server.port), CREDENTIALS, lambda phase, _: seen.append(phase), lambda _: None)
        assert drop.quit()
    assert seen == ["connect", "auth", "quit"]
    assert server.received == [b"CAPA", b"USER joe", b"PASS secret", b"CAPA", b"QUIT"]


def test_server_without_capa_is_supported() -> None:
    steps = [Send(b"+OK\r\n"), Expect("CAPA"), Send(b"-ERR\r\n"), Expect("USER"), Send(b"+OK\r\n")]
    with ScriptedServer([*steps, Expect("PASS"), Send(b"+OK\r\n")]) as server:
        opened(mailbox(server.port)).close()
    assert server.stopped_at is None


def test_refused_connection_error_mentions_the_port() -> None:
    with pytest.raises(MaildropConnectError, match="port"):
        opened(mailbox(free_port()))


def test_an_unknown_host_is_named() -> None:
    target = Mailbox("m", Server("no-such-host.invalid", 995))
    with pytest.raises(MaildropConnectError, match=r"no-such-host\.invalid"):
        opened(target)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".invalid"])
def test_a_host_that_is_no_name_is_unknown(host: str) -> None:
    with pytest.raises(MaildropConnectError, match="is unknown"):
        opened(Mailbox("m", Server(host, 995)))


def test_every_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPv6 is mostly first, and not always answered."""
    with ScriptedServer(login()) as server:
        answers = [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", server.port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: answers)
        opened(mailbox(server.port)).close()
    assert server.stopped_at is None


def test_a_name_server_that_is_silent_meets_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """`getaddrinfo` has no timeout of its own."""
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: over.wait(10) and [])
    with pytest.raises(MaildropTimeoutError, match="Looking up"):
        opened(mailbox(1, deadlines=Deadlines(connect=SHORT)))
    over.set()


def test_silence_instead_of_a_greeting_meets_the_deadline_and_names_tls() -> None:
    """This is also what a port for TLS from the start does to us."""
    with ScriptedServer([Stall()]) as server, pytest.raises(MaildropTimeoutError, match="implicit"):
        opened(mailbox(server.port, deadlines=Deadlines(reply=SHORT)))


def test_dripping_server_does_not_extend_the_deadline() -> None:
    steps = [Trickle(b"+OK " + b"x" * 400, pause=SHORT / 5)]
    with ScriptedServer(steps) as server, pytest.raises(MaildropTimeoutError, match="greet"):
        opened(mailbox(server.port, deadlines=Deadlines(reply=SHORT)))


@pytest.mark.parametrize("greeting", [b"220 smtp.example.org ESMTP\r\n", b"* OK IMAP4\r\n", b"SSH-2.0-x\r\n", b"\n"])
def test_server_of_another_protocol_is_recognized_by_its_greeting(greeting: bytes) -> None:
    with ScriptedServer([Send(greeting), Drain()]) as server, pytest.raises(MaildropProtocolError):
        opened(mailbox(server.port))
    assert server.received == []


def test_a_server_that_closes_before_it_greets() -> None:
    with ScriptedServer([Close()]) as server, pytest.raises(MaildropConnectError, match="before it greeted"):
        opened(mailbox(server.port))


@pytest.mark.parametrize(
    ("greeting", "kind"),
    [(b"-ERR too many connections\r\n", MaildropThrottledError), (b"-ERR go away\r\n", MaildropRefusedError)],
)
def test_err_greeting_is_not_a_wrong_password(greeting: bytes, kind: type[MaildropError]) -> None:
    with ScriptedServer([Send(greeting), Drain()]) as server, pytest.raises(kind):
        opened(mailbox(server.port))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"-ERR [AUTH] no\r\n", MaildropAuthError),
        (b"-ERR wrong\r\n", MaildropAuthError),
        (b"-ERR [in-use] no\r\n", MaildropInUseError),
        (b"-ERR mailbox locked by another session\r\n", MaildropInUseError),
    ],
)
def test_a_refused_login_says_why(answer: bytes, kind: type[MaildropError]) -> None:
    with ScriptedServer([*until_password(), Send(answer), Drain()]) as server, pytest.raises(kind) as raised:
        opened(mailbox(server.port))
    assert "secret" not in str(raised.value)


def test_connection_closed_at_pass_is_not_a_wrong_password() -> None:
    with ScriptedServer([*until_password(), Close()]) as server, pytest.raises(MaildropConnectError):
        opened(mailbox(server.port))


def test_a_line_break_in_a_password_is_refused_before_anything_is_sent() -> None:
    with ScriptedServer([Send(b"+OK\r\n"), Drain()]) as server, pytest.raises(MaildropAuthError):
        opened(mailbox(server.port), Credentials("joe", "secret\r\nDELE 1"))
    assert server.received == []


def test_a_missing_starttls_is_fatal_and_no_credentials_are_sent() -> None:
    steps = [Send(b"+OK\r\n"), Expect("CAPA"), Send(b"+OK\r\nUSER\r\n.\r\n"), Drain()]
    with ScriptedServer(steps) as server, pytest.raises(MaildropTlsError, match="STARTTLS"):
        opened(mailbox(server.port, tls=Tls.STARTTLS))
    assert server.received == [b"CAPA"]


def test_a_refused_starttls_is_fatal_and_no_credentials_are_sent() -> None:
    steps = [
        Send(b"+OK\r\n"),
        Expect("CAPA"),
        Send(b"+OK\r\nSTLS\r\n.\r\n"),
        Expect("STLS"),
        Send(b"-ERR\r\n"),
        Drain(),
    ]
    with ScriptedServer(steps) as server, pytest.raises(MaildropTlsError, match="refused"):
        opened(mailbox(server.port, tls=Tls.STARTTLS))
    assert server.received == [b"CAPA", b"STLS"]


def test_plain_text_after_the_answer_to_stls_is_fatal() -> None:
    steps = [Send(b"+OK\r\n"), Expect("CAPA"), Send(b"+OK\r\nSTLS\r\n.\r\n"), Expect("STLS"), Send(b"+OK\r\n+OK\r\n")]
    with ScriptedServer([*steps, Drain()]) as server, pytest.raises(MaildropTlsError, match="tampering"):
        opened(mailbox(server.port, tls=Tls.STARTTLS))
    assert server.received == [b"CAPA", b"STLS"]
