"""The POP3 client against a server that behaves: listing, fetching, deleting, leaving."""

from __future__ import annotations

import io
import socket
import threading
import time
from contextlib import closing

import pytest

from ingest.domain.mailbox import Deadlines, Limits
from ingest.errors import (
    MaildropConnectError,
    MaildropError,
    MaildropOutOfStepError,
    MaildropProtocolError,
    MaildropRefusedError,
    MaildropTemporaryError,
    MaildropThrottledError,
    MaildropTimeoutError,
    MessageTooLargeError,
)
from ingest.pop3.connection import Connection
from ingest.pop3.deadlines import Deadline
from ingest.ports.maildrop import Fetched, Listed, Listing, NotFetched
from tests.support.scripted_pop3 import (
    LATER,
    SHORT,
    Close,
    Drain,
    Expect,
    Reset,
    ScriptedServer,
    Send,
    Spools,
    Stall,
    Step,
    Trickle,
    announced,
    login,
    mailbox,
    opened,
    rows,
    session,
)
from tests.support.waiting import PATIENCE

# --- listing -----------------------------------------------------------------------------------------------------


STAT, UIDL, LIST = Expect("STAT"), Expect("UIDL"), Expect("LIST")


def test_listing_is_pipelined_if_announced() -> None:
    """Behind the login the first time, by itself when it is wanted again."""
    steps = [STAT, UIDL, LIST, Send(b"+OK 1 5\r\n+OK\r\n1 a\r\n.\r\n+OK\r\n1 5\r\n.\r\n")]
    with session(steps, "PIPELINING") as (drop, server):
        assert drop.listing().rows == []
        assert drop.listing().rows == [Listed(1, b"a", 5)]
    assert server.stopped_at is None
    assert server.ahead == 5


def test_without_pipelining_only_one_command_is_outstanding() -> None:
    steps = [STAT, Send(b"+OK 1 5\r\n"), UIDL, Send(b"+OK\r\n1 a\r\n.\r\n"), LIST, Send(b"+OK\r\n1 5\r\n.\r\n")]
    for number in (1, 2):
        steps += [Expect(f"RETR {number}"), Send(b"+OK\r\nx\r\n.\r\n")]
    for number in (1, 2):
        steps += [Expect(f"DELE {number}"), Send(b"+OK\r\n")]
    with session(steps) as (drop, server):
        assert drop.listing().rows == [Listed(1, b"a", 5)]
        assert len(list(drop.fetch(rows(3, 3), Spools()))) == 2
        assert len(drop.delete(rows(3, 3))) == 2
    assert server.stopped_at is None
    assert server.ahead == 0


def test_empty_maildrop_is_not_listed_without_pipelining() -> None:
    with session([STAT, Send(b"+OK 0 0\r\n"), Drain()]) as (drop, server):
        assert drop.listing() == Listing([])
    assert server.received[-1] == b"STAT"


def test_server_without_uidl_lists_all_messages() -> None:
    steps = [STAT, Send(b"+OK 1 5\r\n"), UIDL, Send(b"-ERR unknown command\r\n"), LIST, Send(b"+OK\r\n1 5\r\n.\r\n")]
    with session(steps) as (drop, _):
        assert drop.listing() == Listing([Listed(1, None, 5)], unique_ids=False)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(b"-ERR [SYS/TEMP] x\r\n", MaildropTemporaryError), (b"-ERR server busy\r\n", MaildropThrottledError)],
)
def test_temporary_uidl_failure_is_not_missing_uidl(answer: bytes, kind: type[MaildropError]) -> None:
    """Otherwise all mail would be fetched again."""
    steps = [STAT, Send(b"+OK 1 5\r\n"), UIDL, Send(answer), Drain()]
    with session(steps) as (drop, _), pytest.raises(kind):
        drop.listing()


def test_a_server_that_refuses_list_cannot_be_polled() -> None:
    steps = [STAT, Send(b"+OK 1 5\r\n"), UIDL, Send(b"+OK\r\n1 a\r\n.\r\n"), LIST, Send(b"-ERR no\r\n"), Drain()]
    with session(steps) as (drop, _), pytest.raises(MaildropRefusedError, match="LIST"):
        drop.listing()


