"""Faults of servers and stores under which mail was deleted, skipped or published twice on the word of the ledger."""

from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from ingest.domain.mailbox import Deletion
from ingest.errors import MaildropConnectError, StoreUnavailableError
from ingest.testing import MemorySession
from ingest.usecases.poll.undeleted import UndeletedMessages
from tests.support.bench import Bench, bench, mail, mailbox, message_key, never

DELETE = mailbox("a", deletion=Deletion(0.0))


def poll(b: Bench, times: int = 1) -> None:
    """Poll and process, each time late enough for deletions to be due."""
    for _ in range(times):
        b.clock.time += 100
        b.everything()


def stored(b: Bench, raw: bytes) -> bool:
    return any(message_key("a", raw) in key and key.endswith("message.json") for key in b.store.objects)


def subjects(b: Bench) -> list[str]:
    return [event["data"]["headers"]["subject"] for event in b.published()]


def withheld(b: Bench) -> float:
    return b.metrics.registry.get_sample_value("mailhaul_deletions_withheld_total", {"mailbox": "a"}) or 0.0


def unreliable(b: Bench) -> float:
    return b.metrics.registry.get_sample_value("mailhaul_unique_ids_unreliable_total", {"mailbox": "a"}) or 0.0


@pytest.mark.parametrize("size", ["same", "another"])
def test_unique_id_that_is_reused_after_a_deletion_is_another_message(size: str) -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.messages[b"id-1"] = mail("first")
        poll(b, 2)
        assert drop.messages == {}
        drop.messages[b"id-1"] = second = mail("other" if size == "same" else "another one")
        poll(b)
        assert drop.messages == {b"id-1": second}, "deleted before it was fetched"
        poll(b, 2)
        assert subjects(b) == ["first", "other" if size == "same" else "another one"]
        assert drop.messages == {}


def test_message_that_replaces_another_under_its_unique_id_is_fetched() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages[b"id-1"] = mail("first")
        poll(b)
        drop.messages[b"id-1"] = mail("another one")
        poll(b)
        assert subjects(b) == ["first", "another one"]


@pytest.mark.parametrize("deletion", [Deletion(None), Deletion(0.0)])
def test_message_numbers_as_unique_ids_hide_no_message(deletion: Deletion) -> None:
    """Somebody else deletes message 1, so that message 2 becomes 1 and a new message 2; all have the same size."""
    with bench(mailbox("a", deletion=deletion)) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"1": mail("aa"), b"2": mail("bb")}
        b.everything()
        drop.messages = {b"1": mail("bb"), b"2": mail("cc")}
        poll(b, 3)
        assert subjects(b) == ["aa", "bb", "cc"]
        assert unreliable(b) > 0


def test_message_numbers_as_unique_ids_are_not_fetched_again() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {b"%d" % number: mail(f"number {number}") for number in range(1, 6)}
        poll(b, 3)
        assert len(drop.retrieved) == 5
        assert len(b.published()) == 5


@pytest.mark.parametrize("deletion", [Deletion(None), Deletion(0.0)])
def test_message_that_does_not_begin_with_the_header_that_identified_it_is_identified_by_content(
    deletion: Deletion,
) -> None:
    """TOP answers with the header of the next message. All have one size, and somebody else deletes the first."""
    with bench(mailbox("a", deletion=deletion)) as b:
        drop = b.maildrops["a"]
        drop.numbered = drop.shifts_tops = True
        drop.messages = {b"1": mail("aa"), b"2": mail("bb"), b"3": mail("cc")}
        b.everything()
        drop.messages = {b"2": mail("bb"), b"3": mail("cc"), b"4": mail("dd")}
        poll(b, 3)
        assert subjects(b) == ["aa", "bb", "cc", "dd"]
        assert bool(drop.messages) == (deletion.after is None)


