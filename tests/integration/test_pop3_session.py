"""The POP3 client against a server that does what it is told: time, disconnects, refusals."""

from __future__ import annotations

import io
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ingest.domain.mailbox import Credentials, Deadlines, Limits, Mailbox, Server, Tls
from ingest.errors import (
    MaildropAuthError,
    MaildropConnectError,
    MaildropError,
    MaildropLockedError,
    MaildropProtocolError,
    MaildropRefusedError,
    MaildropTimeoutError,
    MaildropTlsError,
    MessageTooLargeError,
)
from ingest.pop3.connection import Connection
from ingest.pop3.connector import Pop3Connector
from ingest.pop3.deadlines import Deadline
from ingest.ports.maildrop import Fetched, Listed, NotFetched
from tests.support.scripted_pop3 import (
    Close,
    Drain,
    Expect,
    Reset,
    ScriptedServer,
    Send,
    Stall,
    Step,
    Trickle,
    login,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingest.pop3.session import Pop3Session
    from ingest.ports.maildrop import MaildropFactory

CREDENTIALS = Credentials("joe", "secret")
SHORT = 0.15
PATIENT = Deadlines(connect=5, tls=5, reply=5, idle=5, quit=5, poll=10)


def mailbox(
    port: int, *, deadlines: Deadlines = PATIENT, limits: Limits | None = None, tls: Tls = Tls.NONE
) -> Mailbox:
    return Mailbox("m", Server("127.0.0.1", port, tls), deadlines=deadlines, limits=limits or Limits())


def opened(target: Mailbox, credentials: Credentials = CREDENTIALS) -> Pop3Session:
    return Pop3Connector()(target, credentials, lambda _phase, _seconds: None)


@contextmanager
def session(
    steps: Sequence[Step], *capabilities: str, deadlines: Deadlines = PATIENT, limits: Limits | None = None
) -> Iterator[tuple[Pop3Session, ScriptedServer]]:
    """A session that has logged in to a server that goes on with the given steps."""
    with ScriptedServer([*login(*capabilities), *steps]) as server:
        drop = opened(mailbox(server.port, deadlines=deadlines, limits=limits))
        try:
            yield drop, server
        finally:
            drop.close()


class Spools:
    """Hands out spools and remembers them."""

    def __init__(self) -> None:
        self.made: list[io.BytesIO] = []

    def __call__(self, _: Listed) -> io.BytesIO:
        self.made.append(io.BytesIO())
        return self.made[-1]


def factory() -> MaildropFactory:
    """For the type checker: the connector is what the port asks for."""
    return Pop3Connector()


def rows(*sizes: int | None) -> list[Listed]:
    return [Listed(number, b"u%d" % number, size) for number, size in enumerate(sizes, 1)]


# --- opening -----------------------------------------------------------------------------------------------------


def test_each_phase_is_observed_once() -> None:
    seen: list[str] = []
    with ScriptedServer([*login(), Expect("QUIT"), Send(b"+OK\r\n")]) as server:
        drop = Pop3Connector()(mailbox(server.port), CREDENTIALS, lambda phase, _: seen.append(phase))
        assert drop.quit()
    assert seen == ["connect", "auth", "quit"]
    assert server.received == [b"CAPA", b"USER joe", b"PASS secret", b"QUIT"]


def test_a_server_without_capa_is_spoken_to_all_the_same() -> None:
    steps = [Send(b"+OK\r\n"), Expect("CAPA"), Send(b"-ERR\r\n"), Expect("USER"), Send(b"+OK\r\n")]
    with ScriptedServer([*steps, Expect("PASS"), Send(b"+OK\r\n")]) as server:
        opened(mailbox(server.port)).close()
    assert server.stopped_at is None


def test_a_refused_connection_asks_for_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(MaildropConnectError, match="port"):
        opened(mailbox(port))


def test_an_unknown_host_is_named() -> None:
    target = Mailbox("m", Server("no-such-host.invalid", 995))
    with pytest.raises(MaildropConnectError, match=r"no-such-host\.invalid"):
        opened(target)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".invalid"])
