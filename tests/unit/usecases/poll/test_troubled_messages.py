"""One message that the server cannot hand out never delays the others, and a person sees which it is."""

from __future__ import annotations

import pytest

from ingest.domain.mailbox import Deletion, Limits
from ingest.domain.retry import POSTPONED_AFTER
from ingest.errors import MaildropConnectError, MaildropError, MaildropProtocolError, MaildropTimeoutError
from ingest.ports.maildrop import Terms
from ingest.ports.troubled import Trouble
from tests.support.bench import Bench, bench, mail, mailbox

SIX = {b"u%d" % number: mail(str(number)) for number in range(1, 7)}
ENDINGS = [MaildropConnectError, MaildropTimeoutError, MaildropProtocolError]


def subjects(b: Bench) -> list[str]:
    return sorted(event["data"]["headers"]["subject"] for event in b.published())


def status(b: Bench) -> str:
    return b.ledger.statuses()["a"].result


@pytest.mark.parametrize("kind", ENDINGS)
def test_message_that_ends_sessions_delays_no_other(kind: type[MaildropError]) -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = dict(SIX)
        drop.ends = {b"u2": kind}
        b.everything()
        assert subjects(b) == ["1", "3", "4", "5", "6"]
        assert drop.retrieved == [b"u1", b"u3", b"u4", b"u5", b"u6"]
        assert drop.sessions == 3, "one that ended, one for the others, one for the message alone"
        assert status(b) == kind.result
        (message,) = b.ledger.troubled("a")
        assert (message.number, message.unique_id, message.trouble) == (2, "u2", Trouble.ENDS_SESSION)
        assert (message.code, message.words, message.times) == (kind.code, "the server's words", 2)
        listed = b.ledger.statuses()["a"]
        assert (listed.listed, listed.backlog_messages, listed.troubled) == (6, 1, 1)


def test_message_that_ended_one_session_by_chance_is_fetched_in_the_same_poll() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = dict(SIX)
        drop.session_ends_after = 4
        b.everything()
        assert subjects(b) == ["1", "2", "3", "4", "5", "6"]
        assert status(b) == "success"
        assert b.ledger.troubled("a") == []


def test_message_that_keeps_ending_sessions_is_postponed_and_tried_with_growing_pauses() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = dict(SIX)
        drop.ends = {b"u2": MaildropConnectError}
        for _ in range(POSTPONED_AFTER - 1):
            b.everything()
        (message,) = b.ledger.troubled("a")
        assert message.postponed
        assert message.times == POSTPONED_AFTER
        sessions = drop.sessions
        b.everything()
        assert (drop.sessions, status(b)) == (sessions + 1, "success")
        for pause in (3600, 7200, 14_400):
            (message,) = b.ledger.troubled("a")
            assert round(message.retry_at - b.clock.time, -2) <= pause
            b.clock.time += pause
            b.everything()
            (after,) = b.ledger.troubled("a")
            assert after.times == message.times + 1
            assert status(b) == "success", "it is known"
        drop.ends.clear()
        b.clock.time += 28_800
        b.everything()
        assert subjects(b) == ["1", "2", "3", "4", "5", "6"]
        assert b.ledger.troubled("a") == []


def test_known_message_that_ends_sessions_needs_no_session_of_its_own_in_a_quiet_mailbox() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = dict(SIX)
        drop.ends = {b"u2": MaildropConnectError}
        b.everything()
        sessions = drop.sessions
        b.everything()
        assert drop.sessions == sessions + 1


def test_new_mail_and_deletions_go_on_beside_a_message_that_ends_sessions() -> None:
    with bench(mailbox("a", deletion=Deletion(0.0))) as b:
        drop = b.maildrops["a"]
        drop.messages = dict(SIX)
        drop.ends = {b"u2": MaildropConnectError}
        b.everything()
        drop.messages[b"u7"] = mail("7")
        b.clock.time += 100
        b.everything()
        assert subjects(b) == ["1", "3", "4", "5", "6", "7"]
        b.clock.time += 100
        b.everything()
        assert set(drop.messages) == {b"u2"}


def test_messages_that_end_sessions_share_the_sessions_of_a_poll() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u%02d" % number: mail(str(number)) for number in range(1, 31)}
        drop.ends = {b"u%02d" % number: MaildropConnectError for number in range(2, 9)}
        for _ in range(3):
            b.everything()
        assert len(subjects(b)) == 23
        drop.ends = {b"u02": MaildropConnectError}
        for _ in range(4):
            b.everything()
        assert len(subjects(b)) == 29