@pytest.mark.parametrize("numbered", [True, False])
def test_message_that_only_content_identifies_is_not_deleted_before_its_time(*, numbered: bool) -> None:
    """Its server has no TOP, and lists message numbers, or one unique-id for all, from the second poll on."""
    with bench(mailbox("a", deletion=Deletion(1_000.0))) as b:
        drop = b.maildrops["a"]
        drop.tops, drop.numbered = False, numbered
        drop.messages = {b"7": mail("first"), b"8": mail("other")}
        poll(b)
        if not numbered:
            drop.alias = dict.fromkeys(drop.messages, b"same")
        poll(b, 8)
        assert len(drop.messages) == 2, "deleted before its time"
        poll(b, 2)
        assert drop.messages == {}
        assert subjects(b) == ["first", "other"]


@pytest.mark.parametrize("deletion", [Deletion(None), Deletion(0.0)])
def test_message_that_has_the_size_of_another_is_fetched_once_more(deletion: Deletion) -> None:
    with bench(mailbox("a", deletion=deletion)) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"1": mail("first"), b"2": mail("the second")}
        drop.sends_instead[b"1"] = b"2"
        with capture_logs() as logs:
            b.everything()
        assert [entry["number"] for entry in logs if entry["event"] == "message.may_be_another"] == [1]
        poll(b, 3)
        assert sorted(subjects(b)) == ["first", "the second"]
        assert drop.retrieved.count(b"1") == 2
        assert bool(drop.messages) == (deletion.after is None)


@pytest.mark.parametrize("otherwise", ["without unique-ids", "under another unique-id", "by its number"])
def test_unique_id_is_another_message_after_a_deletion_under_another_identity(otherwise: str) -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.messages[b"id-1"] = mail("first")
        b.everything()
        drop.unique_ids = otherwise != "without unique-ids"
        drop.numbered = otherwise == "by its number"
        drop.alias = {b"id-1": b"another"} if otherwise == "under another unique-id" else {}
        poll(b, 3)
        assert drop.messages == {}
        drop.unique_ids, drop.numbered, drop.alias = True, False, {}
        drop.messages[b"id-1"] = mail("other")
        poll(b)
        assert drop.messages == {b"id-1": mail("other")}, "deleted before it was fetched"
        poll(b, 2)
        assert subjects(b) == ["first", "other"]
        assert drop.messages == {}


@pytest.mark.parametrize("message_ids", [True, False])
def test_message_that_came_in_another_size_is_deleted_unless_its_header_contradicts(*, message_ids: bool) -> None:
    """Listed sizes are estimates, so that they do not show that the server has sent another message."""
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.messages = {
            b"%d" % n: (b"Message-ID: <%d@example.org>\r\n" % n if message_ids else b"") + mail("x" * n)
            for n in (1, 2, 3)
        }
        first = drop.messages[b"1"]
        drop.sizes = {b"1": 200, b"2": 201, b"3": 202}
        drop.sends_instead[b"1"] = b"2"
        poll(b, 2)
        assert drop.messages == {b"1": first}
        poll(b, 2)
        assert sorted(subjects(b)) == ["x", "xx", "xxx"]
        assert drop.messages == {}
        assert drop.retrieved.count(b"2") == drop.retrieved.count(b"3") == 1


@pytest.mark.parametrize("identified", [True, False])
def test_message_that_had_the_size_of_another_each_time_is_deleted_only_if_it_has_the_stored_header(
    *, identified: bool
) -> None:
    """Where sizes are estimates, a message may have the size of another by chance."""
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        raws = [b"Message-ID: <%d@example.org>\r\n%b" % (n, mail("x" * n)) for n in (1, 2)]
        drop.messages = dict(zip((b"1", b"2"), raws, strict=True))
        drop.unique_ids = identified
        for _ in range(2):
            drop.sends_instead[b"1"] = b"2"
            poll(b)
        assert drop.messages[b"1"] == raws[0], "deleted although it was never fetched"
        poll(b, 4)
        assert sorted(subjects(b)) == ["x", "xx"]
        assert drop.messages == {}

        drop.messages = {b"3": mail("first"), b"4": mail("the second")}
        drop.sizes[b"3"] = len(mail("first")) + 1
        drop.sizes[b"4"] = len(mail("first"))
        poll(b, 4)
        assert b"4" not in drop.messages


