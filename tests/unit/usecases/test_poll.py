"""Polling: raw is durable before it is registered, nothing is fetched twice, nothing is deleted that is not done."""

from __future__ import annotations

import pytest

from ingest.domain.mailbox import Deletion, Limits
from ingest.errors import MaildropAuthError, MaildropConnectError, StoreUnavailableError
from ingest.ports.hints import Queue
from tests.support.bench import bench, mail, mailbox, never


def test_raw_is_stored_octet_by_octet_and_a_hint_is_sent() -> None:
    with bench() as b:
        raw = mail("1") + b"\x00\xff bare \r and \n"
        b.maildrops["a"].messages[b"u1"] = raw
        b.poll_all()
        (key,) = b.keys("raw.eml")
        assert b.store.objects[key].content == raw
        assert key.startswith("mail/a/2026/11/23/")
        assert b.hints.sent[Queue.PROCESS] == 1


def test_a_unique_id_seen_once_is_not_fetched_again() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1")
        b.poll_all()
        drop.messages[b"u2"] = mail("2")
        b.poll_all()
        assert drop.retrieved == [b"u1", b"u2"]


def test_the_same_octets_under_a_new_unique_id_make_no_second_event() -> None:
    """Servers reset unique-ids; the message key, not the unique-id, is the identity."""
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1"), b"u2": mail("2")}
        b.everything()
        drop.messages = {b"x1": mail("1"), b"x2": mail("2")}
        b.everything()
        assert len(b.published()) == 2
        assert len(b.keys("raw.eml")) == 2
        assert b.ledger.counts()["open"] == 0


def test_one_message_listed_twice_is_one_message() -> None:
    with bench() as b:
        b.maildrops["a"].messages = {b"u1": mail("1"), b"u2": mail("1")}
        b.everything()
        assert len(b.published()) == 1


def test_what_could_not_be_stored_is_not_registered_and_the_session_ends_without_quit() -> None:
    """Some servers take RETR and QUIT for consent to delete."""
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1"), b"u2": mail("2")}

        def fault(operation: str, key: str) -> None:
            if operation == "put":
                raise StoreUnavailableError("away")

        b.store.fault = fault
        b.poll_all()
        assert drop.quits == 0
        assert b.ledger.seen("a") == {}
        assert b.ledger.statuses()["a"].result == "store_error"
        b.store.fault = None
        b.everything()
        assert len(b.published()) == 2


def test_a_mailbox_that_failed_waits_and_the_others_go_on() -> None:
    with bench(mailbox("a"), mailbox("b"), mailbox("c")) as b:
        b.maildrops["a"].error = MaildropConnectError("gone")
        b.maildrops["b"].error = MaildropAuthError("no")
        b.maildrops["c"].messages[b"u"] = mail("1")
        b.everything()
        assert len(b.published()) == 1
        results = {id_: status.result for id_, status in b.ledger.statuses().items()}
        assert results == {"a": "connect_error", "b": "auth_error", "c": "success"}
        b.clock.time += 61
        assert {claim.id for claim in b.ledger.mailboxes.claim(10, 60)} == {"a", "c"}


def test_a_bug_that_one_mailbox_brings_out_does_not_stop_the_others() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        b.maildrops["b"].messages[b"u"] = mail("1")
        del b.maildrops["a"]
        b.everything()
        assert len(b.published()) == 1
        assert b.ledger.statuses()["a"].result == "internal_error"


def test_a_lost_claim_commits_nothing() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.ticker.tick(b.schedule())
        (stale,) = b.ledger.mailboxes.claim(1, 60)
        b.clock.time += 61
        (fresh,) = b.ledger.mailboxes.claim(1, 60)
        outcome = b.poll_stage.handle(stale, never)
        assert outcome is not None
        assert outcome.result == "ledger_error"
        assert b.ledger.seen("a") == {}
        outcome = b.poll_stage.handle(fresh, never)
        assert outcome is not None
        assert outcome.result == "success"
        assert len(b.ledger.seen("a")) == 1


