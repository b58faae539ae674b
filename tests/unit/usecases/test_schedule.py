"""The tick follows the configuration, and sends no more wake-ups than are useful."""

from __future__ import annotations

import pytest

from ingest.ports.schedule import ANNOUNCED_FOR
from ingest.ports.wakeups import Queue
from ingest.testing.wakeups import MemoryWakeups
from ingest.usecases.schedule import MAX_WAITING, REPAIR_EVERY, Schedule, Ticker
from tests.support.bench import Bench, bench, mail, mailbox, never

OLD = Schedule(["a", "b"], ["main"], "1")
NEW = Schedule(["a", "c"], ["main", "new"], "2")


def test_one_wakeup_is_sent_for_each_due_mailbox() -> None:
    with bench(mailbox("a"), mailbox("b"), mailbox("c")) as b:
        b.ticker.tick(b.schedule())
        assert b.wakeups.sent[Queue.POLL] == 3


def test_waiting_wakeups_are_not_sent_again() -> None:
    with bench(mailbox("a"), mailbox("b"), mailbox("c")) as b:
        b.wakeups.queued[Queue.POLL] = 2
        b.ticker.tick(b.schedule())
        assert b.wakeups.sent[Queue.POLL] == 1


def test_nothing_is_sent_while_enough_wakeups_wait() -> None:
    with bench() as b:
        b.wakeups.queued[Queue.POLL] = 2
        b.ticker.tick(b.schedule())
        assert b.wakeups.sent[Queue.POLL] == 0


def test_number_of_wakeups_is_limited() -> None:
    with bench() as b:
        b.ticker.tick(Schedule([f"m{n}" for n in range(1000)], [], "1000"))
        assert b.wakeups.sent[Queue.POLL] == MAX_WAITING[Queue.POLL]


def test_no_wakeup_is_sent_when_nothing_is_due() -> None:
    with bench() as b:
        b.everything()
        quiet = MemoryWakeups()
        Ticker(b.ledger, b.events, quiet).tick(b.schedule())
        assert quiet.sent == dict.fromkeys(Queue, 0)


def test_schedule_follows_the_configuration() -> None:
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


def test_next_tick_restores_the_schedule_of_a_lost_ledger() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        b.ticker.tick(b.schedule())
        b.ledger.mailboxes.drop(["a", "b"])
        b.ledger.set_schedule_digest("")
        b.ticker.tick(b.schedule())
        assert b.ledger.mailboxes.members() == {"a", "b"}


def test_configuration_change_does_not_schedule_a_paused_mailbox() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        b.everything()
        b.ledger.pause("a")
        b.poll_all()
        assert b.ledger.mailboxes.members() == {"b"}
        b.ticker.tick(Schedule(["a", "b", "c"], [], "new"))
        assert b.ledger.mailboxes.members() == {"b", "c"}


def test_mailbox_that_an_evicting_ledger_lost_is_scheduled_again() -> None:
    with bench() as b:
        b.ticker.tick(b.schedule())
        b.ledger.mailboxes.drop(["a"])
        for _ in range(REPAIR_EVERY):
            b.ticker.tick(b.schedule())
        assert b.ledger.mailboxes.members() == {"a"}


def test_sink_that_an_evicting_ledger_lost_is_scheduled_again() -> None:
    with bench() as b:
        b.ticker.tick(b.schedule())
        b.ledger.evict("sinks")
        for _ in range(REPAIR_EVERY):
            b.ticker.tick(b.schedule())
        assert b.ledger.sinks.members() == {"main"}


def test_inactive_mailboxes_are_rebuilt_too_when_the_ledger_was_lost() -> None:
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


def test_new_sink_begins_at_the_start_of_the_stream_or_now() -> None:
    with bench() as b:
        b.ticker.tick(Schedule(["a"], ["main"], "1"))
        with_event(b)
        b.ticker.tick(Schedule(["a"], ["main", "all", "new"], "2", from_now=["main", "new"]))
        assert [len(b.events.read(sink, 10)) for sink in ("main", "all", "new")] == [1, 1, 0]


def test_after_a_ledger_loss_no_sink_begins_now() -> None:
    """Events republished after a loss are for every sink, even if they are republished before the first tick."""
    with bench() as b:
        with_event(b)
        b.ledger.set_schedule_digest("")
        b.ticker.tick(Schedule(["a"], ["main", "audit"], "1", from_now=["audit"]))
        assert len(b.events.read("audit", 10)) == 1


