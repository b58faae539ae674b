"""Servers that fail at one message, over real sockets: the other messages are fetched, and the culprit is named."""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ingest.domain.mailbox import Credentials, Deletion, Limits, Server, Tls
from ingest.domain.retry import POSTPONED_AFTER, POSTPONED_BACKOFF
from ingest.ports.troubled import Trouble
from ingest.usecases.poll.progress import SAME_REFUSALS
from tests.support.bench import Bench, mail, mailbox, never
from tests.support.scripted_pop3 import LATER, PATIENT
from tests.support.servers import serving
from tests.support.service import mailhaul, write_config
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.valkey import Valkey

MAILS = [mail(str(number), "text\r\n" * 50) for number in range(1, 7)]
CULPRIT = 2
EARLY = 5  # messages that a session hands out if it ends early
REFUSED = range(3, 31)  # numbers of messages that a server refuses if it refuses many
# Faults after which the server sends nothing, or too little; each costs the client a deadline.
SILENT = {"stalls", "stalls inside", "does not end it", "drips"}
IMPATIENT = replace(PATIENT, reply=LATER, idle=LATER)
FAULTS = [
    "hangs up",
    "resets",
    "cuts",
    "stalls",
    "stalls inside",
    "answers nonsense",
    "refuses in two lines",
    "refuses and hangs up",
    "does not end it",
    "drips",
]


class _Session(socketserver.StreamRequestHandler):
    """One session: a maildrop that nothing is deleted from."""

    server: TroubledServer

    def handle(self) -> None:
        self.server.sessions += 1
        self.retrieved, self.marked = 0, set[int]()
        with suppress(OSError, StopIteration):
            self.wfile.write(b"+OK\r\n")
            while line := self.rfile.readline():
                self._answer(*line.decode().split())

    def _answer(self, verb: str, number: str = "", *_: str) -> None:
        if verb == "CAPA":
            extensions = b"PIPELINING\r\n" if self.server.pipelining else b""
            self.wfile.write(b"+OK\r\nUIDL\r\nTOP\r\n" + extensions + b".\r\n")
        elif verb == "STAT":
            self.wfile.write(b"+OK %d 1000\r\n" % len(self.server.mails))
        elif verb == "UIDL":
            self._rows(b"u%d" % n for n in range(1, len(self.server.mails) + 1 - self.server.uidl_lacks))
        elif verb == "LIST":
            self._rows(b"%d" % (self.server.listed_size or len(raw)) for raw in self.server.mails)
        elif verb == "TOP":
            head = self.server.mails[int(number) - 1].partition(b"\r\n\r\n")[0]
            self.wfile.write(b"+OK\r\n" + head + b"\r\n\r\n.\r\n")
        elif verb == "RETR":
            self._retrieve(int(number))
        elif verb == "DELE":
            self._mark(int(number))
        else:
            self.server.deleted |= self.marked if verb == "QUIT" else set()
            self.wfile.write(b"+OK\r\n")
            if verb == "QUIT":
                raise StopIteration

    def _retrieve(self, number: int) -> None:
        self.server.retrieved.append(number)
        if self.server.fault == "ends early" and self.retrieved == EARLY:
            raise StopIteration
        if self.server.refuses(number, self.retrieved):
            self.wfile.write(b"-ERR no more of them\r\n")
            return
        self.retrieved += 1
        body = self.server.mails[number - 1] + b".\r\n"
        if number == CULPRIT:
            self._fail(b"+OK\r\n" + body)
        else:
            self.wfile.write(b"+OK\r\n" + body)

    def _mark(self, number: int) -> None:
        if self.server.fault == "hangs up at DELE" and number == CULPRIT:
            raise StopIteration
        self.marked.add(number)
        self.wfile.write(b"+OK\r\n")

    def _rows(self, rows: Iterator[bytes]) -> None:
        self.wfile.write(b"+OK\r\n" + b"".join(b"%d %b\r\n" % row for row in enumerate(rows, 1)) + b".\r\n")

    def _fail(self, answer: bytes) -> None:
        fault, cut = self.server.fault, answer[:100]
        last_words = {"hangs up": b"", "cuts": cut, "resets": cut, "refuses and hangs up": b"-ERR cannot open it\r\n"}
        if fault in last_words:
            self.wfile.write(last_words[fault])
            if fault == "resets":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise StopIteration
        match fault:
            case "stalls":
                self.server.over.wait(PATIENCE)
            case "stalls inside":
                self.wfile.write(cut)
                self.server.over.wait(PATIENCE)
            case "drips":
                for at in range(len(answer)):
                    self.wfile.write(answer[at : at + 1])
                    if self.server.over.wait(0.05):
                        break
            case "answers nonsense":
                self.wfile.write(b"<html>\r\n")
            case "refuses in two lines":
                self.wfile.write(b"-ERR cannot open it\r\ncall the help desk\r\n")
            case _:
                self.wfile.write(answer.removesuffix(b".\r\n") if fault == "does not end it" else answer)


