"""Whole sessions as bytes: in any pieces the same comes of them, and of broken ones nothing but an error of ours."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.domain.mailbox import Mechanism
from ingest.errors import MaildropError
from ingest.pop3.hosts import HostMemory
from ingest.ports.maildrop import Listed, Terms
from tests.support.replayed_pop3 import Outcome, ReplayedConnection, multi_line, polled, stuffed

CAPABILITIES = multi_line([b"TOP", b"UIDL", b"PIPELINING", b"LOGIN-DELAY 60", b"EXPIRE 3"])
MAILS = [b"A: b\r\n\r\n.\r\n..\r\n.x\r\n", b"", b"\r\n\n.\n\r.\r\0\xff\r\n.\r\n", b"x" * 3000 + b"\r\n"]
UNIQUE_IDS = [b"a", b"b b", b"\xff", b"u" * 255, b"gone"]
OK = b"+OK\r\n"
LISTED = (
    b"+OK 5 99\r\n"
    + multi_line(b"%d %b" % row for row in enumerate(UNIQUE_IDS, 1))
    + multi_line(b"%d %d" % (number, number * 7) for number in range(1, 6))
)
FETCHED = b"".join(stuffed(mail) for mail in MAILS) + b"-ERR [SYS/TEMP] gone\r\n"
REST = [FETCHED, b"+OK\r\nA: b\r\n\r\n.\r\n", OK * 4 + b"-ERR gone\r\n", b"+OK bye\r\n"]
PIPELINED = [b"+OK ready <1@b>\r\n", CAPABILITIES, OK * 2 + CAPABILITIES + LISTED, *REST]
SHORT_CAPABILITIES = multi_line([b"LOGIN-DELAY 60", b"EXPIRE 3"])
LOCKSTEP = [
    b"+OK ready\r\n",
    SHORT_CAPABILITIES,
    OK,
    OK,
    SHORT_CAPABILITIES,
    b"+OK 5 99\r\n",
    *[part + b".\r\n" for part in LISTED.partition(b"+OK 5 99\r\n")[2].split(b".\r\n") if part],
    *[stuffed(mail) for mail in MAILS],
    b"-ERR [SYS/TEMP] gone\r\n",
    b"+OK\r\nA: b\r\n\r\n.\r\n",
    *[OK] * 4,
    b"-ERR gone\r\n",
    b"+OK bye\r\n",
]
CHALLENGED = [
    PIPELINED[0],
    CAPABILITIES.replace(b"TOP", b"SASL LOGIN"),
    b"+ VXNlcm5hbWU6\r\n",
    b"+\r\n",
    OK,
    CAPABILITIES + LISTED,
    *REST,
]
ALL = [(PIPELINED, Mechanism.PASSWORD), (LOCKSTEP, Mechanism.PASSWORD), (CHALLENGED, Mechanism.LOGIN)]


def expected(outcome: Outcome) -> None:
    assert outcome.terms == Terms(None, 60.0, 3 * 86_400.0)
    numbers = range(1, 6)
    assert outcome.listing.rows == [Listed(number, UNIQUE_IDS[number - 1], number * 7) for number in numbers]
    assert outcome.mails == [*MAILS, "sys/temp"]
    assert outcome.head == b"A: b\r\n\r\n"
    assert outcome.deleted == 4
    assert outcome.committed


def test_whole_session_can_be_pipelined() -> None:
    """And each flight is one write."""
    connection = ReplayedConnection(PIPELINED)
    expected(polled(connection))
    assert [data.count(b"\r\n") for data in connection.sent] == [1, 6, 5, 1, 5, 1]


def test_whole_session_one_command_at_a_time() -> None:
    connection = ReplayedConnection(LOCKSTEP)
    expected(polled(connection))
    assert {data.count(b"\r\n") for data in connection.sent} == {1}


def test_remembered_capabilities_save_the_first_capa() -> None:
    hosts = HostMemory(lambda: 0.0)
    expected(polled(ReplayedConnection(PIPELINED), hosts))
    again = ReplayedConnection([PIPELINED[0], *PIPELINED[2:]])
    expected(polled(again, hosts))
    assert [data.count(b"\r\n") for data in again.sent] == [6, 5, 1, 5, 1]


@pytest.mark.parametrize(("turns", "mechanism"), ALL)
def test_session_fed_byte_by_byte_gives_the_same_result(turns: list[bytes], mechanism: Mechanism) -> None:
    expected(polled(ReplayedConnection(turns, [1]), mechanism=mechanism))


@given(st.lists(st.integers(1, 400), min_size=1, max_size=20))
@settings(max_examples=200)
def test_session_fed_in_any_pieces_gives_the_same_result(sizes: list[int]) -> None:
    for turns, mechanism in ALL:
        expected(polled(ReplayedConnection(turns, sizes), mechanism=mechanism))


@given(server=st.sampled_from(ALL), data=st.data())
@settings(max_examples=200)
def test_session_that_breaks_off_anywhere_commits_nothing(
    server: tuple[list[bytes], Mechanism], data: st.DataObject
) -> None:
    """QUIT is said only when every answer before it is complete."""
    turns, mechanism = server
    turn = data.draw(st.integers(0, len(turns) - 1))
    size = data.draw(st.integers(0, len(turns[turn]) - 1))
    connection = ReplayedConnection([*turns[:turn], turns[turn][:size]])
    try:
        assert not polled(connection, mechanism=mechanism).committed
    except MaildropError:
        assert b"QUIT\r\n" not in connection.sent
    else:
        assert turn == len(turns) - 1


# --- damaged servers ---------------------------------------------------------------------------------------------

PIECES = [
    *[b"+OK\r\n", b"-ERR\r\n", b".\r\n", b"\r\n.\r\n", b"\r\n", b"\n", b"\r", b"+ ", b"+", b"\0", b"\xff", b"\r\n.."],
    *[b"-ERR [AUTH] x\r\n", b"-ERR [IN-USE]\r\n", b"0 x\r\n", b"1 1\r\n", b"99999999999999999999", b"-1", b" "],
    *[b"PIPELINING\r\n", b"LOGIN-DELAY x\r\n", b"\x16\x03\x01", b"y" * 5000, b"." * 600, b"1 a\r\n" * 150],
]


def mutated(turns: list[bytes], chance: random.Random) -> list[bytes]:
    """A server's side, damaged in up to four places, or with a turn too many, missing or twice."""
    damaged = list(turns)
    for _ in range(chance.randint(1, 4)):
        index = chance.randrange(len(damaged))
        data = damaged[index]
        at, to = sorted(chance.choices(range(len(data) + 1), k=2))
        match chance.randrange(6):
            case 0:
                data = data[:at] + chance.choice(PIECES) + data[at:]
            case 1:
                data = data[:at] + data[min(to, at + 9) :]
            case 2:
                data = data[:at] + data[at:to] * 2 + data[to:]
            case 3:
                data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
            case 4:
                data = data[:at] + chance.choice(PIECES)
            case _:
                data = chance.choice(damaged)
        damaged[index] = data
    return damaged


@pytest.mark.slow
@given(st.integers(0, 2**32), st.sampled_from([[1], [7, 1, 300], [65_536]]))
@settings(max_examples=400)
def test_arbitrary_server_data_raises_only_our_errors(seed: int, sizes: list[int]) -> None:
    """No other exception, no endless loop, no message that is larger than it may be."""
    chance = random.Random(seed)  # noqa: S311 - a test's damage, not a secret
    for turns, mechanism in ALL:
        try:
            outcome = polled(ReplayedConnection(mutated(turns, chance), sizes), mechanism=mechanism)
        except MaildropError:
            continue
        assert all(len(mail) <= 200_000 for mail in outcome.mails)
