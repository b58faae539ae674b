"""The POP3 client, and polling, against a real Courier: what it does otherwise than Dovecot."""

from __future__ import annotations

import io
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ingest.domain.mailbox import Credentials, Deadlines, Deletion, Mailbox, Server, Tls
from ingest.errors import MaildropAuthError, MaildropTemporaryError
from ingest.pop3 import Pop3Connector
from ingest.ports.maildrop import Fetched, NotFetched
from tests.support.bench import Bench, mail, mailbox
from tests.support.courier import Courier, at_rest
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from ingest.pop3.session import Pop3Session
    from ingest.ports.maildrop import Listed

# A missing answer times out soon: it costs each connector one wait.
IMPATIENT = Deadlines(reply=5)
NASTY = b"Subject: x\r\n\r\n.\r\n..\r\n.x\r\n\r\rbare\r\0\xff\r\n\r\n.\r\n"


@pytest.fixture(scope="module")
def connect() -> Pop3Connector:
    """One for all tests, which remembers what it learned of this server."""
    return Pop3Connector()


def opened(server: Courier, user: str, connect: Pop3Connector, deadlines: Deadlines = IMPATIENT) -> Pop3Session:
    target = Mailbox("m", Server("127.0.0.1", server.port, Tls.NONE), deadlines=deadlines)
    return connect(target, Credentials(user, "secret"), lambda _phase, _seconds: None, lambda _: None)


def fetched(drop: Pop3Session, rows: list[Listed]) -> list[bytes]:
    outcomes = list(drop.fetch(rows, lambda _: io.BytesIO()))
    return [one.spool.getvalue() for one in outcomes if isinstance(one, Fetched)]


def poll(made: Bench) -> tuple[int, int]:
    """Poll, process and deliver; how many messages are in the store, and how many events there were."""
    made.everything()
    status = made.ledger.statuses()["a"]
    assert status.result == "success", status
    return len(made.keys("raw.eml")), len(made.published())


def deleting(server: Courier, user: str) -> Bench:
    """A workbench whose only mailbox is there, and deletes what is done."""
    where = Server("127.0.0.1", server.port, Tls.NONE)
    made = Bench(mailbox("a", where, deletion=Deletion(0), deadlines=IMPATIENT))
    made.poll_over_sockets(Credentials(user, "secret"))
    return made


def test_every_byte_comes_through(courier: Courier, connect: Pop3Connector) -> None:
    courier.add_user("bytes", "secret")
    mails = [b"N: %d\r\n" % number + NASTY for number in range(150)]
    mails += [b"\r\n" + b"0123456789abcde\r\n" * 2**17, b"\r\n"]
    for raw in mails:
        courier.deliver("bytes", raw)
    drop = opened(courier, "bytes", connect)
    assert fetched(drop, drop.listing().rows) == mails
    assert drop.quit()


def test_commands_sent_with_the_password_are_lost_despite_announced_pipelining(courier: Courier) -> None:
    """A fact about Courier, on which the next test stands."""
    courier.add_user("lost", "secret")
    with (
        socket.create_connection(("127.0.0.1", courier.port), timeout=PATIENCE) as client,
        client.makefile("rb") as answers,
    ):
        assert answers.readline() == b"+OK Hello there.\r\n"
        client.sendall(b"CAPA\r\n")
        assert b"PIPELINING\r\n" in list(iter(answers.readline, b".\r\n"))
        client.sendall(b"USER lost\r\nPASS secret\r\nSTAT\r\n")
        assert [answers.readline()[:3] for _ in range(2)] == [b"+OK", b"+OK"]
        client.sendall(b"NOOP\r\nSTAT\r\nQUIT\r\n")
        assert [answers.readline() for _ in range(4)] == [b"+OK Yup.\r\n", b"+OK 0 0\r\n", b"+OK Bye-bye.\r\n", b""]


def test_lost_pipelined_commands_cost_one_connection_and_are_not_repeated(courier: Courier) -> None:
    courier.add_user("flight", "secret")
    courier.deliver("flight", NASTY)
    connect = Pop3Connector()
    before = courier.connections
    for _ in range(5):
        drop = opened(courier, "flight", connect)
        assert fetched(drop, drop.listing().rows) == [NASTY]
        assert drop.quit()
    assert courier.connections - before <= 6