def test_another_server_with_the_same_unique_ids_has_other_messages() -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u%d" % number: mail("old") for number in range(1, 4)}
        b.everything()
        server = replace(DELETE.server, host="new.example.org")
        b.mailboxes["a"] = replace(DELETE, server=server)
        drop.messages = {b"u%d" % number: mail(f"new {number}")[: len(mail("old"))] for number in range(1, 4)}
        there = dict(drop.messages)
        poll(b)
        assert drop.messages == there
        assert all(stored(b, raw) for raw in there.values())
        poll(b, 2)
        assert drop.messages == {}


def test_swapped_store_gets_the_mail_before_anything_is_deleted() -> None:
    with bench(mailbox("a", deletion=Deletion(3600.0))) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u%d" % number: mail(str(number)) for number in range(3)}
        there = dict(drop.messages)
        b.everything()
        b.store.objects.clear()
        b.clock.time += 4_000
        b.everything()
        assert drop.messages == there
        assert all(stored(b, raw) for raw in there.values())


def test_message_that_the_store_lost_is_not_deleted_but_stored_again() -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1"), b"u2": mail("2")}
        b.everything()
        lost = next(key for key in b.store.objects if message_key("a", mail("1")) in key and key.endswith("raw.eml"))
        del b.store.objects[lost]
        poll(b)
        assert drop.messages == {b"u1": mail("1")}
        assert withheld(b) == 1
        poll(b)
        assert b.store.objects[lost].content == mail("1")
        poll(b, 2)
        assert drop.messages == {}
        assert len({event["id"] for event in b.published()}) == 2


def test_message_without_manifest_is_not_deleted() -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1")
        b.everything()
        del b.store.objects[next(key for key in b.store.objects if key.endswith("message.json"))]
        poll(b)
        assert drop.messages == {b"u1": mail("1")}
        poll(b, 3)
        assert drop.messages == {}
        assert stored(b, mail("1"))


def test_store_that_is_unavailable_postpones_deletions_only() -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1")
        b.everything()

        def fault(operation: str, key: str) -> None:
            if operation == "stat":
                raise StoreUnavailableError("busy")

        b.store.fault = fault
        poll(b)
        assert drop.messages == {b"u1": mail("1")}
        assert b.ledger.statuses()["a"].result == "success"
        b.store.fault = None
        poll(b)
        assert drop.messages == {}


def test_unique_ids_that_change_every_time_publish_nothing_twice() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        mails = [mail(str(number)) for number in range(6)]
        for generation in range(4):
            drop.messages = {b"g%d-%d" % (generation, number): raw for number, raw in enumerate(mails)}
            b.everything()
        assert len(b.published()) == 6