def test_a_host_that_is_no_name_is_unknown(host: str) -> None:
    with pytest.raises(MaildropConnectError, match="not known"):
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
    """Case 17: getaddrinfo has no timeout of its own."""
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: over.wait(10) and [])
    with pytest.raises(MaildropTimeoutError, match="Looking up"):
        opened(mailbox(1, deadlines=Deadlines(connect=SHORT)))
    over.set()


def test_silence_instead_of_a_greeting_meets_the_deadline_and_names_tls() -> None:
    """Case 17: this is also what a port for TLS from the start does to us."""
    with ScriptedServer([Stall()]) as server, pytest.raises(MaildropTimeoutError, match="implicit"):
        opened(mailbox(server.port, deadlines=Deadlines(reply=SHORT)))


def test_an_octet_now_and_then_does_not_move_the_deadline() -> None:
    """Case 16."""
    steps = [Trickle(b"+OK " + b"x" * 400, pause=SHORT / 5)]
    with ScriptedServer(steps) as server, pytest.raises(MaildropTimeoutError, match="greet"):
        opened(mailbox(server.port, deadlines=Deadlines(reply=SHORT)))


@pytest.mark.parametrize("greeting", [b"220 smtp.example.org ESMTP\r\n", b"* OK IMAP4\r\n", b"SSH-2.0-x\r\n", b"\n"])
def test_a_server_of_another_protocol_is_told_by_its_greeting(greeting: bytes) -> None:
    with ScriptedServer([Send(greeting), Drain()]) as server, pytest.raises(MaildropProtocolError):
        opened(mailbox(server.port))
    assert server.received == []


def test_a_server_that_closes_before_it_greets() -> None:
    with ScriptedServer([Close()]) as server, pytest.raises(MaildropConnectError, match="before it greeted"):
        opened(mailbox(server.port))


@pytest.mark.parametrize(
    ("greeting", "kind"),
    [(b"-ERR too many connections\r\n", MaildropLockedError), (b"-ERR go away\r\n", MaildropRefusedError)],
)
def test_a_greeting_of_err_is_no_bad_password(greeting: bytes, kind: type[MaildropError]) -> None:
    with ScriptedServer([Send(greeting), Drain()]) as server, pytest.raises(kind):
        opened(mailbox(server.port))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"-ERR [AUTH] no\r\n", MaildropAuthError),
        (b"-ERR wrong\r\n", MaildropAuthError),
        (b"-ERR [in-use] no\r\n", MaildropLockedError),
        (b"-ERR mailbox locked by another session\r\n", MaildropLockedError),
    ],
)
def test_a_refused_login_says_why(answer: bytes, kind: type[MaildropError]) -> None:
    with ScriptedServer([*login()[:-1], Send(answer), Drain()]) as server, pytest.raises(kind) as raised:
        opened(mailbox(server.port))
    assert "secret" not in str(raised.value)


def test_a_connection_that_is_dropped_at_pass_is_no_bad_password() -> None:
    with ScriptedServer([*login()[:-1], Close()]) as server, pytest.raises(MaildropConnectError):
        opened(mailbox(server.port))


def test_a_line_break_in_a_password_is_refused_before_anything_is_sent() -> None:
    """Case 26."""
    with ScriptedServer([Send(b"+OK\r\n"), Drain()]) as server, pytest.raises(MaildropAuthError):
        opened(mailbox(server.port), Credentials("joe", "secret\r\nDELE 1"))
    assert server.received == []


def test_a_missing_starttls_is_fatal_and_no_credentials_are_sent() -> None:
    """Case 35."""
    steps = [Send(b"+OK\r\n"), Expect("CAPA"), Send(b"+OK\r\nUSER\r\n.\r\n"), Drain()]
    with ScriptedServer(steps) as server, pytest.raises(MaildropTlsError, match="STARTTLS"):
        opened(mailbox(server.port, tls=Tls.STARTTLS))
    assert server.received == [b"CAPA"]