def test_new_sink_of_a_newer_configuration_survives_an_older_scheduler() -> None:
    with bench() as b:
        old, new = (Ticker(b.ledger, b.events, b.wakeups) for _ in range(2))
        old.tick(OLD)
        for _ in range(30):
            new.tick(NEW)
            old.tick(OLD)
        b.maildrops["a"].messages[b"u"] = mail("1")
        b.poll_stage.run(never)
        b.process_stage.run(never)
        assert b.ledger.sinks.members() == {"main", "new"}
        assert len(b.events.read("new", 10)) == 1


@pytest.mark.parametrize("step", ["schedule_mailboxes", "schedule_sinks"])
def test_configuration_that_is_superseded_while_it_is_followed_does_not_count_as_followed(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with bench() as b:
        old, new = (Ticker(b.ledger, b.events, b.wakeups) for _ in range(2))
        scheduled = getattr(b.ledger, step)

        def superseded(*arguments: object, **named: object) -> bool:
            monkeypatch.setattr(b.ledger, step, scheduled)
            new.tick(NEW)
            return bool(scheduled(*arguments, **named))

        monkeypatch.setattr(b.ledger, step, superseded)
        old.tick(OLD)
        assert b.ledger.schedule_digest() == NEW.digest
        assert b.ledger.mailboxes.members() == set(NEW.mailboxes)
        assert b.ledger.sinks.members() == set(NEW.sinks)


def test_schedulers_with_different_configurations_do_not_poll_a_mailbox_more_often() -> None:
    with bench(mailbox("a"), mailbox("c")) as b:
        old, new = (Ticker(b.ledger, b.events, b.wakeups) for _ in range(2))
        old.tick(OLD)
        for _ in range(30):
            new.tick(NEW)
            b.poll_stage.run(never)
            old.tick(OLD)
            b.poll_stage.run(never)
            b.clock.time += 1
        assert (b.maildrops["a"].sessions, b.maildrops["c"].sessions) == (1, 1)


def test_superseded_scheduler_still_sends_wakeups() -> None:
    with bench() as b:
        old, new = Ticker(b.ledger, b.events, MemoryWakeups()), Ticker(b.ledger, b.events, b.wakeups)
        old.tick(OLD)
        new.tick(NEW)
        quiet = MemoryWakeups()
        old.wakeups = quiet
        old.tick(OLD)
        assert quiet.sent[Queue.POLL] == 2


def test_scheduler_whose_configuration_changes_becomes_the_newest() -> None:
    with bench() as b:
        first, second = (Ticker(b.ledger, b.events, b.wakeups) for _ in range(2))
        first.tick(OLD)
        second.tick(NEW)
        first.tick(Schedule(["d"], ["main"], "3"))
        second.tick(NEW)
        assert b.ledger.mailboxes.members() == {"d"}


def test_superseded_scheduler_stays_so_when_it_uses_only_a_part_of_its_new_configuration() -> None:
    """Mailboxes follow the files of a running process, sinks do not: an old pod sees a new configuration in part."""
    with bench() as b:
        old, new = (Ticker(b.ledger, b.events, b.wakeups) for _ in range(2))
        old.tick(OLD)
        new.tick(NEW)
        old.tick(Schedule(["a", "c"], ["main"], "3", partial=True))
        new.tick(NEW)
        assert b.ledger.sinks.members() == {"main", "new"}
        assert b.ledger.schedule_digest() == NEW.digest


def test_only_scheduler_follows_the_mailboxes_of_a_configuration_that_it_uses_in_part() -> None:
    with bench() as b:
        b.ticker.tick(OLD)
        b.ticker.tick(Schedule(["a", "c"], ["main"], "2", partial=True))
        assert b.ledger.mailboxes.members() == {"a", "c"}


def test_older_scheduler_takes_over_when_the_newest_is_gone() -> None:
    with bench() as b:
        old, new = (Ticker(b.ledger, b.events, b.wakeups) for _ in range(2))
        old.tick(OLD)
        new.tick(NEW)
        b.clock.time += ANNOUNCED_FOR + 1
        old.tick(OLD)
        assert b.ledger.mailboxes.members() == {"a", "b"}
        new.tick(NEW)
        assert b.ledger.mailboxes.members() == {"a", "c"}


@pytest.mark.parametrize("steps", [(-3600,), (86_400, -86_400)])
def test_polls_go_on_after_the_clock_of_the_ledger_was_set_back(steps: tuple[int, ...]) -> None:
    with bench() as b:
        b.ticker.tick(b.schedule())
        b.poll_stage.run(never)
        for step in steps:
            b.clock.time += step
            b.ticker.tick(b.schedule())
            b.poll_stage.run(never)
        before = b.maildrops["a"].sessions
        b.clock.time += 61
        b.ticker.tick(b.schedule())
        b.poll_stage.run(never)
        assert b.maildrops["a"].sessions == before + 1