def test_rejected_listings_of_an_empty_maildrop_are_ignored() -> None:
    steps = [STAT, UIDL, LIST, Send(b"+OK 0 0\r\n-ERR no messages\r\n-ERR no messages\r\n")]
    with session(steps, "PIPELINING") as (drop, _):
        drop.listing()
        assert drop.listing() == Listing([])


def test_a_refused_or_senseless_stat_leaves_uidl_and_list() -> None:
    for answer in (b"-ERR what?\r\n", b"+OK -1 x\r\n", b"+OK\r\n"):
        steps = [STAT, Send(answer), UIDL, Send(b"+OK\r\n1 a\r\n.\r\n"), LIST, Send(b"+OK\r\n1 5\r\n.\r\n")]
        with session(steps) as (drop, _):
            assert drop.listing() == Listing([Listed(1, b"a", 5)])


def test_a_listing_over_the_mailboxs_limit_is_refused() -> None:
    listing = b"".join(b"%d u%d\r\n" % (number, number) for number in range(1, 50))
    steps = [STAT, Send(b"+OK 50 1\r\n"), UIDL, Send(b"+OK\r\n" + listing), Drain()]
    with (
        session(steps, limits=Limits(listed_messages=10)) as (drop, _),
        pytest.raises(MaildropProtocolError, match="10 rows"),
    ):
        drop.listing()


# --- fetching ----------------------------------------------------------------------------------------------------


def test_one_refused_message_does_not_touch_the_others() -> None:
    steps = [Expect("RETR 1"), Expect("RETR 2"), Expect("RETR 3")]
    answers = Send(b"+OK\r\na\r\n.\r\n-ERR gone\r\n+OK\r\n..c\r\n.\r\n")
    with session([*steps, answers], "PIPELINING") as (drop, _):
        outcomes = list(drop.fetch(rows(3, 3, 3), Spools()))
    assert [type(outcome) for outcome in outcomes] == [Fetched, NotFetched, Fetched]
    assert [outcome.listed.number for outcome in outcomes] == [1, 2, 3]
    assert [outcome.spool.getvalue() for outcome in outcomes if isinstance(outcome, Fetched)] == [b"a\r\n", b".c\r\n"]


@pytest.mark.parametrize("end", [Close(), Reset()])
def test_what_was_complete_before_a_disconnect_is_kept(end: Step) -> None:
    """And the spool of what was not is closed, never handed out."""
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


def test_closing_message_is_not_the_answer_to_the_next_command() -> None:
    with ScriptedServer([*login()[:-1], Send(b"+OK\r\n.\r\n-ERR [SYS/TEMP] shutting down\r\n"), Drain()]) as server:
        drop = opened(mailbox(server.port))
        with pytest.raises(MaildropConnectError, match="shutting down"):
            drop.listing()
        drop.close()
    assert server.received[-1] == b"CAPA"


@pytest.mark.parametrize("size", [5, None, 10_000])
def test_endless_message_is_abandoned_at_the_limit(size: int | None) -> None:
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
    """And some more, for listed sizes are never quite right."""
    steps = [Expect("RETR"), Send(b"+OK\r\n" + b"x" * 200_000 + b"\r\n.\r\n")]
    with session(steps, limits=Limits(message_bytes=100_000)) as (drop, _):
        (one,) = drop.fetch(rows(199_000), Spools())
    assert isinstance(one, Fetched)
    assert one.size == 200_002


def test_wrong_listed_size_is_tolerated() -> None:
    steps = [Expect("RETR"), Send(b"+OK\r\n" + b"x" * 98 + b"\r\n.\r\n"), Expect("RETR"), Send(b"+OK\r\n.\r\n")]
    with session(steps) as (drop, _):
        outcomes = list(drop.fetch(rows(50, 10**6), Spools()))
    assert [outcome.size for outcome in outcomes if isinstance(outcome, Fetched)] == [100, 0]


def test_silence_inside_a_message_meets_the_idle_deadline() -> None:
    with (
        session([Expect("RETR"), Send(b"+OK\r\nabc"), Stall()], deadlines=Deadlines(idle=SHORT)) as (drop, _),
        pytest.raises(MaildropTimeoutError, match="silent"),
    ):
        list(drop.fetch(rows(9), Spools()))