def test_login_delay_is_reported(courier: Courier, connect: Pop3Connector) -> None:
    courier.add_user("delay", "secret")
    with closing(opened(courier, "delay", connect)) as drop:
        assert drop.terms.login_delay == 10.0
        assert drop.terms.expires_after is None


def test_wrong_password_is_an_authentication_error(courier: Courier, connect: Pop3Connector) -> None:
    courier.add_user("wrong", "other")
    with pytest.raises(MaildropAuthError, match="Login failed"):
        opened(courier, "wrong", connect, Deadlines())  # it lets a wrong password wait for five seconds


def test_unavailable_password_database_is_not_a_wrong_password(courier: Courier, connect: Pop3Connector) -> None:
    """It has no response codes: its words say it."""
    courier.add_user("unknown", "secret")
    courier.passwords_known = False
    try:
        with pytest.raises(MaildropTemporaryError):
            opened(courier, "unknown", connect)
    finally:
        courier.passwords_known = True


def test_only_quit_deletes(courier: Courier, connect: Pop3Connector) -> None:
    courier.add_user("commit", "secret")
    for number in range(130):
        courier.deliver("commit", b"N: %d\r\n\r\n" % number)
    drop = opened(courier, "commit", connect)
    assert len(drop.delete(drop.listing().rows)) == 130
    drop.close()
    at_rest(courier)
    assert len(courier.maildrop("commit")) == 130
    drop = opened(courier, "commit", connect)
    assert len(drop.delete(drop.listing().rows[:129])) == 129
    assert drop.quit()
    at_rest(courier)
    assert courier.maildrop("commit") == [b"N: 129\n\n"]


def test_two_concurrent_sessions_do_not_interfere(courier: Courier, connect: Pop3Connector) -> None:
    """Courier locks nothing: a message may go while another session has it listed."""
    courier.add_user("two", "secret")
    for number in range(3):
        courier.deliver("two", b"N: %d\r\n\r\n" % number)
    first, second = opened(courier, "two", connect), opened(courier, "two", connect)
    rows = first.listing().rows
    assert second.listing().rows == rows
    assert len(second.delete(rows[1:2])) == 1
    assert second.quit()
    eventually(lambda: len(courier.maildrop("two")) == 2)  # its +OK came before anything was removed
    outcomes = list(first.fetch(rows, lambda _: io.BytesIO()))
    assert [type(one) for one in outcomes] == [Fetched, NotFetched, Fetched]
    assert len(first.delete(rows[1:])) == 2
    assert first.quit()
    at_rest(courier)
    assert courier.maildrop("two") == [b"N: 0\n\n"]


def test_messages_that_quit_did_not_delete_are_deleted_later_and_not_ingested_again(courier: Courier) -> None:
    """Courier says +OK to QUIT, whatever becomes of the files."""
    courier.add_user("again", "secret")
    for number in range(3):
        courier.deliver("again", mail(f"{number}"))
    made = deleting(courier, "again")
    with closing(made):
        assert poll(made) == (3, 3)
        assert len(courier.maildrop("again")) == 3, "never in the session that fetched"
        courier.forbid_removal("again")
        for _ in range(3):
            assert poll(made) == (3, 3)
            at_rest(courier)
            assert len(courier.maildrop("again")) == 3, "they were still there"
        courier.own("again")
        # What the server said it had deleted may be another message by now: it is fetched and compared before DELE.
        for _ in range(2):
            assert poll(made) == (3, 3)
            at_rest(courier)
    assert courier.maildrop("again") == []


def test_mail_arriving_during_deletion_is_ingested_once(courier: Courier) -> None:
    courier.add_user("mixed", "secret")
    made = deleting(courier, "mixed")
    with closing(made):
        for number in range(4):
            courier.deliver("mixed", mail(f"{number}"))
            assert poll(made) == (number + 1, number + 1)
            at_rest(courier)
            assert len(courier.maildrop("mixed")) == 1, "the new one only"
