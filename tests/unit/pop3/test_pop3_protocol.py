"""The protocol core, as pure bytes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import MaildropConnectError, MaildropOutOfStepError, MaildropProtocolError, MaildropTlsError
from ingest.pop3 import commands
from ingest.pop3.commands import Command
from ingest.pop3.events import Data, End, Event, Farewell, Greeting, Reply, Rows
from ingest.pop3.protocol import Pop3Protocol, WireLimits
from ingest.pop3.states import TRANSITIONS, State, Verb
from tests.support.replayed_pop3 import events_of

USER, PASS = Command(Verb.USER, b"u"), Command(Verb.PASS, b"p")


def logged_in(limits: WireLimits | None = None) -> Pop3Protocol:
    core = Pop3Protocol(limits)
    events_of(core, b"+OK hello\r\n")
    core.send(USER)
    core.send(PASS)
    events_of(core, b"+OK\r\n+OK\r\n")
    return core


def message(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Data))


def retrieved(*chunks: bytes) -> list[Event]:
    """What becomes of an answer to RETR; the status line is put before it."""
    core = logged_in()
    core.send(commands.retr(1))
    return events_of(core, b"+OK\r\n", *chunks)


def stuffed(body: bytes) -> bytes:
    """As a correct server sends it."""
    return (b"\r\n" + body).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


NASTY = b"..\r\n.\n.\r\r.\n\n.\n\r\n..x\r\n\r\n.\r\r\n\x00\xff\r.\r\n...\r\n.y\r\n"


def test_stuffed_dots_are_removed() -> None:
    events = retrieved(b"a\r\n..x\r\n...\r\n.\r\n")
    assert message(events) == b"a\r\n.x\r\n..\r\n"
    assert events[-1] == End(unstuffed=False)


def test_dot_that_was_not_stuffed_is_lost_and_flagged() -> None:
    events = retrieved(b"a\r\n.x\r\n..y\r\n.\r\n")
    assert message(events) == b"a\r\nx\r\n.y\r\n"
    assert events[-1] == End(unstuffed=True)


@pytest.mark.parametrize("inside", [b"\n.\n", b"\r.\n", b"\n.\r\n", b"\n..\n", b"\r.\r", b"\0.\0"])
def test_only_crlf_begins_a_line(inside: bytes) -> None:
    """Dots after anything else are data, and are left alone."""
    events = retrieved(b"a" + inside + b"b\r\n.\r\n")
    assert message(events) == b"a" + inside + b"b\r\n"
    assert events[-1] == End(unstuffed=False)


def test_split_anywhere_the_bytes_are_the_same() -> None:
    wire = stuffed(NASTY)
    for at in range(len(wire) + 1):
        events = retrieved(wire[:at], wire[at:])
        assert message(events) == NASTY
        assert events[-1] == End(unstuffed=False)


def test_byte_for_byte_the_bytes_are_the_same() -> None:
    events = retrieved(*(bytes([byte]) for byte in stuffed(NASTY)))
    assert message(events) == NASTY


@given(
    lines=st.lists(st.text("\r\n.a\0\xff", max_size=12), max_size=12),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_any_message_in_any_pieces_comes_through_exactly(lines: list[str], cuts: list[int]) -> None:
    """What a correct server sends is what we hand out; two messages in a row stay apart."""
    body = b"".join(line.encode("latin-1") + b"\r\n" for line in lines)
    core = logged_in()
    for number in (1, 2):
        core.send(commands.retr(number))
    wire = (b"+OK\r\n" + stuffed(body)) * 2
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    events = events_of(core, *(wire[low:high] for low, high in pairwise(edges)))
    assert message(events) == body * 2
    assert [type(event) for event in events if not isinstance(event, Data)] == [Reply, End, Reply, End]
    assert core.outstanding == 0


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_noise_gives_only_events_or_a_protocol_error(chunks: list[bytes]) -> None:
    core = logged_in()
    for command in (commands.retr(1), commands.UIDL, commands.dele(2), commands.QUIT):
        core.send(command)
    try:
        events_of(core, b"+", *chunks)
    except MaildropProtocolError:
        return
    assert core.outstanding >= 0


def test_empty_body_is_accepted() -> None:
    events = retrieved(b".\r\n")
    assert [type(event) for event in events] == [Reply, End]


def test_line_of_10_mb_is_passed_on_as_it_comes() -> None:
    """Nothing is kept but what may begin the end."""
    core = logged_in()
    core.send(commands.retr(1))
    events_of(core, b"+OK\r\n")
    chunk = b"x" * 65536
    for _ in range(160):
        assert sum(len(event.data) for event in events_of(core, chunk) if isinstance(event, Data)) == len(chunk)
    assert isinstance(events_of(core, b"\r\n.\r\n")[-1], End)


@pytest.mark.parametrize("broken", [b"", b"+O", b"+OK\r\n", b"+OK\r\nabc\r\n", b"+OK\r\na\r\n.", b"+OK\r\na\r\n.\r"])
def test_end_of_the_stream_inside_an_answer_leaves_it_incomplete(broken: bytes) -> None:
    core = logged_in()
    core.send(commands.retr(1))
    assert not any(isinstance(event, End) for event in events_of(core, broken))
    with pytest.raises(MaildropConnectError):
        core.end_of_stream()


def test_second_end_is_out_of_step() -> None:
    """And what was complete before it is handed out first."""
    core = logged_in()
    core.send(commands.retr(1))
    core.receive(b"+OK\r\na\r\n.\r\n.\r\n")
    assert [type(core.next_event()) for _ in range(3)] == [Reply, Data, End]
    with pytest.raises(MaildropProtocolError):
        core.next_event()


@pytest.mark.parametrize("ended", [True, False])
def test_status_line_over_4_kib_is_refused(ended: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Whether its end has come or not."""
    core = logged_in()
    core.send(commands.dele(1))
    core.receive(b"+OK " + b"x" * (4093 if ended else 4094) + b"\r\n" * ended)
    with pytest.raises(MaildropProtocolError):
        core.next_event()