@pytest.mark.parametrize("pause", [0.01, 0.0])
def test_a_message_that_trickles_on_meets_the_deadline_of_the_poll(pause: float) -> None:
    """With pauses and without, when there is always something to read."""
    steps = [Expect("RETR"), Send(b"+OK\r\n"), Trickle(b"x" * 500_000, pause=pause)]
    with (
        session(steps, deadlines=Deadlines(poll=LATER, idle=PATIENCE)) as (drop, _),
        pytest.raises(MaildropTimeoutError, match="poll as a whole"),
    ):
        list(drop.fetch(rows(9), Spools()))


def test_server_that_reads_only_after_we_read_causes_no_deadlock() -> None:
    """It answers the first command with more than the sockets hold, before it reads the others."""
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
    """Each side has more to say than the sockets hold, and the other speaks first."""
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
        deadline = Deadline(time.monotonic() + PATIENCE, "locked up")
        said = b""
        while not said.endswith(b"end"):
            said += connection.receive(deadline)
        peer.join()
    assert len(said) == answer + len(b"end")


def test_the_window_is_not_refilled_while_the_caller_does_nothing() -> None:
    """A hundred commands are sent and no more, until the caller has taken a quarter of the answers."""
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


def test_headers_of_many_messages_are_pipelined_if_announced() -> None:
    """Where unique-ids are message numbers, each poll asks for all: one at a time takes longer than a poll may."""
    asked = [Expect(f"TOP {number} 0") for number in (1, 2, 3)]
    answers = [Send(b"+OK\r\nA: b\r\n\r\n.\r\n"), Send(b"-ERR\r\n"), Send(b"+OK\r\nC: d\r\n\r\n.\r\n")]
    with session([*asked, *answers, Expect("QUIT")], "PIPELINING") as (drop, server):
        assert list(drop.tops(rows(1, 1, 1))) == [b"A: b\r\n\r\n", b"", b"C: d\r\n\r\n"]
        assert drop.quit()
    assert server.stopped_at is None
    in_turn = [step for pair in zip(asked, answers, strict=True) for step in pair]
    with session(in_turn) as (drop, server):
        assert list(drop.tops(rows(1, 1, 1))) == [b"A: b\r\n\r\n", b"", b"C: d\r\n\r\n"]
    assert server.ahead == 0


def test_at_most_a_mebibyte_of_an_endless_header_is_kept() -> None:
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
        assert len(drop.delete(rows(1, 1))) == 1
        assert drop.quit()


MARKED = [Expect("DELE"), Send(b"+OK\r\n")]


@pytest.mark.parametrize("answer", [Close(), Reset(), Send(b"-ERR\r\n+OK\r\n"), Send(b"what\r\n"), Stall()])
def test_quit_without_ok_is_in_doubt(answer: Step) -> None:
    with session([*MARKED, Expect("QUIT"), answer], deadlines=Deadlines(quit=SHORT)) as (drop, _):
        assert len(drop.delete(rows(1))) == 1
        assert not drop.quit()


@pytest.mark.parametrize("capabilities", [(), ("PIPELINING",)])
def test_quit_without_deletions_is_not_waited_for(capabilities: tuple[str, ...]) -> None:
    """Its answer decides nothing. The server reads it, and the end of the stream behind it in good order."""
    with session([Expect("QUIT"), Drain()], *capabilities, deadlines=Deadlines(quit=60)) as (drop, server):
        assert drop.quit()
    assert server.received[-1] == b"QUIT"
    assert server.stopped_at is None


def test_answer_to_quit_and_the_end_of_the_session_are_awaited_if_another_session_follows() -> None:
    with session([Expect("QUIT"), Trickle(b"+OK bye\r\n", 0.01), Close()]) as (drop, server):
        assert drop.quit(wait=True)
        assert server.stopped_at is None
    with session([Expect("QUIT"), Stall()], deadlines=Deadlines(quit=SHORT)) as (drop, _):
        assert not drop.quit(wait=True)


def test_where_every_deletion_was_refused_nothing_is_marked() -> None:
    with session([Expect("DELE"), Send(b"-ERR\r\n"), Expect("QUIT"), Drain()]) as (drop, _):
        assert len(drop.delete(rows(1))) == 0
        assert drop.quit()