def test_a_refused_starttls_is_fatal_and_no_credentials_are_sent() -> None:
    """Case 35."""
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
    """Case 34."""
    steps = [Send(b"+OK\r\n"), Expect("CAPA"), Send(b"+OK\r\nSTLS\r\n.\r\n"), Expect("STLS"), Send(b"+OK\r\n+OK\r\n")]
    with ScriptedServer([*steps, Drain()]) as server, pytest.raises(MaildropTlsError, match="tampering"):
        opened(mailbox(server.port, tls=Tls.STARTTLS))
    assert server.received == [b"CAPA", b"STLS"]


# --- listing -----------------------------------------------------------------------------------------------------


def test_the_listing_is_asked_for_in_one_go_where_pipelining_is_announced() -> None:
    steps = [Expect("UIDL"), Expect("LIST"), Send(b"+OK\r\n1 a\r\n.\r\n+OK\r\n1 5\r\n.\r\n")]
    with session(steps, "PIPELINING") as (drop, server):
        assert drop.listing() == [Listed(1, b"a", 5)]
    assert server.stopped_at is None
    assert server.ahead == 1


def test_without_pipelining_one_command_is_outstanding() -> None:
    """Case 29."""
    steps = [Expect("UIDL"), Send(b"+OK\r\n1 a\r\n.\r\n"), Expect("LIST"), Send(b"+OK\r\n1 5\r\n.\r\n")]
    for number in (1, 2):
        steps += [Expect(f"RETR {number}"), Send(b"+OK\r\nx\r\n.\r\n")]
    with session(steps) as (drop, server):
        assert drop.listing() == [Listed(1, b"a", 5)]
        assert len(list(drop.fetch(rows(3, 3), Spools()))) == 2
    assert server.stopped_at is None
    assert server.ahead == 0


def test_a_server_without_uidl_is_named_as_such() -> None:
    with (
        session([Expect("UIDL"), Send(b"-ERR unknown command\r\n"), Drain()]) as (drop, _),
        pytest.raises(MaildropRefusedError, match="UIDL"),
    ):
        drop.listing()


def test_a_listing_over_the_mailboxs_limit_is_refused() -> None:
    """Case 18."""
    listing = b"".join(b"%d u%d\r\n" % (number, number) for number in range(1, 50))
    steps = [Expect("UIDL"), Send(b"+OK\r\n" + listing), Drain()]
    with (
        session(steps, limits=Limits(listed_messages=10)) as (drop, _),
        pytest.raises(MaildropProtocolError, match="10 rows"),
    ):
        drop.listing()


# --- fetching ----------------------------------------------------------------------------------------------------


def test_one_refused_message_does_not_touch_the_others() -> None:
    """Case 27."""
    steps = [Expect("RETR 1"), Expect("RETR 2"), Expect("RETR 3")]
    answers = Send(b"+OK\r\na\r\n.\r\n-ERR gone\r\n+OK\r\n..c\r\n.\r\n")
    with session([*steps, answers], "PIPELINING") as (drop, _):
        outcomes = list(drop.fetch(rows(3, 3, 3), Spools()))
    assert [type(outcome) for outcome in outcomes] == [Fetched, NotFetched, Fetched]
    assert [outcome.listed.number for outcome in outcomes] == [1, 2, 3]
    assert [outcome.spool.getvalue() for outcome in outcomes if isinstance(outcome, Fetched)] == [b"a\r\n", b".c\r\n"]


@pytest.mark.parametrize("end", [Close(), Reset()])
def test_what_was_complete_before_a_disconnect_is_kept(end: Step) -> None:
    """Case 8, 28: and the spool of what was not is closed, never handed out."""
    spools = Spools()
    steps = [Expect("RETR 1"), Expect("RETR 2"), Send(b"+OK\r\na\r\n.\r\n"), Send(b"+OK\r\nb\r\n.\r"), end]
    with session(steps, "PIPELINING") as (drop, _):
        fetched = drop.fetch(rows(3, 3), spools)
        first = next(fetched)
        assert isinstance(first, Fetched)
        assert first.spool.getvalue() == b"a\r\n"
        with pytest.raises(MaildropConnectError):
            next(fetched)
    assert [spool.closed for spool in spools.made[1:]] in ([True], [])
    assert not spools.made[0].closed