def test_status_line_of_4_kib_is_accepted_in_any_pieces() -> None:
    line = b"+OK " + b"x" * 4092 + b"\r\n"
    for at in (1, 4095, 4096, 4097, 4098):
        core = logged_in()
        core.send(commands.dele(1))
        assert len(events_of(core, line[:at], line[at:])) == 1


@pytest.mark.parametrize("line", [b"+", b"+OKAY", b"+nonsense", b"-err", b"OK", b"\xff", b"* BYE"])
def test_what_is_neither_ok_nor_err_is_refused(line: bytes) -> None:
    core = logged_in()
    core.send(commands.dele(1))
    core.receive(line + b"\r\n")
    with pytest.raises(MaildropProtocolError):
        core.next_event()


def test_lines_that_end_with_lf_alone_are_refused_at_once() -> None:
    core = Pop3Protocol()
    core.receive(b"+OK hello\n")
    with pytest.raises(MaildropProtocolError, match="CRLF"):
        core.next_event()


def test_err_without_a_command_is_a_farewell() -> None:
    core = logged_in()
    events = events_of(core, b"-E", b"RR [SYS/TEMP] shutting down\r\n")
    assert len(events) == 1
    assert isinstance(events[0], Farewell)
    assert events[0].status.code == "SYS/TEMP"
    assert core.state is State.CLOSED


@pytest.mark.parametrize("cuts", [(), (1,), (2,), (3,), (1, 2, 3, 4)])
def test_blank_line_before_an_answer_is_skipped(cuts: tuple[int, ...]) -> None:
    """Exchange Online sends one before the answer to DELE."""
    wire = b"\r\n+OK\r\n"
    core = logged_in()
    core.send(commands.dele(1))
    bounds = [0, *cuts, len(wire)]
    events = events_of(core, *(wire[a:b] for a, b in pairwise(bounds)))
    assert [event.ok for event in events if isinstance(event, Reply)] == [True]


def test_blank_line_that_arrives_before_the_command_is_skipped() -> None:
    core = logged_in()
    assert events_of(core, b"\r", b"\n") == []
    core.send(commands.dele(1))
    assert [type(event) for event in events_of(core, b"+OK\r\n")] == [Reply]


@pytest.mark.parametrize("ahead", [True, False])
def test_further_lines_of_a_refusal_are_skipped(*, ahead: bool) -> None:
    core = logged_in()
    core.send(commands.retr(1))
    if ahead:
        core.send(commands.dele(2))
    events = events_of(core, b"-ERR no such message\r\n", b"It may have ", b"been deleted.\r\n.\r\n")
    if not ahead:
        core.send(commands.dele(2))
    events += events_of(core, b"+OK\r\n")
    assert [event.ok for event in events if isinstance(event, Reply)] == [False, True]