@pytest.mark.parametrize(
    ("after", "pause", "left"), [(None, 10**9, 1), (0.0, 60, 0), (3600.0, 60, 1), (3600.0, 3700, 0)]
)
def test_done_messages_are_deleted_when_the_policy_says_so_and_old_enough(
    after: float | None, pause: float, left: int
) -> None:
    with bench(mailbox("a", deletion=Deletion(after))) as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1")
        b.everything()
        assert len(drop.messages) == 1, "never in the session that fetched it"
        b.clock.time += pause
        b.poll_all()
        assert len(drop.messages) == left


def test_a_message_that_is_not_done_is_never_deleted() -> None:
    with bench(mailbox("a", deletion=Deletion(0.0))) as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        for _ in range(3):
            b.poll_all()
            b.clock.time += 1000
        assert list(b.maildrops["a"].messages) == [b"u1"]


def test_a_message_above_the_limit_is_recorded_by_its_header_and_tells_of_itself() -> None:
    with bench(mailbox("a", limits=Limits(message_bytes=500))) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("big", "x" * 1000), b"u2": mail("small")}
        b.everything()
        assert drop.retrieved == [b"u2"]
        oversize = next(event for event in b.published() if event["type"] == "dev.mailhaul.message.oversize.v1")
        assert oversize["data"]["headers"]["subject"] == "big"
        assert oversize["data"]["raw"] is None
        assert oversize["data"]["listed_size"] > 1000
        assert len(b.published()) == 2


def test_a_server_that_lies_about_a_size_costs_one_more_session_and_no_message() -> None:
    with bench(mailbox("a", limits=Limits(message_bytes=500))) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1"), b"u2": mail("liar", "x" * 1000), b"u3": mail("3")}
        drop.sizes = {b"u2": 100}
        b.everything()
        assert sorted(event["data"]["headers"]["subject"] for event in b.published()) == ["1", "3", "liar"]
        assert drop.sessions == 2


def test_a_message_the_server_refuses_to_hand_out_does_not_hold_up_the_others() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1"), b"u2": mail("2")}
        drop.refused = {b"u1"}
        b.everything()
        assert [event["data"]["headers"]["subject"] for event in b.published()] == ["2"]
        assert b.ledger.statuses()["a"].backlog_messages == 1


def test_a_full_mailbox_is_due_again_at_once() -> None:
    with bench(mailbox("a", limits=Limits(messages_per_poll=2))) as b:
        b.maildrops["a"].messages = {f"u{n}".encode(): mail(str(n)) for n in range(5)}
        b.everything()
        assert len(b.published()) == 5
        assert b.maildrops["a"].sessions == 3


def test_stopping_keeps_what_was_fetched_and_leaves_without_quit() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {f"u{n}".encode(): mail(str(n)) for n in range(20)}
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        asked = iter([False, False, True])
        b.poll_stage.handle(claim, lambda: next(asked, True))
        assert len(b.ledger.seen("a")) == 3
        assert drop.quits == 0


def test_a_hint_whose_time_is_up_does_not_cut_a_large_mailbox_short() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        for drop in b.maildrops.values():
            drop.messages = {f"u{n}".encode(): mail(str(n)) for n in range(20)}
        b.ticker.tick(b.schedule())
        polled = b.poll_stage.run(lambda: len(b.ledger.seen("a")) > 0, leave=never)
        assert polled == 1
        assert len(b.ledger.seen("a")) == 20
        assert b.maildrops["a"].quits == 1


def test_a_mailbox_that_was_cut_short_is_due_again_at_once() -> None:
    with bench() as b:
        b.maildrops["a"].messages = {f"u{n}".encode(): mail(str(n)) for n in range(20)}
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        b.poll_stage.handle(claim, lambda: True)
        assert len(b.ledger.mailboxes.claim(1, 60)) == 1


def test_ids_gone_from_the_server_leave_the_seen_set() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {f"u{n}".encode(): mail(str(n)) for n in range(4)}
        b.everything()
        for gone in (b"u0", b"u1"):
            del drop.messages[gone]
        b.poll_all()
        assert len(b.ledger.seen("a")) == 2


def test_a_paused_mailbox_is_not_polled() -> None:
    with bench(mailbox("a", enabled=False), mailbox("b")) as b:
        b.poll_all()
        assert (b.maildrops["a"].sessions, b.maildrops["b"].sessions) == (0, 1)