def test_a_farewell_is_not_taken_for_the_answer_to_the_next_command() -> None:
    """Case 13."""
    with ScriptedServer([*login()[:-1], Send(b"+OK\r\n-ERR [SYS/TEMP] shutting down\r\n"), Drain()]) as server:
        drop = opened(mailbox(server.port))
        with pytest.raises(MaildropConnectError, match="shutting down"):
            drop.listing()
        drop.close()
    assert server.received[-1] == b"PASS secret"


@pytest.mark.parametrize("size", [5, None, 10_000])
def test_a_message_without_end_is_given_up_at_the_limit(size: int | None) -> None:
    """Case 15."""
    endless = [Expect("RETR"), Send(b"+OK\r\n"), *[Send(b"x" * 65536)] * 64, Stall()]
    spools = Spools()
    with (
        session(endless, limits=Limits(message_bytes=100_000)) as (drop, _),
        pytest.raises(MessageTooLargeError) as raised,
    ):
        list(drop.fetch(rows(size), spools))
    assert raised.value.listed == rows(size)[0]
    assert spools.made[0].closed


def test_a_message_listed_above_the_limit_and_asked_for_all_the_same_may_be_as_long_as_listed() -> None:
    """Case 25: and some more, for listed sizes are never quite right."""
    steps = [Expect("RETR"), Send(b"+OK\r\n" + b"x" * 200_000 + b"\r\n.\r\n")]
    with session(steps, limits=Limits(message_bytes=100_000)) as (drop, _):
        (one,) = drop.fetch(rows(199_000), Spools())
    assert isinstance(one, Fetched)
    assert one.octets == 200_002


def test_a_listed_size_that_lies_is_forgiven() -> None:
    """Case 25."""
    steps = [Expect("RETR"), Send(b"+OK\r\n" + b"x" * 98 + b"\r\n.\r\n"), Expect("RETR"), Send(b"+OK\r\n.\r\n")]
    with session(steps) as (drop, _):
        outcomes = list(drop.fetch(rows(50, 10**6), Spools()))
    assert [outcome.octets for outcome in outcomes if isinstance(outcome, Fetched)] == [100, 0]


def test_silence_inside_a_message_meets_the_idle_deadline() -> None:
    with (
        session([Expect("RETR"), Send(b"+OK\r\nabc"), Stall()], deadlines=Deadlines(idle=SHORT)) as (drop, _),
        pytest.raises(MaildropTimeoutError, match="silent"),
    ):
        list(drop.fetch(rows(9), Spools()))


@pytest.mark.parametrize("pause", [0.01, 0.0])
def test_a_message_that_trickles_on_meets_the_deadline_of_the_poll(pause: float) -> None:
    """Case 16: with pauses and without, when there is always something to read."""
    steps = [Expect("RETR"), Send(b"+OK\r\n"), Trickle(b"x" * 200_000, pause=pause)]
    with (
        session(steps, deadlines=Deadlines(poll=0.6, idle=5)) as (drop, _),
        pytest.raises(MaildropTimeoutError, match="poll as a whole"),
    ):
        list(drop.fetch(rows(9), Spools()))


def test_a_server_that_stops_reading_until_it_is_read_cannot_lock_us_up() -> None:
    """Case 31: it answers the first command with more than the sockets hold, before it reads the others."""
    large = b"x" * 2**22 + b"\r\n"
    steps: list[Step] = [Expect("RETR 1")]
    steps += [Send(b"+OK\r\n" + large + b".\r\n")] * 8
    steps += [Expect(f"RETR {number}") for number in range(2, 9)]
    with session(steps, "PIPELINING") as (drop, server):
        sizes = [
            len(one.spool.getvalue()) for one in drop.fetch(rows(*[9] * 8), Spools()) if isinstance(one, Fetched)
        ]
    assert sizes == [len(large)] * 8
    assert server.stopped_at is None