def test_stray_lines_are_limited() -> None:
    core = logged_in()
    core.send(commands.dele(1))
    with pytest.raises(MaildropOutOfStepError):
        events_of(core, b"\r\n" * 17)


def test_stray_line_after_success_is_out_of_step() -> None:
    core = logged_in()
    core.send(commands.dele(1))
    with pytest.raises(MaildropOutOfStepError):
        events_of(core, b"+OK\r\nmore\r\n")


@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize(
    ("rest", "in_step"),
    [
        (b"", True),
        (b"-ERR idle", True),
        (b"\r\n", True),
        (b"Regards,\r\n", False),
        (b"\r\n\r\nRegards,\r\n", False),
        (b".\r\n", False),
        (b">From me", False),
    ],
)
def test_rest_of_a_message_whose_dots_were_not_doubled_breaks_the_step(
    rest: bytes, *, in_step: bool, ahead: bool
) -> None:
    """Such a message ends for us at a line that is a lone dot."""
    core = logged_in()
    core.send(commands.retr(1))
    if ahead:
        core.send(commands.retr(2))
    core.receive(b"+OK\r\nHello\r\n.\r\n" + rest)
    assert [type(core.next_event()) for _ in range(3)] == [Reply, Data, End]
    assert core.in_step is in_step


def test_answer_to_the_next_command_keeps_the_step() -> None:
    core = logged_in()
    core.send(commands.retr(1))
    core.send(commands.retr(2))
    core.receive(b"+OK\r\nHello\r\n.\r\n+OK\r\n")
    assert [type(core.next_event()) for _ in range(3)] == [Reply, Data, End]
    assert core.in_step


def test_ok_without_a_command_is_out_of_step() -> None:
    core = logged_in()
    core.receive(b"+")
    with pytest.raises(MaildropProtocolError):
        core.next_event()


@pytest.mark.parametrize("command", [commands.CAPA, commands.UIDL, commands.LIST])
def test_endless_row_in_a_listing_is_refused(command: commands.Command) -> None:
    core = logged_in()
    core.send(command)
    events_of(core, b"+OK\r\n", b"x" * 512)
    core.receive(b"x")
    with pytest.raises(MaildropProtocolError, match="512"):
        core.next_event()


def test_unique_id_of_255_bytes_is_accepted() -> None:
    core = logged_in()
    core.send(commands.UIDL)
    row = b"1 " + b"u" * 255
    assert events_of(core, b"+OK\r\n" + row + b"\r\n.\r\n")[1] == Rows([row])


def test_more_rows_than_the_limit_are_refused() -> None:
    core = logged_in(WireLimits(listing_rows=3))
    core.send(commands.LIST)
    events_of(core, b"+OK\r\n1 1\r\n2 2\r\n3 3\r\n")
    core.receive(b"4 4\r\n5")
    with pytest.raises(MaildropProtocolError, match="3 rows"):
        core.next_event()


@given(st.lists(st.integers(0, 60), max_size=6))
def test_rows_come_whole_however_they_are_cut(cuts: list[int]) -> None:
    core = logged_in()
    core.send(commands.UIDL)
    wire = b"+OK 3 rows\r\n1 a b\r\n2 \xff\r\n3 ..c\r\n.\r\n"
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    events = events_of(core, *(wire[low:high] for low, high in pairwise(edges)))
    assert [row for event in events if isinstance(event, Rows) for row in event.rows] == [
        b"1 a b",
        b"2 \xff",
        b"3 ..c",
    ]


def test_answers_stay_matched_to_commands_when_one_is_refused() -> None:
    core = logged_in()
    for number in (1, 2, 3):
        core.send(commands.retr(number))
    core.send(commands.dele(9))
    events = events_of(core, b"+OK\r\na\r\n.\r\n-ERR gone\r\n+OK\r\nc\r\n.\r\n+OK\r\n")
    replies = [(event.command.argument, event.ok) for event in events if isinstance(event, Reply)]
    assert replies == [(b"1", True), (b"2", False), (b"3", True), (b"9", True)]
    assert message(events) == b"a\r\nc\r\n"


def test_plain_text_after_the_answer_to_stls_is_fatal() -> None:
    core = Pop3Protocol()
    events_of(core, b"+OK\r\n")
    core.send(commands.STLS)
    events_of(core, b"+OK begin\r\n+OK\r\n")
    with pytest.raises(MaildropTlsError):
        core.begin_tls()


