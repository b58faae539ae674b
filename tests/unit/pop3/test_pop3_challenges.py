"""AUTH in the protocol core: challenges, and what may be sent around them."""

from __future__ import annotations

import pytest

from ingest.errors import MaildropProtocolError
from ingest.pop3 import commands
from ingest.pop3.commands import Command
from ingest.pop3.events import Challenge, Reply
from ingest.pop3.protocol import Pop3Protocol
from ingest.pop3.states import State, Verb
from tests.support.replayed_pop3 import events_of

AUTH = Command(Verb.AUTH, b"X")


def greeted() -> Pop3Protocol:
    core = Pop3Protocol()
    events_of(core, b"+OK\r\n")
    return core


@pytest.mark.parametrize(("line", "data"), [(b"+ YWJj", b"YWJj"), (b"+ ", b""), (b"+", b""), (b"+ a b", b"a b")])
def test_challenge_is_answered_in_base64(line: bytes, data: bytes) -> None:
    """RFC 5034 section 4, in any pieces; a bare `+` is accepted here."""
    for at in range(len(line) + 2):
        core = greeted()
        core.send(AUTH)
        wire = line + b"\r\n"
        assert events_of(core, wire[:at], wire[at:]) == [Challenge(data)]
        assert core.outstanding == 1
        assert core.respond(b"\0joe\0x") == b"AGpvZQB4\r\n"
        (reply,) = events_of(core, b"+OK\r\n")
        assert isinstance(reply, Reply)
        assert reply.command == AUTH
        assert core.state is State.TRANSACTION


def test_empty_response_is_an_empty_line() -> None:
    core = greeted()
    core.send(AUTH)
    events_of(core, b"+ e30=\r\n")
    assert core.respond(b"") == b"\r\n"
    events_of(core, b"-ERR no\r\n")
    assert core.state is State.AUTHORIZATION


@pytest.mark.parametrize("line", [b"+\r\n", b"+ \r\n", b"+ YWJj\r\n"])
@pytest.mark.parametrize("command", [commands.CAPA, commands.STLS, Command(Verb.PASS, b"x"), commands.QUIT])
def test_challenge_to_a_command_other_than_auth_is_a_protocol_error(command: Command, line: bytes) -> None:
    core = greeted()
    core.send(command)
    core.receive(line)
    with pytest.raises(MaildropProtocolError):
        core.next_event()


@pytest.mark.parametrize("line", [b"+nonsense\r\n", b"+OKAY\r\n", b"*\r\n"])
def test_line_that_is_neither_challenge_nor_answer_is_a_protocol_error(line: bytes) -> None:
    core = greeted()
    core.send(AUTH)
    core.receive(line)
    with pytest.raises(MaildropProtocolError):
        core.next_event()


def test_second_challenge_before_the_first_was_answered_is_out_of_step() -> None:
    core = greeted()
    core.send(AUTH)
    core.receive(b"+ \r\n+ \r\n")
    assert core.next_event() == Challenge(b"")
    with pytest.raises(MaildropProtocolError, match="second"):
        core.next_event()


def test_response_needs_a_challenge() -> None:
    core = greeted()
    for data in (b"", b"+ \r\n"):
        events_of(core, data)
        if not data:
            with pytest.raises(RuntimeError):
                core.respond(b"x")
            core.send(AUTH)
            with pytest.raises(RuntimeError):
                core.respond(b"x")
    core.respond(b"x")
    with pytest.raises(RuntimeError):
        core.respond(b"x")


def test_nothing_is_sent_behind_auth() -> None:
    """It could be taken for the response to a challenge."""
    core = greeted()
    core.send(AUTH)
    with pytest.raises(RuntimeError, match="behind AUTH"):
        core.send(commands.STAT)
    events_of(core, b"+OK\r\n")
    assert core.send(commands.STAT) == b"STAT\r\n"


def test_apop_begins_transaction_and_can_be_pipelined() -> None:
    core = greeted()
    core.send(Command(Verb.APOP, b"joe x"))
    core.send(commands.STAT)
    events_of(core, b"+OK\r\n+OK 0 0\r\n")
    assert core.state is State.TRANSACTION


@pytest.mark.parametrize(
    ("greeting", "timestamp"),
    [
        (b"+OK ready <1896.697@dbc.mtview.ca.us>", b"<1896.697@dbc.mtview.ca.us>"),
        (b"+OK " + b"x" * 1000 + b" <a@b> more", b"<a@b>"),
        (b"+OK ready", None),
        (b"+OK <no-at-sign>", None),
        (b"+OK <a b@c>", None),
        (b"+OK <a@\x80>", None),
        (b"+OK <a@b", None),
    ],
)
def test_only_a_msg_id_is_a_timestamp(greeting: bytes, timestamp: bytes | None) -> None:
    """RFC 1939 section 7; one who may choose other bytes can learn the password (CVE-2007-1558)."""
    core = Pop3Protocol()
    (event,) = events_of(core, greeting + b"\r\n")
    assert not isinstance(event, Reply)
    assert getattr(event, "timestamp", None) == timestamp
