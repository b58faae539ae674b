"""How the threads of a poller are shared by servers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ingest.domain.mailbox import Server, Tls
from ingest.errors import MaildropTimeoutError
from ingest.usecases.poll.threads import LONGEST_PAUSE, SLOW_SECONDS, PollThreads
from tests.support.bench import bench, mailbox, never
from tests.support.clock import Clock

if TYPE_CHECKING:
    from ingest.domain.mailbox import Mailbox


def box(server: str, *, enabled: bool = True) -> Mailbox:
    return mailbox(server, Server(server, 110, Tls.NONE), enabled=enabled)


class Sharing:
    """The threads of one process, with mailboxes of the servers `a`, `b`, ..."""

    def __init__(self, threads: int, servers: str = "abcdefgh") -> None:
        self.clock = Clock()
        self.threads = PollThreads(threads, self.clock)
        self.mailboxes = {server: box(server) for server in servers}
        self.running: dict[str, list[int]] = {server: [] for server in servers}
        self.pauses: list[float] = []
        self._token = 0

    def enter(self, server: str) -> bool:
        """Try to begin a poll, where a thread is free for it."""
        assert sum(map(len, self.running.values())) < 50
        self._token += 1
        pause = self.threads.enter(self.mailboxes[server], self._token, self.mailboxes)
        if pause > 0:
            self.pauses.append(pause)
            return False
        self.running[server].append(self._token)
        return True

    def leave(self, server: str, *, polled: bool = True) -> None:
        self.threads.leave(self.mailboxes[server], self.running[server].pop(), polled=polled)

    def fill(self, server: str) -> int:
        """Begin as many polls as the server may; returns how many run."""
        while sum(map(len, self.running.values())) < 50 and self.enter(server):
            pass
        return len(self.running[server])

    def prove(self, server: str, seconds: float, polls: int = 1) -> None:
        """Run polls of this duration, one after the other."""
        for _ in range(polls):
            assert self.enter(server)
            self.clock.time += seconds
            self.leave(server)


def test_each_of_several_unknown_servers_gets_half_of_what_the_others_leave() -> None:
    sharing = Sharing(50)
    assert [sharing.fill(server) for server in "abcd"] == [25, 12, 6, 3]


def test_quick_server_leaves_a_tenth_of_the_threads() -> None:
    sharing = Sharing(50)
    sharing.prove("a", 0.2)
    assert sharing.fill("a") == 45


def test_server_that_becomes_slow_gets_no_more_than_half() -> None:
    sharing = Sharing(50)
    sharing.prove("a", 0.2)
    for _ in range(30):
        assert sharing.enter("a")
    sharing.clock.time += SLOW_SECONDS
    assert not sharing.enter("a")
    for _ in range(6):
        sharing.leave("a")
    assert sharing.fill("a") == 25


@pytest.mark.parametrize("known", [True, False])
def test_server_without_a_poll_gets_the_last_thread_unless_it_is_slow(known: bool) -> None:  # noqa: FBT001
    sharing = Sharing(50)
    if known:
        sharing.prove("h", 0.2)
    sharing.prove("g", SLOW_SECONDS)
    for server in "abcdef":
        sharing.fill(server)
    while sum(map(len, sharing.running.values())) < 49:
        sharing.mailboxes = {**sharing.mailboxes, (name := f"x{len(sharing.mailboxes)}"): box(name)}
        sharing.running[name] = []
        assert sharing.enter(name)
    assert not sharing.enter("g")
    assert sharing.enter("h")


def test_slow_server_may_use_a_thread_while_no_other_server_does() -> None:
    sharing = Sharing(1, "ab")
    sharing.prove("a", SLOW_SECONDS)
    assert sharing.enter("a")


def test_server_recovers_after_a_few_quick_polls() -> None:
    sharing = Sharing(50)
    sharing.prove("a", 900.0, polls=5)
    assert sharing.fill("a") == 25
    for _ in range(25):
        sharing.leave("a")
    sharing.clock.time += LONGEST_PAUSE
    assert sharing.fill("a") == 45


def test_poll_without_a_connection_slot_says_nothing_about_its_server() -> None:
    sharing = Sharing(50)
    assert sharing.enter("a")
    sharing.leave("a", polled=False)
    assert sharing.fill("a") == 25


@pytest.mark.parametrize("servers", ["a", "ab"])
def test_only_enabled_server_may_use_all_threads(servers: str) -> None:
    sharing = Sharing(50, servers)
    if servers == "ab":
        sharing.mailboxes = {"a": box("a"), "b": box("b", enabled=False)}
    sharing.prove("a", 60.0)
    assert sharing.fill("a") == 50


def test_second_server_is_noticed_when_the_configuration_changes() -> None:
    sharing = Sharing(50, "a")
    sharing.prove("a", 60.0)
    sharing.mailboxes = {**sharing.mailboxes, "b": box("b")}
    assert sharing.fill("a") == 25


def test_deferred_mailboxes_come_back_one_after_the_other() -> None:
    sharing = Sharing(50)
    sharing.prove("a", SLOW_SECONDS)
    sharing.fill("a")
    sharing.pauses.clear()
    for _ in range(100):
        assert not sharing.enter("a")
    pauses = sharing.pauses
    assert pauses == sorted(pauses)
    assert pauses[10] - pauses[9] == pytest.approx(SLOW_SECONDS / 25)
    assert pauses[-1] == LONGEST_PAUSE


def test_mailbox_of_a_server_that_has_used_its_share_is_deferred() -> None:
    boxes = [mailbox(f"a{number}", Server("a", 110, Tls.NONE)) for number in range(3)]
    with bench(*boxes, box("b")) as b:
        stage = replace(b.poll_stage, threads=(threads := PollThreads(4, b.clock)))
        b.ticker.tick(b.schedule())
        for number in range(2):
            assert not threads.enter(boxes[number], number, b.mailboxes)
        claims = {claim.id: claim for claim in b.ledger.mailboxes.claim(4, 60)}
        deferred, polled = stage.handle(claims["a2"], never), stage.handle(claims["b"], never)
        assert deferred is not None
        assert polled is not None
        assert (deferred.deferred, polled.result) == (True, "success")
        assert b.ledger.statuses().keys() == {"b"}
        value = b.metrics.registry.get_sample_value("mailhaul_polls_deferred_total", {"server": "a:110"})
        assert value == 1
        b.clock.time += LONGEST_PAUSE
        again = {claim.id: claim for claim in b.ledger.mailboxes.claim(4, 60)}["a2"]
        assert again.tries == 1


def test_failed_poll_returns_its_thread() -> None:
    with bench(box("a"), box("b")) as b:
        stage = replace(b.poll_stage, threads=PollThreads(2, b.clock))
        b.maildrops["a"].error = MaildropTimeoutError("slow")
        for _ in range(4):
            b.clock.time += 3600
            b.ticker.tick(b.schedule())
            claims = {claim.id: claim for claim in b.ledger.mailboxes.claim(2, 60)}
            outcome = stage.handle(claims["a"], never)
            assert outcome is not None
            assert outcome.result == "timeout"
            stage.handle(claims["b"], never)
