"""Polling a real Dovecot over lines that break: exactly once into the store, and nothing lost on the server."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from ingest.domain.mailbox import Credentials, Deadlines, Deletion, Limits, Mailbox, Server, Tls
from ingest.pop3 import Pop3Connector
from tests.support.bench import Bench, mail, mailbox
from tests.support.dovecot import Dovecot, running_dovecot
from tests.support.proxy import DelayProxy
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.ports.maildrop import Maildrop, MaildropFactory

pytestmark = pytest.mark.dovecot

MESSAGES = 500


def where(port: int) -> Server:
    return Server("127.0.0.1", port, Tls.NONE)


@contextmanager
def polling(user: str, port: int, policy: Deletion | None = None) -> Iterator[Bench]:
    """A workbench whose only mailbox is there."""
    made = Bench(
        mailbox("a", where(port), deletion=policy or Deletion(), deadlines=Deadlines(idle=PATIENCE, poll=PATIENCE))
    )
    made.poll_over_sockets(Credentials(user, "secret"))
    try:
        yield made
    finally:
        made.close()


def through(made: Bench, proxy: DelayProxy) -> None:
    """Everything once, over this line; then the straight one is back. The maildrop stays the same."""
    stage = made.poll_stage

    def connect(mailbox: Mailbox, *arguments: Any) -> Maildrop:
        return stage.poller.connect(replace(mailbox, server=where(proxy.port)), *arguments)

    made.poll_stage = replace(stage, poller=replace(stage.poller, connect=cast("MaildropFactory", connect)))
    made.everything()
    made.poll_stage = stage


def filled(server: Dovecot, user: str, count: int) -> list[bytes]:
    """A maildrop of so many messages of many lengths, with dots at the beginnings of lines."""
    server.add_user(user, "secret")
    draw = random.Random(user)  # noqa: S311 - the same mails each time
    mails = [mail(f"{number}", "\r\n..\r\n.x\r\n" * draw.randrange(200)) for number in range(count)]
    for raw in mails:
        server.deliver(user, raw)
    return sorted(mails)


def raws(made: Bench) -> list[bytes]:
    return sorted(made.store.objects[key].content for key in made.keys("raw.eml"))


def result(made: Bench) -> str:
    """Of the last poll."""
    return made.ledger.statuses()["a"].result


def counted(made: Bench, what: str) -> float:
    """Messages that all polls together took as this."""
    return made.metrics.registry.get_sample_value("mailhaul_messages_total", {"result": what}) or 0.0


def test_fetch_cut_at_random_bytes_resumes(dovecot_server: Dovecot) -> None:
    """What was complete is registered and not fetched again; nothing else is kept."""
    mails = filled(dovecot_server, "cut", MESSAGES)
    draw = random.Random(500)  # noqa: S311 - the same cuts each time
    polls = 0
    with polling("cut", dovecot_server.pop3_port) as made:
        while len(raws(made)) < MESSAGES:
            before = len(raws(made))
            with DelayProxy(dovecot_server.pop3_port, 0.001, cut_after=draw.randrange(1_000, 100_000)) as proxy:
                through(made, proxy)
            assert set(raws(made)) <= set(mails)
            assert len(raws(made)) >= before
            polls += 1
            assert polls < 200
        assert raws(made) == mails
        assert counted(made, "stored") == len(made.published()) == len(made.ledger.seen("a").records) == MESSAGES
        assert counted(made, "duplicate") == 0
    assert polls > 1, "the line was cut in several polls, each of which opens a few sessions"
    assert len(dovecot_server.maildrop("cut")) == MESSAGES


def test_mail_of_a_session_lost_after_dele_is_not_ingested_again(
    dovecot_server: Dovecot,
) -> None:
    mails = filled(dovecot_server, "dele", 150)
    with (
        polling("dele", dovecot_server.pop3_port, Deletion(0)) as made,
        DelayProxy(dovecot_server.pop3_port, 0.001, cut_at=b"QUIT") as proxy,
    ):
        made.everything()
        for _ in range(2):
            through(made, proxy)
            assert len(dovecot_server.maildrop("dele")) == 150, "only QUIT deletes"
        for _ in range(3):  # a poll compares no more than 100 messages that were to be deleted
            made.everything()
        assert dovecot_server.maildrop("dele") == []
        assert raws(made) == mails
        assert counted(made, "stored") == len(made.published()) == 150


def test_lost_answer_to_quit_is_resolved_by_the_next_listing(dovecot_server: Dovecot) -> None:
    """The mail is gone or it is not; nothing is ingested again, and what has come meanwhile is."""
    mails = filled(dovecot_server, "quit", 20)
    late = mail("late")
    with (
        polling("quit", dovecot_server.pop3_port, Deletion(0)) as made,
        DelayProxy(dovecot_server.pop3_port, 0.001, mute_at=b"QUIT") as proxy,
    ):
        made.everything()
        through(made, proxy)
        eventually(lambda: not dovecot_server.maildrop("quit"), "QUIT was heard")
        dovecot_server.deliver("quit", late)
        for _ in range(3):
            made.everything()
            assert result(made) == "success"
        assert raws(made) == sorted([*mails, late])
        assert len(made.published()) == 21
        assert counted(made, "duplicate") == 0
    assert dovecot_server.maildrop("quit") == []


def test_two_installations_on_one_maildrop_lose_nothing(dovecot_server: Dovecot) -> None:
    """Each deletes only what it has done itself; what the other was faster with is refused, and no error."""
    mails = filled(dovecot_server, "shared", 200)
    with (
        polling("shared", dovecot_server.pop3_port, Deletion(0)) as one,
        polling("shared", dovecot_server.pop3_port, Deletion(0)) as other,
        ThreadPoolExecutor(2) as threads,
    ):
        polls = 0
        while dovecot_server.maildrop("shared"):
            for ended in [threads.submit(made.everything) for made in (one, other)]:
                ended.result()
            polls += 1
            assert polls < 20
        assert sorted({*raws(one), *raws(other)}) == mails
        for made in (one, other):
            assert len(made.published()) == len(raws(made)) == len(set(raws(made)))


def test_maildrop_in_use_is_reported_and_retried() -> None:
    """Dovecot itself waits for ten seconds before it says so."""
    with running_dovecot("pop3_lock_session = yes\n") as server:
        mails = filled(server, "joe", 3)
        other, credentials = Mailbox("other", where(server.pop3_port)), Credentials("joe", "secret")
        with polling("joe", server.pop3_port) as made:
            with closing(Pop3Connector()(other, credentials, lambda _phase, _seconds: None, lambda _: None)):
                made.everything()
                assert result(made) == "locked"
            made.everything()
            assert result(made) == "success"
            assert raws(made) == mails


def test_mailbox_that_may_have_one_connection_is_drained_in_one_go() -> None:
    """Each poll begins when the one before has left the server: our own session never locks us out."""
    with running_dovecot("mail_max_userip_connections = 1\n") as server:
        mails = filled(server, "joe", 60)
        with polling("joe", server.pop3_port) as made:
            made.mailboxes["a"] = replace(made.mailboxes["a"], limits=Limits(messages_per_poll=3))
            made.poll_all()
            assert result(made) == "success"
            assert raws(made) == mails