def test_nothing_is_sent_between_stls_and_tls() -> None:
    core = Pop3Protocol()
    events_of(core, b"+OK\r\n")
    core.send(commands.STLS)
    with pytest.raises(RuntimeError):
        core.send(USER)
    events_of(core, b"+OK\r\n")
    with pytest.raises(RuntimeError):
        core.send(USER)
    core.begin_tls()
    assert core.send(USER) == b"USER u\r\n"


def test_after_a_refused_stls_the_session_goes_on_in_plain_text() -> None:
    """Whether it should is for the caller to say."""
    core = Pop3Protocol()
    events_of(core, b"+OK\r\n")
    core.send(commands.STLS)
    events_of(core, b"-ERR\r\n")
    assert core.state is State.AUTHORIZATION
    assert core.send(USER)


def test_tls_record_in_place_of_the_greeting_is_recognised() -> None:
    core = Pop3Protocol()
    core.receive(b"\x15\x03\x01\x00\x02\x02\x46")
    with pytest.raises(MaildropTlsError, match="implicit"):
        core.next_event()


def test_nothing_may_be_sent_before_the_greeting() -> None:
    with pytest.raises(RuntimeError):
        Pop3Protocol().send(commands.CAPA)


def test_greeting_of_err_ends_the_session() -> None:
    core = Pop3Protocol()
    (event,) = events_of(core, b"-ERR [IN-USE] busy\r\n")
    assert isinstance(event, Greeting)
    assert event.status.code == "IN-USE"
    assert core.state is State.CLOSED


def test_commands_may_be_sent_ahead_of_a_login_that_fails() -> None:
    core = Pop3Protocol()
    events_of(core, b"+OK\r\n")
    for command in (USER, PASS, commands.UIDL):
        core.send(command)
    events_of(core, b"+OK\r\n-ERR no\r\n-ERR not now\r\n")
    assert core.state is State.AUTHORIZATION
    with pytest.raises(RuntimeError):
        core.send(commands.UIDL)
    assert core.send(USER)


def test_first_answer_to_quit_counts() -> None:
    """That of qmail-pop3d, which says both."""
    core = logged_in()
    core.send(commands.QUIT)
    (event,) = events_of(core, b"-ERR unable to unlink\r\n+OK\r\n")
    assert isinstance(event, Reply)
    assert not event.ok
    assert core.state is State.CLOSED


def test_only_quit_in_transaction_leads_to_update() -> None:
    """The table's one way to deletion (RFC 1939 section 6)."""
    ways = [pair for pair, (ok, _) in TRANSITIONS.items() if ok is State.UPDATE]
    assert ways == [(State.TRANSACTION, "QUIT")]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"[in-use] x", "IN-USE"),
        (b"[SYS/TEMP] x", "SYS/TEMP"),
        (b"x [AUTH]", ""),
        (b"[two words] x", ""),
        (b"[", ""),
        (b"", ""),
    ],
)
def test_response_codes_are_read_in_any_case_and_only_at_the_beginning(text: bytes, code: str) -> None:
    core = logged_in()
    core.send(commands.dele(1))
    (event,) = events_of(core, b"-ERR " + text + b"\r\n")
    assert isinstance(event, Reply)
    assert event.status.code == code


def test_server_text_is_made_safe_to_print() -> None:
    core = logged_in()
    core.send(commands.dele(1))
    (event,) = events_of(core, b"-ERR a\x1b[31m\r\xff" + b"x" * 1000 + b"\r\n")
    assert isinstance(event, Reply)
    assert event.status.text.isprintable()
    assert len(event.status.text) <= 200


@pytest.mark.parametrize("chunk", [b"x" * 65_536, b"\r\n" * 32_768, b"1 1\r\n" * 13_107, b"\r\n.x" * 16_384])
@pytest.mark.parametrize("command", [commands.STAT, commands.LIST, commands.CAPA, commands.retr(1)])
def test_memory_is_bounded_however_much_a_server_sends(command: Command, chunk: bytes) -> None:
    """A limit ends it, or it is handed out as it comes."""
    core = logged_in()
    core.send(command)
    given = [b"+OK\r\n"] if command is not commands.STAT else []
    try:
        for data in [*given, *[chunk] * 40]:
            events_of(core, data)
            assert len(core._buffer) - core._at <= 4096
    except MaildropProtocolError:
        assert command.verb is not Verb.RETR