def test_what_does_not_fit_into_the_socket_is_written_while_answers_are_read() -> None:
    """Case 31: each side has more to say than the sockets hold, and the other speaks first."""
    ours, theirs = socket.socketpair()
    question, answer = 2**24, 2**20

    def speak_then_listen() -> None:
        theirs.sendall(b"y" * answer)
        left = question
        while left:
            left -= len(theirs.recv(65536))
        theirs.sendall(b"end")

    peer = threading.Thread(target=speak_then_listen, daemon=True)
    with ours, theirs:
        peer.start()
        connection = Connection(ours, time.monotonic)
        connection.send(b"x" * question)
        deadline = Deadline(time.monotonic() + 5, "locked up")
        said = b""
        while not said.endswith(b"end"):
            said += connection.receive(deadline)
        peer.join()
    assert len(said) == answer + len(b"end")


def test_the_window_is_not_refilled_while_the_caller_does_nothing() -> None:
    """Case 32: a hundred commands are sent and no more, until the caller has taken a quarter of the answers."""
    body = b"+OK\r\nx\r\n.\r\n"
    steps = [*[Expect("RETR")] * 100, Send(body * 100), *[Expect("RETR")] * 25, Send(body * 25)]
    with session(steps, "PIPELINING") as (drop, server):
        fetched = drop.fetch(rows(*[3] * 125), Spools())
        for _ in range(25):
            next(fetched)
        assert drop._dialogue._protocol.outstanding == 75
        assert len(list(fetched)) == 100
    assert server.stopped_at is None


def test_top_gives_the_header_and_nothing_where_it_is_refused() -> None:
    steps = [Expect("TOP 1 0"), Send(b"+OK\r\nA: b\r\n..c: d\r\n\r\n.\r\n"), Expect("TOP 2 0"), Send(b"-ERR\r\n")]
    with session(steps) as (drop, _):
        assert drop.top(rows(1)[0]) == b"A: b\r\n.c: d\r\n\r\n"
        assert drop.top(rows(1, 1)[1]) == b""


def test_of_a_header_without_end_no_more_than_a_mebibyte_is_kept() -> None:
    steps = [Expect("TOP"), Send(b"+OK\r\n" + b"x" * 3 * 2**20 + b"\r\n.\r\n")]
    with session(steps) as (drop, _):
        assert drop.top(rows(1)[0]) == b"x" * 2**20


# --- the end -----------------------------------------------------------------------------------------------------


def test_only_accepted_deletions_are_counted() -> None:
    steps = [
        Expect("DELE 1"),
        Send(b"+OK\r\n"),
        Expect("DELE 2"),
        Send(b"-ERR\r\n"),
        Expect("QUIT"),
        Send(b"+OK\r\n"),
    ]
    with session(steps) as (drop, _):
        assert drop.delete(rows(1, 1)) == 1
        assert drop.quit()


@pytest.mark.parametrize("answer", [Close(), Reset(), Send(b"-ERR\r\n+OK\r\n"), Send(b"what\r\n"), Stall()])
def test_quit_without_ok_is_in_doubt(answer: Step) -> None:
    """Case 17, 43, 45."""
    with session([Expect("QUIT"), answer], deadlines=Deadlines(quit=SHORT)) as (drop, _):
        assert not drop.quit()


def test_a_session_left_in_the_middle_of_a_fetch_ends_without_quit() -> None:
    """Case 46."""
    steps = [Expect("RETR 1"), Expect("RETR 2"), Send(b"+OK\r\na\r\n.\r\n+OK\r\nb\r\n.\r\n"), Drain()]
    with session(steps, "PIPELINING") as (drop, server):
        fetched = drop.fetch(rows(3, 3), Spools())
        next(fetched)
        assert not drop.quit()
    assert server.received[-1] == b"RETR 2"


def test_close_may_be_called_at_any_time_and_again_and_never_quits() -> None:
    with session([Drain()]) as (drop, server):
        drop.close()
        drop.close()
    assert server.received[-1] == b"PASS secret"
