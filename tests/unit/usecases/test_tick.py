"""The tick follows the configuration and sends no more wakeups than are of use."""

from __future__ import annotations

from ingest.ports.wakeups import Queue
from ingest.testing.wakeups import MemoryWakeups
from ingest.usecases.schedule import MAX_WAITING, REPAIR_EVERY, Schedule, Ticker
from tests.support.bench import Bench, bench, mail, mailbox, never


def test_there_is_one_hint_for_each_due_mailbox() -> None:
    with bench(mailbox("a"), mailbox("b"), mailbox("c")) as b:
        b.ticker.tick(b.schedule())
        assert b.wakeups.sent[Queue.POLL] == 3


def test_hints_that_wait_already_are_not_sent_again() -> None:
    with bench(mailbox("a"), mailbox("b"), mailbox("c")) as b:
        b.wakeups.queued[Queue.POLL] = 2
        b.ticker.tick(b.schedule())
        assert b.wakeups.sent[Queue.POLL] == 1


def test_hints_stay_few_however_many_mailboxes_are_due() -> None:
    with bench() as b:
        b.ticker.tick(Schedule([f"m{n}" for n in range(1000)], [], "1000"))
        assert b.wakeups.sent[Queue.POLL] == MAX_WAITING[Queue.POLL]


def test_nothing_due_means_no_hint() -> None:
    with bench() as b:
        b.everything()
        quiet = MemoryWakeups()
        Ticker(b.ledger, b.events, quiet).tick(b.schedule())
        assert quiet.sent == dict.fromkeys(Queue, 0)


def test_mailboxes_come_and_go_with_the_configuration() -> None:
    with bench() as b:
        b.ticker.tick(Schedule(["a", "b"], ["main"], "1"))
        b.ticker.tick(Schedule(["b", "c"], ["main"], "2"))
        assert b.ledger.mailboxes.members() == {"b", "c"}


def test_a_second_scheduler_does_no_harm() -> None:
    with bench() as b:
        other = Ticker(b.ledger, b.events, b.wakeups)
        b.ticker.tick(b.schedule())
        other.tick(b.schedule())
        b.maildrops["a"].messages[b"u"] = mail("1")
        b.poll_stage.run(never)
        assert b.maildrops["a"].sessions == 1


def test_a_lost_ledger_gets_its_schedule_back_with_the_next_tick() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        b.ticker.tick(b.schedule())
        b.ledger.mailboxes.drop(["a", "b"])
        b.ledger.set_schedule_digest("")
        b.ticker.tick(b.schedule())
        assert b.ledger.mailboxes.members() == {"a", "b"}


def test_a_paused_mailbox_is_not_scheduled_again_by_a_change_elsewhere() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        b.everything()
        b.ledger.pause("a")
        b.poll_all()
        assert b.ledger.mailboxes.members() == {"b"}
        b.ticker.tick(Schedule(["a", "b", "c"], [], "new"))
        assert b.ledger.mailboxes.members() == {"b", "c"}


def test_a_mailbox_that_somebody_took_for_disabled_comes_back_into_the_schedule() -> None:
    """Processes read the configuration at different times; a pod may be a minute behind the scheduler's."""
    with bench() as b:
        b.ticker.tick(b.schedule())
        b.ledger.mailboxes.drop(["a"])
        for _ in range(REPAIR_EVERY):
            b.ticker.tick(b.schedule())
        assert b.ledger.mailboxes.members() == {"a"}


def test_mailboxes_that_rest_are_healed_too_when_the_ledger_was_lost() -> None:
    """Otherwise their messages would stay unprocessed and their events unpublished until they are resumed."""
    with bench(mailbox("a"), mailbox("b")) as b:
        for id_ in ("a", "b"):
            b.maildrops[id_].messages[b"u"] = mail(id_)
        b.poll_all()  # fetched, and not processed yet
        b.mailboxes["a"] = mailbox("a", enabled=False)
        b.ledger.lose()
        b.ledger.pause("b")
        b.poll_all()
        assert b.ledger.counts()["open"] == 2
        assert b.ledger.mailboxes.members() == set()
        assert not b.ledger.unknown(["a", "b"])
        assert (b.maildrops["a"].sessions, b.maildrops["b"].sessions) == (1, 1)


def with_event(b: Bench) -> None:
    b.maildrops["a"].messages[b"u"] = mail("1")
    b.poll_all()
    b.process_stage.run(never)


def test_a_sink_that_is_added_later_begins_at_the_beginning_or_from_now_on() -> None:
    with bench() as b:
        b.ticker.tick(Schedule(["a"], ["main"], "1"))
        with_event(b)
        b.ticker.tick(Schedule(["a"], ["main", "all", "new"], "2", from_now=["main", "new"]))
        assert [len(b.events.read(sink, 10)) for sink in ("main", "all", "new")] == [1, 1, 0]


def test_to_a_lost_ledger_no_sink_is_new() -> None:
    """What is told again after a loss is for every sink, also where it is told before the first tick."""
    with bench() as b:
        with_event(b)
        b.ledger.set_schedule_digest("")
        b.ticker.tick(Schedule(["a"], ["main", "audit"], "1", from_now=["audit"]))
        assert len(b.events.read("audit", 10)) == 1