class TroubledServer(socketserver.ThreadingTCPServer):
    """A server that fails at message `CULPRIT`, in the way that `fault` says."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, fault: str, *, pipelining: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.fault, self.pipelining = fault, pipelining
        self.sessions = 0
        self.mails = MAILS
        self.listed_size = 0  # of every message, in place of its own
        self.uidl_lacks = 0  # messages at the end
        self.retrieved: list[int] = []
        self.deleted: set[int] = set()  # numbers of messages whose deletion was confirmed; they stay listed
        self.over = threading.Event()

    def refuses(self, number: int, retrieved: int) -> bool:
        """Whether a message is refused: the rest of a session, or many in a row."""
        return (self.fault == "refuses the rest" and retrieved >= EARLY) or (
            self.fault == "refuses many" and number in REFUSED
        )

    def get_request(self) -> tuple[socket.socket, object]:
        request, address = super().get_request()
        request.settimeout(PATIENCE)
        return request, address

    def shutdown(self) -> None:
        """End the sessions that stall, too."""
        self.over.set()
        super().shutdown()


@contextmanager
def polling(fault: str, *, pipelining: bool = False) -> Iterator[tuple[Bench, TroubledServer]]:
    with serving(TroubledServer(fault, pipelining=pipelining)) as server:
        where = Server("127.0.0.1", server.server_address[1], Tls.NONE)
        # The rate distinguishes dripping bytes from slow ones.
        deadlines = IMPATIENT if fault in SILENT else PATIENT
        made = Bench(mailbox("a", where, deadlines=deadlines, limits=Limits(minimum_rate=2_000)))
        made.poll_over_sockets(Credentials("joe", "secret"))
        try:
            yield made, server
        finally:
            made.close()


def subjects(made: Bench) -> list[str]:
    return sorted(event["data"]["headers"]["subject"] for event in made.published())


@pytest.mark.parametrize("pipelining", [False, True], ids=["one by one", "pipelined"])
@pytest.mark.parametrize("fault", FAULTS)
def test_message_at_which_the_server_fails_delays_no_other(fault: str, pipelining: bool) -> None:  # noqa: FBT001
    with polling(fault, pipelining=pipelining) as (made, server):
        for _ in range(2):
            made.everything()
        assert subjects(made) == ["1", "3", "4", "5", "6"]
        (message,) = made.ledger.troubled("a")
        assert (message.number, message.unique_id) == (CULPRIT, "u2")
        assert made.ledger.statuses()["a"].listed == len(MAILS)
        assert server.sessions <= 8
        server.fault = ""
        made.everything()
        assert subjects(made) == ["1", "2", "3", "4", "5", "6"]
        assert made.ledger.troubled("a") == []


def test_words_of_the_server_are_kept_for_a_refused_message() -> None:
    with polling("refuses in two lines") as (made, _):
        made.everything()
        (message,) = made.ledger.troubled("a")
        assert message.trouble in (Trouble.REFUSED, Trouble.ENDS_SESSION)
        assert message.words


def test_message_slower_than_the_deadline_of_a_poll_delays_no_other() -> None:
    with polling("drips") as (made, _):
        slow = replace(IMPATIENT, poll=LATER)
        made.mailboxes["a"] = replace(made.mailboxes["a"], deadlines=slow, limits=Limits(minimum_rate=1))
        made.everything()
        assert subjects(made) == ["1", "3", "4", "5", "6"]
        (message,) = made.ledger.troubled("a")
        assert (message.number, message.code, message.times) == (CULPRIT, "timeout", 2)


def test_messages_larger_than_listed_prevent_no_other() -> None:
    with polling("") as (made, server):
        server.mails = [*(mail(f"large {number}", "x\r\n" * 60_000) for number in range(4)), *MAILS]
        server.listed_size = 100
        made.mailboxes["a"] = replace(made.mailboxes["a"], limits=Limits(message_bytes=2_000))
        made.everything()
        assert made.ledger.statuses()["a"].result != "success", "nothing was stored"
        made.everything()
        assert made.ledger.statuses()["a"].result == "success"
        assert len(subjects(made)) == len(server.mails)
        assert len(server.retrieved) == 4 + len(MAILS), "the large ones are taken by TOP the second time"


def test_server_that_ends_each_session_early_hands_out_all_mail() -> None:
    with polling("ends early") as (made, server):
        server.mails = [mail(str(number)) for number in range(50)]
        for _ in range(4):
            made.everything()
        assert len(subjects(made)) == len(server.mails)
        assert server.sessions <= 16


@pytest.mark.parametrize("pipelining", [False, True], ids=["one by one", "pipelined"])
def test_message_that_quotes_answers_is_fetched_whatever_size_is_listed(pipelining: bool) -> None:  # noqa: FBT001
    with polling("", pipelining=pipelining) as (made, server):
        server.mails = [mail(str(number), "+OK\r\n" * 9) for number in range(6)]
        server.listed_size = 100
        for _ in range(3):
            made.everything()
        assert len(subjects(made)) == len(server.mails)
        assert made.ledger.troubled("a") == []


@pytest.mark.parametrize("pipelining", [False, True], ids=["one by one", "pipelined"])
def test_server_that_hangs_up_after_a_refusal_is_asked_for_all_others(pipelining: bool) -> None:  # noqa: FBT001
    with polling("refuses and hangs up", pipelining=pipelining) as (made, server):
        server.mails = [mail(str(number)) for number in range(40)]
        made.everything()
        assert len(subjects(made)) == len(server.mails) - 1
        assert [message.number for message in made.ledger.troubled("a")] == [CULPRIT]
        assert server.sessions <= 4


@pytest.mark.parametrize("policy", [Deletion(None), Deletion(0)], ids=["keep", "delete"])
@pytest.mark.parametrize("pipelining", [False, True], ids=["one by one", "pipelined"])
def test_server_that_refuses_the_rest_of_a_session_is_asked_for_it_in_another(
    pipelining: bool,  # noqa: FBT001
    policy: Deletion,
) -> None:
    with polling("refuses the rest", pipelining=pipelining) as (made, server):
        server.mails = [mail(str(number)) for number in range(40)]
        made.mailboxes["a"] = replace(made.mailboxes["a"], deletion=policy)
        made.everything()
        assert len(subjects(made)) >= len(server.mails) - SAME_REFUSALS
        assert server.sessions <= 2 * len(server.mails) / EARLY
        made.everything()
        made.everything()
        assert len(subjects(made)) == len(server.mails)


@pytest.mark.parametrize("pipelining", [False, True], ids=["one by one", "pipelined"])
def test_message_at_whose_deletion_the_server_hangs_up_prevents_no_other(pipelining: bool) -> None:  # noqa: FBT001
    with polling("hangs up at DELE", pipelining=pipelining) as (made, server):
        made.mailboxes["a"] = replace(made.mailboxes["a"], deletion=Deletion(0))
        made.everything()
        made.everything()
        assert server.deleted == {1, 3, 4, 5, 6}
        (message,) = made.ledger.troubled("a")
        assert (message.number, message.trouble) == (CULPRIT, Trouble.ENDS_SESSION)
        sessions = server.sessions
        for _ in range(2 * POSTPONED_AFTER):
            made.everything()
        assert made.ledger.statuses()["a"].result == "success"
        assert server.sessions - sessions <= 4 * POSTPONED_AFTER
        server.fault = ""
        made.clock.time += POSTPONED_BACKOFF.cap
        made.everything()
        assert CULPRIT in server.deleted


@pytest.mark.parametrize("pipelining", [False, True], ids=["one by one", "pipelined"])
def test_many_refused_messages_prevent_no_other(pipelining: bool) -> None:  # noqa: FBT001
    with polling("refuses many", pipelining=pipelining) as (made, server):
        server.mails = [mail(str(number)) for number in range(40)]
        made.everything()
        assert len(subjects(made)) == len(server.mails) - len(REFUSED)
        assert server.sessions <= 3


@pytest.mark.parametrize("policy", [Deletion(None), Deletion(0)], ids=["keep", "delete"])
@pytest.mark.parametrize("pipelining", [False, True], ids=["one by one", "pipelined"])
def test_drain_goes_on_while_sessions_that_end_early_bring_mail(pipelining: bool, policy: Deletion) -> None:  # noqa: FBT001
    with polling("ends early", pipelining=pipelining) as (made, server):
        server.mails = [mail(str(number)) for number in range(40)]
        made.mailboxes["a"] = replace(made.mailboxes["a"], deletion=policy)
        report = made.drain.run(made.schedule(), never)
        assert report.ok
        assert report.totals.stored == len(subjects(made)) == len(server.mails)
        assert sorted(set(server.retrieved)) == list(range(1, len(server.mails) + 1))
        assert server.sessions <= 3 * len(server.mails) / EARLY


def test_drain_ends_when_sessions_that_end_early_bring_nothing() -> None:
    with polling("hangs up") as (made, server):
        report = made.drain.run(made.schedule(), never)
        assert [row.result for row in report.mailboxes] == ["connect_error"]
        assert report.totals.stored == len(MAILS) - 1
        assert server.sessions <= 8


def test_messages_that_uidl_lacks_are_counted() -> None:
    with polling("") as (made, server):
        server.uidl_lacks = 3
        made.everything()
        assert made.ledger.statuses()["a"].left_out == 3
        assert subjects(made) == ["1", "2", "3"]


def test_commands_name_the_message_that_could_not_be_fetched(tmp_path: Path, valkey: Valkey) -> None:
    valkey.flush()
    with serving(TroubledServer("refuses in two lines", pipelining=False)) as server:
        auth = {"type": "password", "username": "joe", "password": "env:POP_SECRET"}
        box = {"id": "one", "host": "127.0.0.1", "port": server.server_address[1], "tls": "none", "auth": auth}
        config = write_config(tmp_path, [box], ledger=valkey.url)

        def run(*arguments: str) -> str:
            return mailhaul(*arguments, "--config", str(config), env={"POP_SECRET": "secret"}).stdout

        server.uidl_lacks = 1
        polled = run("mailboxes", "poll", "one")
        assert "message 2 (u2)" in polled
        assert "1 message is not fetched" in polled
        (listed,) = json.loads(run("mailboxes", "list", "--json"))
        assert [(one["number"], one["unique_id"]) for one in listed["troubled"]] == [(2, "u2")]
        for command in ("mailboxes", "failed"):
            words = run(command, "list")
            assert "u2" in words
            assert "cannot open it" in words
        assert "STAT, UIDL and LIST" in run("mailboxes", "list")