def test_closing_message_before_quit_leaves_deletions_in_doubt() -> None:
    with session([Expect("DELE"), Send(b"+OK\r\n-ERR idle for too long\r\n"), Drain()]) as (drop, server):
        assert len(drop.delete(rows(1))) == 1
        assert not drop.quit()
    assert server.received[-1] == b"DELE 1"


def test_session_with_unread_answers_ends_without_quit() -> None:
    """The listing was asked for behind the login, and broke off."""
    with (
        ScriptedServer([*login("PIPELINING")[:-1], Send(FLOWN + b"+OK 1"), Drain()]) as server,
        closing(opened(mailbox(server.port, deadlines=Deadlines(reply=LATER)))) as drop,
    ):
        assert not drop.quit()
    assert server.received[-1] == b"LIST"


FLOWN = b"+OK\r\n+OK\r\n" + announced("PIPELINING")


def test_a_session_left_in_the_middle_of_a_fetch_ends_without_quit() -> None:
    steps = [Expect("RETR 1"), Expect("RETR 2"), Send(b"+OK\r\na\r\n.\r\n+OK\r\nb\r\n.\r\n"), Drain()]
    with session(steps, "PIPELINING") as (drop, server):
        fetched = drop.fetch(rows(3, 3), Spools())
        next(fetched)
        assert not drop.quit()
    assert server.received[-1] == b"RETR 2"


@pytest.mark.parametrize("capabilities", [(), ("PIPELINING",)])
def test_close_may_be_called_at_any_time_and_again_and_never_quits(capabilities: tuple[str, ...]) -> None:
    with session([Drain()], *capabilities) as (drop, server):
        drop.close()
        drop.close()
    assert b"QUIT" not in server.received


# --- servers that do not double leading dots ---

CUT = b"+OK\r\nSubject: dots\r\n\r\nThe next line is a lone dot.\r\n.\r\nThis is lost.\r\n.\r\n"


@pytest.mark.parametrize("capabilities", [(), ("PIPELINING",)])
def test_message_followed_by_its_own_rest_is_not_in_step(capabilities: tuple[str, ...]) -> None:
    with session([Expect("RETR"), Send(CUT), Drain()], *capabilities) as (drop, _):
        (message,) = drop.fetch(rows(500), Spools())
        assert isinstance(message, Fetched)
        assert not message.in_step


def test_error_names_the_message_whose_rest_came_later() -> None:
    """What was yielded as whole turns out to be cut when the next answer is due."""
    end = CUT.index(b"\r\n.\r\n") + len(b"\r\n.\r\n")
    steps = [Expect("RETR"), Send(CUT[:end]), Expect("RETR"), Send(CUT[end:]), Drain()]
    with session(steps) as (drop, _):
        wanted = rows(500, 500)
        messages = drop.fetch(wanted, Spools())
        first = next(messages)
        assert isinstance(first, Fetched)
        with pytest.raises(MaildropOutOfStepError) as caught:
            next(messages)
        assert caught.value.row == wanted[0]


@pytest.mark.parametrize(
    ("listed", "size", "short"),
    [(None, 5, False), (7, 5, False), (2000, 1500, False), (900, 450, False), (2000, 900, True), (10_000, 5, True)],
)
def test_message_is_short_if_far_less_came_than_was_listed(*, listed: int | None, size: int, short: bool) -> None:
    assert Fetched(Listed(1, b"u", listed), io.BytesIO(), size).short is short


def test_refusal_in_two_lines_concerns_its_message_only() -> None:
    """Else the next poll, and each after it, would end at the same message."""
    steps = [
        Expect("RETR"),
        Send(b"-ERR no\r\nnot today\r\n"),
        Expect("RETR"),
        Send(b"+OK\r\nHello\r\n.\r\n"),
        Drain(),
    ]
    with session(steps) as (drop, _):
        outcomes = list(drop.fetch(rows(5, 7), Spools()))
        assert [type(outcome) for outcome in outcomes] == [NotFetched, Fetched]


def test_blank_line_before_the_answer_to_dele_is_skipped() -> None:
    steps = [Expect("DELE"), Send(b"\r\n+OK\r\n"), Expect("QUIT"), Send(b"+OK\r\n"), Drain()]
    with session(steps) as (drop, _):
        assert len(drop.delete(rows(5))) == 1
        assert drop.quit()
