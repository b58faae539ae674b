"""What a person may do with mailboxes: look, pause, resume, poll now."""

from __future__ import annotations

import pytest

from ingest.admin.mailboxes import Mailboxes, NotPolledError
from ingest.errors import ConfigError, MaildropConnectError
from ingest.ports.claims import Standing
from tests.support.bench import Bench, bench, mail, mailbox, never


def by_hand(b: Bench) -> Mailboxes:
    return Mailboxes(b.ledger, b.poll_stage, b.keeper.seconds, b.mailboxes)


def test_a_paused_mailbox_leaves_the_schedule_and_is_polled_at_once_when_it_is_resumed() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        b.everything()
        assert by_hand(b).pause(["a"]) == ["a"]
        assert by_hand(b).pause(["a"]) == []
        b.poll_all()
        b.poll_all()
        assert b.ledger.mailboxes.members() == {"b"}
        assert (b.maildrops["a"].sessions, b.maildrops["b"].sessions) == (1, 3)
        assert by_hand(b).resume(["a"]) == ["a"]
        assert by_hand(b).resume(["a"]) == []
        b.poll_stage.run(never)
        assert b.maildrops["a"].sessions == 2


def test_pausing_does_not_wait_for_the_next_poll_to_leave_the_schedule() -> None:
    with bench(mailbox("a", interval=86_400.0)) as b:
        b.everything()
        by_hand(b).pause(["a"])
        b.poll_stage.run(never)
        assert b.ledger.mailboxes.members() == set()


def test_mailbox_paused_during_a_poll_is_polled_to_the_end_and_not_again() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u"] = mail("1")
        b.ticker.tick(b.schedule())
        (claim,) = b.ledger.mailboxes.claim(1, 60)

        def pause_and_go_on() -> bool:
            by_hand(b).pause(["a"])
            return False

        outcome = b.poll_stage.handle(claim, pause_and_go_on)
        assert outcome is not None
        assert outcome.report.stored == 1
        b.poll_all()
        assert b.maildrops["a"].sessions == 1


def test_messages_fetched_before_a_pause_are_processed_and_delivered() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u"] = mail("1")
        b.poll_all()
        by_hand(b).pause(["a"])
        b.everything()
        assert len(b.sinks["main"].delivered) == 1


def test_a_mailbox_that_is_not_configured_any_more_can_be_resumed_and_is_not_scheduled() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        by_hand(b).pause(["b"])
        del b.mailboxes["b"]
        assert by_hand(b).resume(["b"]) == ["b"]
        assert b.ledger.mailboxes.members() == set()


@pytest.mark.parametrize("what", ["pause", "resume", "states"])
def test_unknown_mailboxes_are_all_named_and_nothing_is_done(what: str) -> None:
    with bench() as b:
        with pytest.raises(ConfigError) as caught:
            getattr(by_hand(b), what)(["a", "one", "two"])
        assert [line.split()[4] for line in caught.value.problems] == ["one", "two"]
        assert b.ledger.paused() == {}


def test_states_show_schedule_pause_and_last_poll() -> None:
    with bench(*(mailbox(id_, enabled=id_ != "e") for id_ in "abcde")) as b:
        b.everything()
        b.maildrops["b"].error = MaildropConnectError("no route")
        b.poll_all()
        assert b.ledger.mailboxes.claim_one("c", 60)
        by_hand(b).pause(["d"])
        b.poll_stage.run(never)
        states = {state.mailbox.id: state for state in by_hand(b).states()}
        assert list(states) == list("abcde")
        assert states["a"].standing is not None
        assert 0 < states["a"].standing.due_in <= states["a"].mailbox.interval
        assert states["b"].status is not None
        assert states["b"].status.result == "connect_error"
        assert states["c"].standing == Standing(0.0, claimed=True)
        assert (states["d"].standing, states["d"].paused) == (None, b.clock.time)
        assert (states["e"].standing, states["e"].paused, states["e"].status) == (None, None, None)
        assert [state.mailbox.id for state in by_hand(b).states(["c", "a"])] == ["a", "c"]


def test_mailbox_polled_early_is_due_again_after_its_interval() -> None:
    with bench(mailbox("a", interval=600.0)) as b:
        b.everything()
        b.clock.time += 100
        b.maildrops["a"].messages[b"u"] = mail("1")
        outcome = by_hand(b).poll("a", never)
        assert (outcome.result, outcome.report.stored) == ("success", 1)
        assert b.ledger.mailboxes.due_in("a") == pytest.approx(600.0)


def test_a_mailbox_that_no_scheduler_has_seen_can_be_polled() -> None:
    with bench() as b:
        assert by_hand(b).poll("a", never).result == "success"


def test_mailbox_that_must_not_be_polled_is_refused_with_the_reason() -> None:
    with bench(mailbox("a"), mailbox("paused"), mailbox("off", enabled=False)) as b:
        b.ticker.tick(b.schedule())
        assert b.ledger.mailboxes.claim_one("a", 60)
        by_hand(b).pause(["paused"])
        for id_, word in (("a", "another process"), ("paused", "mailboxes resume paused"), ("off", "enabled: true")):
            with pytest.raises(NotPolledError, match=word):
                by_hand(b).poll(id_, never)
        assert not any(drop.sessions for drop in b.maildrops.values())