def test_poll_that_took_too_long_opens_no_further_session() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = dict(SIX)
        drop.ends = {b"u2": MaildropTimeoutError}
        drop.session_seconds = b.mailboxes["a"].deadlines.poll
        drop.advance = b.clock.advance
        b.everything()
        assert drop.sessions == 1
        drop.session_seconds = 0.0
        b.everything()
        assert subjects(b) == ["1", "3", "4", "5", "6"]


def test_no_second_login_where_the_server_wants_time_between_logins() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = dict(SIX)
        drop.terms = Terms(login_delay=600.0)
        drop.ends = {b"u2": MaildropConnectError}
        b.everything()
        sessions = drop.sessions
        drop.messages[b"u7"] = mail("7")
        b.everything()
        assert drop.sessions == sessions + 1
        assert "7" in subjects(b)


def test_messages_without_unique_ids_are_passed_over_too() -> None:
    with bench(mailbox("a", deletion=Deletion(0.0))) as b:
        drop = b.maildrops["a"]
        drop.messages = dict(SIX)
        drop.unique_ids = False
        drop.ends = {b"u2": MaildropConnectError}
        b.everything()
        assert subjects(b) == ["1", "3", "4", "5", "6"]
        assert b.ledger.troubled("a") == []


@pytest.mark.parametrize("surprises", [4, 9])
def test_messages_larger_than_listed_prevent_no_other(surprises: int) -> None:
    with bench(mailbox("a", limits=Limits(message_bytes=2_000))) as b:
        drop = b.maildrops["a"]
        large = {b"l%d" % number: mail(f"large {number}", "x" * 4_000) for number in range(surprises)}
        drop.messages = {**large, **SIX}
        drop.sizes = dict.fromkeys(large, 100)
        b.everything()
        assert status(b) != "success", "nothing was stored"
        for _ in range(surprises // 4):
            b.everything()
        assert status(b) == "success"
        assert len(subjects(b)) == surprises + 6
        assert b.ledger.troubled("a") == []


def test_message_that_the_server_refuses_is_remembered_until_it_is_gone() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = dict(SIX)
        drop.refused = {b"u2"}
        for _ in range(2):
            b.everything()
        (message,) = b.ledger.troubled("a")
        assert (message.number, message.trouble, message.words) == (2, Trouble.REFUSED, "not this one")
        assert message.times == 2
        del drop.messages[b"u2"]
        b.everything()
        assert b.ledger.troubled("a") == []


def test_message_that_ends_sessions_and_is_then_refused_is_still_fetched_alone() -> None:
    """What follows the refusal may be what ends the sessions that fetch others behind it."""
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = dict(SIX)
        drop.ends = {b"u2": MaildropConnectError}
        b.everything()
        drop.ends, drop.refused = {}, {b"u2"}
        b.everything()
        (message,) = b.ledger.troubled("a")
        assert (message.unique_id, message.trouble, message.code) == ("u2", Trouble.ENDS_SESSION, "refused")
        sessions = drop.sessions
        drop.messages[b"u7"] = mail("7")
        b.everything()
        assert drop.sessions == sessions + 2, "one for the others, one for the message alone"
        assert subjects(b) == ["1", "3", "4", "5", "6", "7"]


def test_server_that_ends_each_session_early_is_polled_again_soon() -> None:
    with bench(mailbox("a", interval=3600.0)) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u%d" % number: mail(str(number)) for number in range(100)}
        drop.session_ends_after = 5
        started = b.clock.time
        b.ticker.tick(b.schedule())
        while len(b.ledger.seen("a").records) < 100:
            b.clock.time += 1
            b.poll_stage.run(lambda: False)
        assert b.clock.time - started < 600


def test_answer_to_quit_is_awaited_only_if_another_session_follows_at_once() -> None:
    with bench(mailbox("a", limits=Limits(messages_per_poll=2))) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u%d" % number: mail(str(number)) for number in range(5)}
        b.poll_all()
        assert (drop.quits, drop.awaited) == (3, 2)
        drop.messages[b"u6"] = mail("6")
        drop.ends = {b"u6": MaildropConnectError}
        drop.messages[b"u7"] = mail("7")
        b.poll_all()
        assert (drop.quits, drop.awaited) == (4, 3), "the message that ended a session is tried alone"
