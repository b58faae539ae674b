"""Polling: raw mail is durable before it is registered, nothing is fetched twice, only done messages are deleted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ingest.domain.mailbox import Deletion, Limits, Mailbox, Quirks, Server, Tls
from ingest.errors import MaildropAuthError, MaildropConnectError, StoreRefusedError, StoreUnavailableError
from ingest.ports.wakeups import Queue
from ingest.usecases.poll.fetch import STORE_REFUSALS, UPLOADS_PER_POLL
from tests.support.bench import bench, mail, mailbox, message_key, never


def test_raw_mail_is_stored_byte_for_byte_and_a_wakeup_is_sent() -> None:
    with bench() as b:
        raw = mail("1") + b"\x00\xff bare \r and \n"
        b.maildrops["a"].messages[b"u1"] = raw
        b.poll_all()
        (key,) = b.keys("raw.eml")
        assert b.store.objects[key].content == raw
        assert key.startswith("mail/a/2026/11/23/")
        assert b.wakeups.sent[Queue.PROCESS] == 1


def test_a_unique_id_seen_once_is_not_fetched_again() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1")
        b.poll_all()
        drop.messages[b"u2"] = mail("2")
        b.poll_all()
        assert drop.retrieved == [b"u1", b"u2"]


def test_same_bytes_under_a_new_unique_id_publish_no_second_event() -> None:
    """Servers reset unique-ids; the message key, not the unique-id, is the identity."""
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1"), b"u2": mail("2")}
        b.everything()
        b.settle()
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


def test_unstored_message_is_not_registered_and_the_session_ends_without_quit() -> None:
    """Some servers treat RETR and QUIT as consent to delete."""
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1"), b"u2": mail("2")}

        def fault(operation: str, key: str) -> None:
            if operation == "put":
                raise StoreUnavailableError("unavailable")

        b.store.fault = fault
        b.poll_all()
        assert drop.quits == 0
        assert b.ledger.seen("a").records == {}
        assert b.ledger.statuses()["a"].result == "store_error"
        b.store.fault = None
        b.everything()
        assert len(b.published()) == 2


@pytest.mark.parametrize("there", [b"", b"another mail"])
def test_other_bytes_under_a_messages_key_do_not_count_as_stored(there: bytes) -> None:
    """Otherwise the message would be registered, and later deleted on its server."""
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1")}
        b.poll_all()
        (key,) = b.keys("raw.eml")
        b.store.objects[key] = replace(b.store.objects[key], content=there)
        drop.messages = {b"new id": mail("1"), b"u2": mail("2")}
        b.poll_all()
        seen = b.ledger.seen("a").records
        assert b.digest("a", b"new id", len(drop.messages[b"new id"])) not in seen
        assert b.digest("a", b"u2", len(drop.messages[b"u2"])) in seen, "the others go on"
        assert b.store.objects[key].content == there


def test_failed_mailbox_does_not_delay_the_others() -> None:
    with bench(mailbox("a"), mailbox("b"), mailbox("c")) as b:
        b.maildrops["a"].error = MaildropConnectError("gone")
        b.maildrops["b"].error = MaildropAuthError("no")
        b.maildrops["c"].messages[b"u"] = mail("1")
        b.everything()
        assert len(b.published()) == 1
        results = {id_: status.result for id_, status in b.ledger.statuses().items()}
        assert results == {"a": "connect_error", "b": "auth_error", "c": "success"}


def test_bug_triggered_by_one_mailbox_does_not_stop_the_others() -> None:
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
        assert b.ledger.seen("a").records == {}
        outcome = b.poll_stage.handle(fresh, never)
        assert outcome is not None
        assert outcome.result == "success"
        assert len(b.ledger.seen("a").records) == 1


@pytest.mark.parametrize(
    ("after", "pause", "left"), [(None, 10**9, 1), (0.0, 60, 0), (3600.0, 60, 1), (3600.0, 3700, 0)]
)
def test_done_messages_are_deleted_once_the_policy_allows(after: float | None, pause: float, left: int) -> None:
    with bench(mailbox("a", deletion=Deletion(after))) as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1")
        b.everything()
        assert len(drop.messages) == 1, "never in the session that fetched it"
        b.clock.time += pause
        b.poll_all()
        assert len(drop.messages) == left


def test_message_is_not_deleted_within_seconds_of_its_registration() -> None:
    """What Redis loses with its last second must still be on the server, or known to be done."""
    with bench(mailbox("a", deletion=Deletion(0.0))) as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1")
        b.everything()
        b.clock.time -= 9
        b.poll_all()
        assert len(drop.messages) == 1
        b.poll_all()
        assert drop.messages == {}


def test_a_message_that_is_not_done_is_never_deleted() -> None:
    with bench(mailbox("a", deletion=Deletion(0.0))) as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        for _ in range(3):
            b.poll_all()
            b.clock.time += 1000
        assert list(b.maildrops["a"].messages) == [b"u1"]


def test_one_message_refused_by_the_store_delays_no_other_and_prevents_deletion() -> None:
    """The session holds fetched but unstored mail, so it must not end with QUIT."""
    with bench(mailbox("a", deletion=Deletion(0.0))) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("done")}
        b.everything()
        drop.messages |= {b"u2": mail("refused"), b"u3": mail("3")}
        refused = message_key("a", drop.messages[b"u2"])

        def fault(operation: str, key: str) -> None:
            if operation == "put" and refused in key:
                raise StoreRefusedError("too strange")

        b.store.fault = fault
        quits, deleted = drop.quits, set(drop.messages)
        b.everything()
        assert [event["data"]["headers"]["subject"] for event in b.published()] == ["done", "3"]
        assert (drop.quits, set(drop.messages)) == (quits, deleted)
        assert b.ledger.statuses()["a"].backlog_messages == 1
        b.store.fault = None
        b.everything()
        assert len(b.published()) == 3
        assert b"u1" not in drop.messages


def test_a_store_that_refuses_everything_fails_the_poll_early() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {f"u{n}".encode(): mail(str(n)) for n in range(100)}

        def fault(operation: str, key: str) -> None:
            if operation == "put":
                raise StoreRefusedError("no permission")

        b.store.fault = fault
        b.poll_all()
        assert b.ledger.statuses()["a"].result == "store_error"
        assert len(drop.retrieved) < 20
        assert drop.quits == 0


def test_a_single_message_that_the_store_refuses_fails_the_poll() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")

        def fault(operation: str, key: str) -> None:
            if operation == "put":
                raise StoreRefusedError("no permission")

        b.store.fault = fault
        b.poll_all()
        assert b.ledger.statuses()["a"].result == "store_error"
        assert b.ledger.seen("a").records == {}


def test_oversize_message_is_stored_by_its_header_and_published() -> None:
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


@pytest.mark.parametrize("listed", [None, 100])
def test_oversize_message_is_never_deleted(listed: int | None) -> None:
    """Only the server has it, so neither the policy nor a wrong listed size may delete it."""
    with bench(mailbox("a", limits=Limits(message_bytes=500), deletion=Deletion(0.0))) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("big", "x" * 1000), b"u2": mail("small")}
        drop.sizes = {} if listed is None else {b"u1": listed}
        for _ in range(3):
            b.everything()
            b.clock.time += 10**6
        assert list(drop.messages) == [b"u1"]
        assert len(b.published()) == 2


def test_oversize_messages_without_a_header_are_identified_by_their_unique_ids() -> None:
    with bench(mailbox("a", limits=Limits(message_bytes=500))) as b:
        drop = b.maildrops["a"]
        drop.tops = False
        drop.messages = {b"u1": mail("big", "x" * 1000), b"u2": mail("big", "x" * 1000)}
        b.everything()
        assert [event["type"] for event in b.published()] == ["dev.mailhaul.message.oversize.v1"] * 2
        assert len({event["data"]["message_key"] for event in b.published()}) == 2


def test_stopped_poll_leaves_oversize_messages_to_the_next() -> None:
    with bench(mailbox("a", limits=Limits(message_bytes=500))) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("big", "x" * 1000), b"u2": mail("small")}
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        report = b.poller.poll(claim, b.mailboxes["a"], lambda: drop.retrieved == [b"u2"])
        assert (report.stored, report.oversize) == (1, 0)


def test_raw_object_that_is_deleted_while_its_message_is_stored_again_is_written_again() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1")}
        b.poll_all()
        (key,) = b.keys("raw.eml")

        def delete(operation: str, _: str) -> None:
            if operation == "stat":
                b.store.fault = None
                del b.store.objects[key]

        b.store.fault = delete
        drop.messages = {b"x1": mail("1")}
        b.poll_all()
        assert b.store.objects[key].content == mail("1")


def test_poll_ends_early_if_the_store_refuses_every_message() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u%d" % number: mail(str(number)) for number in range(100)}

        def fault(operation: str, key: str) -> None:
            if operation == "put" and key.endswith("raw.eml"):
                raise StoreRefusedError("no permission")

        b.store.fault = fault
        b.poll_all()
        assert b.ledger.statuses()["a"].result == "store_error"
        assert STORE_REFUSALS <= len(drop.retrieved) <= STORE_REFUSALS + 2 * UPLOADS_PER_POLL
        assert b.ledger.seen("a").records == {}


def test_wrong_listed_size_costs_one_more_session_and_no_message() -> None:
    with bench(mailbox("a", limits=Limits(message_bytes=500))) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1"), b"u2": mail("liar", "x" * 1000), b"u3": mail("3")}
        drop.sizes = {b"u2": 100}
        b.everything()
        assert sorted(event["data"]["headers"]["subject"] for event in b.published()) == ["1", "3", "liar"]
        assert drop.sessions == 2


def test_message_refused_by_the_server_does_not_delay_the_others() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1"), b"u2": mail("2")}
        drop.refused = {b"u1"}
        b.everything()
        assert [event["data"]["headers"]["subject"] for event in b.published()] == ["2"]
        assert b.ledger.statuses()["a"].backlog_messages == 1


def test_messages_refused_by_the_server_do_not_count_towards_the_limit() -> None:
    """Otherwise a thousand of them would block every other message of the mailbox forever."""
    with bench(mailbox("a", limits=Limits(messages_per_poll=2))) as b:
        drop = b.maildrops["a"]
        drop.messages = {f"u{n}".encode(): mail(str(n)) for n in range(6)}
        drop.refused = {b"u0", b"u1", b"u2"}
        b.everything()
        assert drop.sessions == 2, "and they do not make the mailbox due at once for ever"
        assert sorted(event["data"]["headers"]["subject"] for event in b.published()) == ["3", "4", "5"]


def test_server_that_lists_a_window_is_polled_until_nothing_is_new() -> None:
    """Gmail lists about 250 conversations, and lists more once they were read."""
    server = Server("pop.example.org", 110, Tls.NONE, quirks=Quirks(lists_window=True))
    with bench(Mailbox("a", server)) as b:
        drop = b.maildrops["a"]
        drop.messages = {f"u{n}".encode(): mail(str(n)) for n in range(5)}
        drop.window = 2
        b.everything()
        assert len(b.published()) == 5
        assert drop.sessions == 4, "the last one found nothing new"
        seen = b.ledger.seen("a").records.values()
        assert [record.is_restored for record in seen] == [False] * 5, "what is not in the window is not gone"


def test_stalled_pipelining_opens_another_session_at_once() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1")
        drop.stalls = 1
        b.everything()
        assert len(b.published()) == 1
        assert b.ledger.statuses()["a"].result == "success"


def test_server_that_stalls_in_lockstep_too_fails_the_poll() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1")
        drop.stalls = 10
        b.poll_all()
        assert b.ledger.statuses()["a"].result == "timeout"
        assert drop.stalls == 8


def test_a_full_mailbox_is_due_again_at_once() -> None:
    with bench(mailbox("a", limits=Limits(messages_per_poll=2))) as b:
        b.maildrops["a"].messages = {f"u{n}".encode(): mail(str(n)) for n in range(5)}
        b.everything()
        assert len(b.published()) == 5
        assert b.maildrops["a"].sessions == 3


def test_stop_keeps_fetched_messages_and_ends_without_quit() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {f"u{n}".encode(): mail(str(n)) for n in range(20)}
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        asked = iter([False, False, True])
        b.poll_stage.handle(claim, lambda: next(asked, True))
        assert len(b.ledger.seen("a").records) == 3
        assert drop.quits == 0


def test_expired_wakeup_does_not_interrupt_a_large_mailbox() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        for drop in b.maildrops.values():
            drop.messages = {f"u{n}".encode(): mail(str(n)) for n in range(20)}
        b.ticker.tick(b.schedule())
        polled = b.poll_stage.run(lambda: len(b.ledger.seen("a").records) > 0, leave=never)
        assert polled == 1
        assert len(b.ledger.seen("a").records) == 20
        assert b.maildrops["a"].quits == 1


def test_interrupted_mailbox_is_due_again_at_once() -> None:
    with bench() as b:
        b.maildrops["a"].messages = {f"u{n}".encode(): mail(str(n)) for n in range(20)}
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        b.poll_stage.handle(claim, lambda: True)
        assert len(b.ledger.mailboxes.claim(1, 60)) == 1


def test_messages_gone_from_the_server_are_dropped_from_the_seen_set_once_there_are_many() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {f"u{n}".encode(): mail(str(n)) for n in range(310)}
        b.everything()
        b.everything()
        for gone in range(300):
            del drop.messages[f"u{gone}".encode()]
        b.everything()
        assert len(b.ledger.seen("a").records) == 310
        del drop.messages[b"u300"]
        b.everything()
        assert len(b.ledger.seen("a").records) == 9


def test_without_unique_ids_content_decides_what_is_new_and_done() -> None:
    with bench(mailbox("a", deletion=Deletion(0.0))) as b:
        drop = b.maildrops["a"]
        drop.unique_ids = False
        drop.messages = {b"1": mail("1"), b"2": mail("2")}
        b.poll_all()
        b.poll_all()
        assert len(drop.messages) == 2, "stored, but not done: nothing is deleted"
        b.everything()
        drop.messages[b"3"] = mail("3")
        b.everything()
        assert list(drop.messages) == [b"3"], "never in the session that fetched it first"
        b.everything()
        assert drop.messages == {}
        assert sorted(event["data"]["headers"]["subject"] for event in b.published()) == ["1", "2", "3"]


@pytest.mark.parametrize("policy", [Deletion(), Deletion(86_400.0)])
def test_without_unique_ids_leaving_mail_on_the_server_is_refused_before_anything_is_fetched(
    policy: Deletion,
) -> None:
    with bench(mailbox("a", deletion=policy)) as b:
        drop = b.maildrops["a"]
        drop.unique_ids = False
        drop.messages[b"1"] = mail("1")
        b.poll_all()
        assert b.ledger.statuses()["a"].result == "refused"
        assert drop.retrieved == []


def test_without_unique_ids_the_seen_set_does_not_grow_with_each_poll() -> None:
    with bench(mailbox("a", deletion=Deletion(0.0))) as b:
        drop = b.maildrops["a"]
        drop.unique_ids = False
        for number in range(10):
            drop.messages = {b"1": mail(str(number))}
            b.everything()
            b.poll_all()
            assert len(b.ledger.seen("a").records) <= 2


def test_a_full_mailbox_without_unique_ids_waits_for_its_interval() -> None:
    """It would fetch the same messages again until they are done."""
    with bench(mailbox("a", deletion=Deletion(0.0), limits=Limits(messages_per_poll=2))) as b:
        drop = b.maildrops["a"]
        drop.unique_ids = False
        drop.messages = {f"{n}".encode(): mail(str(n)) for n in range(5)}
        b.poll_all()
        assert drop.sessions == 1
        for _ in range(6):
            b.everything()
        assert drop.messages == {}
        assert len(b.published()) == 5


def test_unique_id_of_two_messages_hides_neither() -> None:
    """Even when the first poll ends between the two."""
    with bench(mailbox("a", deletion=Deletion(0.0))) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1"), b"u2": mail("2"), b"u3": mail("3")}
        drop.alias = {b"u1": b"same", b"u2": b"same"}
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        b.poll_stage.handle(claim, lambda: True)
        assert drop.retrieved == [b"u1"]
        b.everything()
        b.settle()
        del drop.messages[b"u1"]
        b.everything()
        b.everything()
        assert drop.messages == {}
        assert sorted(event["data"]["headers"]["subject"] for event in b.published()) == ["1", "2", "3"]


def test_a_reset_of_all_unique_ids_is_noticed_and_makes_no_second_event() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {f"u{n}".encode(): mail(str(n)) for n in range(10)}
        b.everything()
        b.settle()
        drop.messages = {f"x{n}".encode(): mail(str(n)) for n in range(11)}
        b.everything()
        assert b.resets("a") == 1
        assert len(b.published()) == 11
        assert len(b.ledger.seen("a").records) == 21, "the old ids may return: several nodes behind one name"
        b.everything()
        assert b.resets("a") == 1


@pytest.mark.parametrize("policy", [Deletion(), Deletion(0.0), Deletion(10.0)])
def test_ordinary_turnover_of_mail_is_no_reset(policy: Deletion) -> None:
    with bench(mailbox("a", deletion=policy)) as b:
        drop = b.maildrops["a"]
        for turn in range(5):
            if policy.after is None:
                drop.messages.pop(f"{turn - 2} 0".encode(), None)
            drop.messages |= {f"{turn} {n}".encode(): mail(f"{turn} {n}") for n in range(3)}
            b.everything()
            b.clock.time += 100
        assert b.resets("a") == 0


def test_new_mail_after_everything_was_deleted_is_no_reset() -> None:
    with bench(mailbox("a", deletion=Deletion(0.0))) as b:
        drop = b.maildrops["a"]
        for turn in range(3):
            drop.messages = {f"{turn} {n}".encode(): mail(f"{turn} {n}") for n in range(3)}
            b.everything()
            b.everything()
            assert drop.messages == {}
        assert b.resets("a") == 0


def test_a_disabled_mailbox_is_not_polled() -> None:
    with bench(mailbox("a", enabled=False), mailbox("b")) as b:
        b.poll_all()
        assert (b.maildrops["a"].sessions, b.maildrops["b"].sessions) == (0, 1)


def test_messages_that_the_store_cannot_take_hold_up_no_others() -> None:
    """As with a part of the store down: the keys that are on it fail, however often they are tried."""
    with bench() as b:
        bad = {message_key("a", mail(f"bad {number}")) for number in range(10)}

        def fault(operation: str, key: str) -> None:
            if operation == "put" and any(one in key for one in bad):
                raise StoreUnavailableError("a part of the store is down")

        b.store.fault = fault
        drop = b.maildrops["a"]
        drop.messages |= {b"bad %d" % number: mail(f"bad {number}") for number in range(10)}
        drop.messages |= {b"good %d" % number: mail(f"good {number}") for number in range(20)}
        for _ in range(6):
            b.everything()
            b.clock.time += 1_000
        assert len(b.published()) == 20
        drop.messages[b"new"] = mail("new")
        for _ in range(2):
            b.everything()
            b.clock.time += 1_000
        assert len(b.published()) == 21
        b.store.fault = None
        b.everything()
        assert len(b.published()) == 31
