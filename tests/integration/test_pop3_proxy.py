"""POP3 through SOCKS5 and HTTP CONNECT proxies: the proxy looks up the name, and a deadline holds for all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.domain.mailbox import Credentials, Deadlines, Mailbox, Proxy, Server, Tls
from ingest.errors import MaildropConnectError, MaildropDeferredError, MaildropTimeoutError
from ingest.pop3 import Pop3Connector
from tests.support.scripted_pop3 import Expect, ScriptedServer, Send, login
from tests.support.servers import free_port
from tests.support.socks import HttpConnect, Relay, Socks5
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.pop3.session import Pop3Session

KINDS = [pytest.param(Socks5, id="socks5"), pytest.param(HttpConnect, id="http")]
HOST = "pop.mail.invalid"


def opened(
    relay: Relay,
    port: int,
    *,
    proxy_login: tuple[str, str] | None = None,
    host: str = HOST,
    connect: float = 10.0,
    acquire_slot: Callable[[str], None] = lambda _: None,
) -> Pop3Session:
    proxy = Proxy("socks5" if isinstance(relay, Socks5) else "http", "127.0.0.1", relay.port)
    server = Server(host, port, Tls.NONE, proxy=proxy)
    credentials = Credentials("joe", "secret", proxy=proxy_login)
    return Pop3Connector()(
        Mailbox("m", server, deadlines=Deadlines(connect=connect)), credentials, lambda *_: None, acquire_slot
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("together", [False, True])
def test_a_session_goes_through_and_no_byte_of_the_greeting_is_lost(
    kind: type[Relay],
    together: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A POP3 server speaks first: its greeting may come in one packet with the proxy's answer."""
    script = [*login(), Expect("QUIT"), Send(b"+OK\r\n")]
    with ScriptedServer(script) as server, kind(together=together) as relay:
        assert opened(relay, server.port).quit()
        eventually(lambda: server.received[-1:] == [b"QUIT"], "QUIT arrives, though nobody waits for its answer")
        assert relay.asked == [(HOST, server.port)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_that_wants_a_password_gets_it(kind: type[Relay]) -> None:
    with ScriptedServer([*login(), Expect("QUIT")]) as server, kind(login=("ann", "s3cret")) as relay:
        assert opened(relay, server.port, proxy_login=("ann", "s3cret")).quit()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("proxy_login", [None, ("ann", "wrong")])
def test_password_rejected_by_the_proxy_is_reported_with_the_remedy(
    kind: type[Relay], proxy_login: tuple[str, str] | None
) -> None:
    with kind(login=("ann", "s3cret")) as relay, pytest.raises(MaildropConnectError, match=r"`proxy\.password`"):
        opened(relay, 110, proxy_login=proxy_login)


@pytest.mark.parametrize(
    ("kind", "refusal", "words"),
    [
        (Socks5, b"\x05\x02\x00\x01\0\0\0\0\0\0", "rules do not allow"),
        (Socks5, b"\x05\x04\x00\x01\0\0\0\0\0\0", "check `host`"),
        (Socks5, b"\x05\x05\x00\x01\0\0\0\0\0\0", "check `port`"),
        (HttpConnect, b"HTTP/1.1 403 Forbidden\r\n\r\n", "it answered 403"),
        (HttpConnect, b"HTTP/1.0 502 Bad Gateway\r\nX: y\r\n\r\nbody", "it answered 502"),
        (HttpConnect, b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        (HttpConnect, b"HTTP/1.1 \r\n\r\n", "does not speak HTTP"),
        (Socks5, b"\x05\x00\x00\x03\x02\xff\xfe\x00\x00", "does not speak SOCKS5"),
        (Socks5, b"HTTP/1.1 400 Bad Request\r\n\r\n", "refuses to connect"),
    ],
)
def test_refusal_by_the_proxy_is_reported_with_its_reason(kind: type[Relay], refusal: bytes, words: str) -> None:
    with kind(refusal=refusal) as relay, pytest.raises(MaildropConnectError, match=words) as raised:
        opened(relay, 110)
    assert f"127.0.0.1:{relay.port}" in str(raised.value)


@pytest.mark.parametrize("text", ["", "x" * 256, "pässword"])
def test_values_too_long_for_socks_are_rejected_before_sending(text: str) -> None:
    """It has one byte for a length, and no character set."""
    for given in ((text, "s3cret"), ("ann", text)):
        with Socks5() as relay, pytest.raises(MaildropConnectError, match=r"`proxy\.username`"):
            opened(relay, 110, proxy_login=given)
        assert relay.asked == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("host", ["pop..invalid", f"{'x' * 64}.invalid"])
def test_invalid_host_name_is_reported(kind: type[Relay], host: str) -> None:
    with kind() as relay, pytest.raises(MaildropConnectError, match="check `host`"):
        opened(relay, 110, host=host)
    assert relay.asked == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_host_is_named_in_ascii(kind: type[Relay]) -> None:
    with ScriptedServer([*login(), Expect("QUIT")]) as server, kind() as relay:
        assert opened(relay, server.port, host="pöp.invalid").quit()
        assert relay.asked == [("xn--pp-fka.invalid", server.port)]


@pytest.mark.parametrize("kind", KINDS)
def test_silent_proxy_meets_the_deadline(kind: type[Relay]) -> None:
    with kind(silent=True) as relay, pytest.raises(MaildropTimeoutError):
        opened(relay, 110, connect=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_connection_closed_by_the_proxy_is_reported(kind: type[Relay]) -> None:
    with kind(impatient=True) as relay, pytest.raises(MaildropConnectError, match=r"proxy 127\.0\.0\.1"):
        opened(relay, 110)


def test_an_endless_answer_to_connect_is_cut() -> None:
    with HttpConnect(refusal=b"HTTP/1.1 500 " + b"x" * 100_000) as relay, pytest.raises(MaildropConnectError):
        opened(relay, 110)


def test_unreachable_proxy_is_named() -> None:
    server = Server(HOST, 995, proxy=Proxy("socks5", "127.0.0.1", free_port()))
    with pytest.raises(MaildropConnectError, match=r"the proxy 127\.0\.0\.1"):
        Pop3Connector()(Mailbox("m", server), Credentials("joe", "x"), lambda *_: None, lambda _: None)


def test_connection_slots_are_counted_at_the_proxy() -> None:
    """Its address is the one that is dialled."""
    asked = []

    def refuse(address: str) -> None:
        asked.append(address)
        raise MaildropDeferredError

    with Socks5() as relay, pytest.raises(MaildropDeferredError):
        opened(relay, 110, acquire_slot=refuse)
    assert asked == ["127.0.0.1"]
    assert relay.asked == []