def test_unique_ids_that_change_after_the_stream_was_trimmed_publish_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sink has confirmed all events, and the stream does not hold them any more."""
    with bench() as b:
        monkeypatch.setattr(b.events, "_kept", 2)
        drop = b.maildrops["a"]
        mails = [mail(str(number)) for number in range(6)]
        for generation in range(3):
            drop.messages = {b"g%d-%d" % (generation, number): raw for number, raw in enumerate(mails)}
            b.everything()
            b.events.trim(["main"])
        assert len(b.published()) == 6


def test_two_nodes_behind_one_name_are_each_fetched_once() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        mails = [mail(str(number)) for number in range(20)]
        for turn in range(6):
            drop.messages = {b"node%d-%d" % (turn % 2, number): raw for number, raw in enumerate(mails)}
            b.everything()
        assert len(b.published()) == 20
        assert len(drop.retrieved) == 40


def test_more_deletions_than_one_poll_may_prove_are_left_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.usecases.poll.deletions.DELETIONS_PER_POLL", 2)
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u%d" % number: mail(str(number)) for number in range(5)}
        b.everything()
        b.clock.time += 100
        b.everything()
        assert drop.messages == {}


def statuses(b: Bench) -> list[tuple[str, bool]]:
    """Status of each published message, and whether it has the defect of one that may be cut."""
    parsed = [event["data"]["parse"] for event in b.published()]
    return [(parse["status"], "may_be_cut" in parse["defects"]) for parse in parsed]


@pytest.mark.parametrize("how", ["behind it came no answer", "far shorter than listed"])
def test_message_that_may_be_cut_is_stored_with_a_defect_fetched_once_more_and_never_deleted(how: str) -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1", "x" * 2_000), b"u2": mail("2")}
        if how == "far shorter than listed":
            drop.sizes[b"u1"] = 10_000
        else:
            drop.cut[b"u1"] = 500
        poll(b, 5)
        assert drop.messages == {b"u1": mail("1", "x" * 2_000)}
        assert drop.retrieved.count(b"u1") == 2
        assert sorted(statuses(b)) == [("complete", False), ("partial", True)]
        assert withheld(b) == 0


def test_message_that_was_cut_once_is_complete_the_second_time() -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1", "x" * 2_000)
        drop.cut[b"u1"] = 500
        poll(b)
        drop.cut.clear()
        poll(b)
        assert stored(b, mail("1", "x" * 2_000))
        poll(b, 2)
        assert drop.messages == {}
        assert statuses(b) == [("partial", True), ("complete", False)]


def test_message_behind_which_the_session_breaks_is_fetched_once_more_never_deleted_and_delays_no_other() -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1"), b"u2": mail("2"), b"u3": mail("3")}
        drop.breaks_after = {b"u1"}
        poll(b)
        assert all(stored(b, mail(subject)) for subject in ("1", "2", "3"))
        poll(b, 4)
        assert drop.messages == {b"u1": mail("1")}
        assert drop.retrieved.count(b"u1") == 2
        assert len({event["id"] for event in b.published()}) == 3


def test_event_that_was_lost_with_the_last_second_is_published_although_the_next_poll_is_late() -> None:
    """The ledger crashes and forgets a message that was just done; the next poll comes seven minutes later."""
    with bench() as b:
        poll(b)
        before = copy.deepcopy((b.ledger._seen, b.ledger._changes))
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1")
        b.poll_all()
        b.process_stage.run(never)
        b.ledger._seen, b.ledger._changes = before
        b.events.clear()
        b.ledger.restart()
        for _ in range(8):
            b.clock.time += 60
            b.runtime.watermark.write(["a"], ["main"], b.clock.time)
        b.everything()
        assert subjects(b) == ["1"]
        assert b.runtime.watermark.write(["a"], ["main"], b.clock.time), "it moves again once all is rebuilt"


IDENTIFIED = b"Message-ID: <1@example.org>\r\n" + mail("first")


def repeated(b: Bench) -> float:
    return b.metrics.registry.get_sample_value("mailhaul_deletions_repeated_total", {"mailbox": "a"}) or 0.0


def test_message_that_a_server_never_deletes_is_fetched_once_and_deleted_again_each_hour() -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.keeps_deleted = True
        drop.messages[b"id-1"] = IDENTIFIED
        poll(b, 10)
        assert drop.retrieved == [b"id-1"]
        assert repeated(b) == 1, "compared and deleted when it was listed again, not in each poll since"
        assert b.ledger.statuses()["a"].undeleted == 1
        b.clock.time += 3600
        poll(b, 3)
        assert repeated(b) == 2
        drop.keeps_deleted = False
        b.clock.time += 3600
        poll(b, 2)
        assert drop.messages == {}
        assert drop.retrieved == [b"id-1"]
        assert b.ledger.seen("a").deleted == {}
        assert b.ledger.statuses()["a"].undeleted == 0
        assert subjects(b) == ["first"]


def dies(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("tops", [True, False])
@pytest.mark.parametrize("how", ["answer lost", "process died"])
def test_unique_id_is_another_message_after_a_deletion_that_nobody_confirmed(
    how: str, monkeypatch: pytest.MonkeyPatch, *, tops: bool
) -> None:
    """The server has deleted the message, and gives its unique-id to one of the same size."""
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.tops = tops
        drop.messages[b"id-1"] = IDENTIFIED
        poll(b)
        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            if how == "answer lost":
                drop.loses_quit = True
            else:
                patch.setattr(UndeletedMessages, "confirmed", dies)
            poll(b)
        assert drop.messages == {}
        drop.messages[b"id-1"] = other = IDENTIFIED.replace(b"first", b"other")
        drop.loses_quit = False
        poll(b)
        assert drop.messages == {b"id-1": other}
        assert stored(b, other)
        poll(b, 2)
        assert drop.messages == {}
        assert subjects(b) == ["first", "other"]


def test_message_that_is_listed_after_a_lost_answer_to_quit_is_deleted_without_fetching_it() -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.keeps_deleted = drop.loses_quit = True
        drop.messages[b"id-1"] = IDENTIFIED
        poll(b, 3)
        assert drop.messages == {b"id-1": IDENTIFIED}
        drop.keeps_deleted = drop.loses_quit = False
        poll(b)
        assert drop.messages == {}
        assert drop.retrieved == [b"id-1"]
        assert repeated(b) == 0, "the server never confirmed it"
        assert subjects(b) == ["first"]


def test_second_session_of_a_poll_takes_a_reused_unique_id_for_another_message() -> None:
    """The first session deletes; a message that ends sessions makes the poll open another one."""
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.messages[b"id-1"] = IDENTIFIED
        poll(b)
        drop.messages[b"id-2"] = mail("ends sessions")
        drop.ends[b"id-2"] = MaildropConnectError
        other = IDENTIFIED.replace(b"first", b"other")
        quit_ = MemorySession.quit

        def quit_and_deliver(session: MemorySession, *, wait: bool = False) -> bool:
            committed = quit_(session, wait=wait)
            drop.messages.setdefault(b"id-1", other)
            return committed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MemorySession, "quit", quit_and_deliver)
            poll(b)
        assert drop.messages[b"id-1"] == other
        drop.ends.clear()
        poll(b, 3)
        assert drop.messages == {}
        assert set(subjects(b)) == {"first", "other", "ends sessions"}


@pytest.mark.parametrize(
    "other",
    [IDENTIFIED.replace(b"<1@", b"<2@"), IDENTIFIED.replace(b"\r\n\r\n", b"\r\nX: y\r\n\r\n")],
    ids=["other id", "longer"],
)
def test_other_message_under_the_unique_id_of_an_undeleted_one_is_fetched(other: bytes) -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.messages[b"id-1"] = IDENTIFIED
        poll(b, 2)
        assert drop.messages == {}
        drop.messages[b"id-1"] = other
        poll(b)
        assert drop.retrieved == [b"id-1"] * 2
        assert stored(b, other)


def test_header_without_message_id_does_not_identify_an_undeleted_message() -> None:
    """Two mails may have the same header then, and only one of them is stored."""
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.messages[b"id-1"] = mail("first", "one")
        poll(b, 2)
        drop.messages[b"id-1"] = other = mail("first", "two")
        poll(b)
        assert stored(b, other)


def test_undeleted_message_that_the_store_lost_is_fetched_again() -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.keeps_deleted = True
        drop.messages[b"id-1"] = IDENTIFIED
        poll(b, 3)
        b.store.objects = {key: found for key, found in b.store.objects.items() if "_state/" in key}
        b.clock.time += 3600
        poll(b, 2)
        assert drop.retrieved == [b"id-1"] * 2
        assert stored(b, IDENTIFIED)


def test_at_most_a_hundred_undeleted_messages_are_compared_in_one_poll() -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.keeps_deleted = True
        drop.messages = {b"%d" % n: b"Message-ID: <%d@e>\r\n" % n + mail(f"{n:03}") for n in range(1000, 1150)}
        poll(b, 3)
        assert repeated(b) == 100
        poll(b, 2)
        assert repeated(b) == 150
        assert len(drop.retrieved) == 150


def test_policy_that_no_longer_deletes_forgets_confirmed_deletions() -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.keeps_deleted = True
        drop.messages[b"id-1"] = IDENTIFIED
        poll(b, 3)
        b.mailboxes["a"] = mailbox("a")
        poll(b, 2)
        assert b.ledger.seen("a").deleted == {}
        assert drop.retrieved == [b"id-1"] * 2


@pytest.mark.parametrize("tops", [True, False])
@pytest.mark.parametrize("loss", ["everything", "the last second"])
def test_unique_id_that_is_reused_after_a_deletion_which_the_ledger_lost_is_another_message(
    loss: str, *, tops: bool
) -> None:
    """Unique-id and size are those of the message before; the ledger was lost before the next checkpoint."""
    with bench(mailbox("a", deletion=Deletion(50.0))) as b:
        drop = b.maildrops["a"]
        drop.tops = tops
        drop.messages[b"id-1"] = IDENTIFIED
        b.everything()
        b.poll_all()  # writes the checkpoint
        restore = b.ledger.lose if loss == "everything" else b.ledger.snapshot()
        checkpoint = b.store.objects["mail/a/_state/seen"]
        poll(b)
        assert drop.messages == {}
        b.store.objects["mail/a/_state/seen"] = checkpoint
        drop.messages[b"id-1"] = IDENTIFIED.replace(b"first", b"other")
        restore()
        poll(b, 4)
        assert sorted(set(subjects(b))) == ["first", "other"]
        assert drop.messages == {}


@pytest.mark.parametrize("tops", [True, False])
def test_message_that_is_done_is_deleted_after_the_ledger_was_lost(*, tops: bool) -> None:
    with bench(mailbox("a", deletion=Deletion(50.0))) as b:
        drop = b.maildrops["a"]
        drop.tops = tops
        drop.messages[b"id-1"] = IDENTIFIED
        b.everything()
        b.poll_all()
        b.ledger.lose()
        poll(b, 4)
        assert drop.messages == {}
        assert drop.retrieved == [b"id-1"] * (1 if tops else 2)


def fail_comparisons(b: Bench) -> None:
    """Make the store fail when a stored header is read."""

    def fault(operation: str, key: str) -> None:
        if operation == "get" and key.endswith("raw.eml"):
            raise StoreUnavailableError("unavailable")

    b.store.fault = fault


def test_header_that_cannot_be_compared_now_is_compared_later() -> None:
    with bench(DELETE) as b:
        drop = b.maildrops["a"]
        drop.keeps_deleted = True
        drop.messages[b"id-1"] = IDENTIFIED
        poll(b, 3)
        assert repeated(b) == 1
        b.clock.time += 3600
        fail_comparisons(b)
        with capture_logs() as logs:
            poll(b)
        assert "deletion.postponed" in [entry["event"] for entry in logs]
        assert repeated(b) == 1
        b.store.fault = None
        poll(b)
        assert repeated(b) == 2
        assert drop.retrieved == [b"id-1"]


def test_restored_messages_are_deleted_a_hundred_at_a_time_once_the_store_answers() -> None:
    with bench(mailbox("a", deletion=Deletion(50.0))) as b:
        drop = b.maildrops["a"]
        drop.messages = {b"%d" % n: b"Message-ID: <%d@e>\r\n" % n + mail(f"{n:03}") for n in range(1000, 1150)}
        b.everything()
        b.poll_all()
        b.ledger.lose()
        b.clock.time += 100
        fail_comparisons(b)
        b.poll_all()
        assert len(drop.messages) == 150
        b.store.fault = None
        with capture_logs() as logs:
            b.poll_all()
        assert [entry["deleted"] for entry in logs if entry["event"] == "poll.done"] == [100, 50]
        assert drop.messages == {}
        assert len(drop.retrieved) == 150
