"""When a mailbox is polled again: its interval, its server's terms, and pauses that spare accounts a lock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from ingest.domain.mailbox import Limits, Mailbox
from ingest.domain.retry import AUTH_PAUSES
from ingest.errors import (
    ConfigError,
    LedgerUnavailableError,
    LoginDelayError,
    MaildropAuthError,
    MaildropConnectError,
    MaildropError,
    MaildropInUseError,
    MaildropRefusedError,
    MaildropTemporaryError,
    MaildropThrottledError,
    MaildropTimeoutError,
    MaildropTlsError,
    MailhaulError,
    StaleClaimError,
    StoreUnavailableError,
    TokenUnavailableError,
)
from ingest.metric_labels import POLL_RESULTS
from ingest.ports.maildrop import Terms
from ingest.usecases.poll.stage import DISAGREED_PAUSE, result_of
from ingest.usecases.recover.rebuild import Rebuilder, Rebuilt
from ingest.usecases.schedule import Schedule
from tests.support.bench import Bench, bench, mail, mailbox, never

if TYPE_CHECKING:
    from ingest.ports.claims import Claim


def due_in(b: Bench, id_: str = "a") -> int:
    """Seconds until the mailbox is due again."""
    started = b.clock.time
    while not b.ledger.mailboxes.backlog().due:
        b.clock.time += 1
    (claim,) = b.ledger.mailboxes.claim(1, 60)
    assert claim.id == id_
    b.ledger.mailboxes.release(claim, 0.0, claim.tries - 1)
    waited, b.clock.time = b.clock.time - started, started
    return round(waited)


def reading(b: Bench, *mailboxes: Mailbox) -> dict[str, Any]:
    """Return what a poll stage knows that has read another configuration than the scheduler."""
    boxes = {box.id: box for box in mailboxes}
    schedule = Schedule([], list(b.sinks), f"{[]} {list(boxes)} {list(b.sinks)}", disabled=boxes)
    return {"mailboxes": lambda: boxes, "schedule": lambda: schedule}


def poll_once(b: Bench) -> str:
    """Poll the only mailbox when it is due; returns the result."""
    b.ticker.tick(b.schedule())
    while not b.ledger.mailboxes.backlog().due:
        b.clock.time += 1
    (claim,) = b.ledger.mailboxes.claim(1, 60)
    outcome = b.poll_stage.handle(claim, never)
    assert outcome is not None
    return outcome.result


def test_a_poll_is_followed_by_the_next_after_the_interval() -> None:
    with bench(mailbox("a", interval=90.0)) as b:
        poll_once(b)
        assert due_in(b) == 90


@pytest.mark.parametrize("more", [False, True])
def test_login_delay_of_the_server_is_respected(more: bool) -> None:  # noqa: FBT001
    limits = Limits(messages_per_poll=1 if more else 100)
    with bench(mailbox("a", interval=60.0, limits=limits)) as b:
        drop = b.maildrops["a"]
        drop.terms = Terms(login_delay=600.0)
        drop.messages = {b"u1": mail("1"), b"u2": mail("2")}
        poll_once(b)
        assert due_in(b) == 600


def test_a_poll_that_failed_after_its_login_keeps_to_the_login_delay_too() -> None:
    with bench(mailbox("a", interval=60.0)) as b:
        drop = b.maildrops["a"]
        drop.terms = Terms(login_delay=600.0)
        drop.messages[b"u1"] = mail("1")

        def fault(operation: str, key: str) -> None:
            if operation == "put":
                raise StoreUnavailableError("unavailable")

        b.store.fault = fault
        assert poll_once(b) == "store_error"
        assert due_in(b) == 600


def test_nonsensical_login_delay_is_capped() -> None:
    with bench() as b:
        b.maildrops["a"].terms = Terms(login_delay=1e12)
        poll_once(b)
        assert due_in(b) == 86_400


def test_server_that_deletes_mail_before_it_is_polled_is_logged_once() -> None:
    with capture_logs() as logs, bench(mailbox("a", interval=3 * 86_400.0), mailbox("b", interval=60.0)) as b:
        for drop in b.maildrops.values():
            drop.terms = Terms(expires_after=2 * 86_400.0)
        for _ in range(3):
            b.poll_all()
        warnings = [entry for entry in logs if entry["event"] == "server.expires_mail"]
        assert [entry["mailbox"] for entry in warnings] == ["a"]
        assert b.ledger.statuses()["a"].expires_after == 2 * 86_400.0


def test_a_login_delay_below_the_interval_changes_nothing() -> None:
    with bench(mailbox("a", interval=60.0)) as b:
        b.maildrops["a"].terms = Terms(login_delay=10.0)
        poll_once(b)
        assert due_in(b) == 60


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (MaildropConnectError(""), "connect_error"),
        (MaildropTimeoutError(""), "timeout"),
        (MaildropTlsError(""), "tls_error"),
        (MaildropAuthError(""), "auth_error"),
        (TokenUnavailableError(""), "temporary"),
        (MaildropInUseError(""), "locked"),
        (MaildropThrottledError(""), "throttled"),
        (LoginDelayError(""), "throttled"),
        (MaildropTemporaryError(""), "temporary"),
        (MaildropRefusedError(""), "refused"),
    ],
)
def test_each_kind_of_failure_has_its_own_result(error: MaildropError, result: str) -> None:
    with bench() as b:
        b.maildrops["a"].error = error
        assert poll_once(b) == result
        assert result in POLL_RESULTS
        assert b.ledger.statuses()["a"].result == result


def test_error_without_a_result_of_its_own_is_counted_as_internal() -> None:
    assert result_of(MailhaulError("")) == "internal_error"


def test_lock_left_by_a_session_that_broke_is_not_reported_instead_of_the_break() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u1": mail("1"), b"u2": mail("2")}
        drop.ends = {b"u1": MaildropConnectError}

        def lock(_: float) -> None:
            drop.error = MaildropInUseError("locked")

        drop.advance = lock
        assert poll_once(b) == "connect_error"


def test_messages_that_the_server_lists_inconsistently_are_logged_and_counted() -> None:
    with capture_logs() as logs, bench() as b:
        b.maildrops["a"].left_out = 2
        poll_once(b)
        assert [entry["left_out"] for entry in logs if entry["event"] == "listing.disagrees"] == [2]
        assert b.ledger.statuses()["a"].left_out == 2


def test_mailbox_is_due_again_although_the_ledger_failed_when_its_poll_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as logs, bench() as b:
        put_status = b.ledger.put_status

        def unavailable(*_: object) -> None:
            monkeypatch.setattr(b.ledger, "put_status", put_status)
            raise LedgerUnavailableError("unavailable")

        monkeypatch.setattr(b.ledger, "put_status", unavailable)
        assert poll_once(b) == "success"
        assert "poll.not_released" in [entry["event"] for entry in logs]
        assert due_in(b) <= b.keeper.seconds, "the claim expires"


def test_secret_missing_after_a_login_leaves_nothing_to_compare_it_with(monkeypatch: pytest.MonkeyPatch) -> None:
    with bench() as b:

        def missing(_: str) -> bytes:
            raise ConfigError(["file:/gone: cannot be read"])

        object.__setattr__(b.poll_stage, "fingerprint", missing)
        assert poll_once(b) == "success"
        assert b.ledger.last_login("a") is None


# --- mailboxes that are not polled -------------------------------------------------------------------------------


def test_disabled_mailbox_that_cannot_be_rebuilt_now_stays_scheduled() -> None:
    """Nobody else would publish the events that were lost with the ledger."""
    with capture_logs() as logs, bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.everything()
        b.ledger.lose()
        b.mailboxes["a"] = mailbox("a", enabled=False)

        def fault(operation: str, _: str) -> None:
            raise StoreUnavailableError("unavailable")

        b.store.fault = fault
        b.ticker.tick(b.schedule())
        b.poll_stage.run(never)
        assert [entry["mailbox"] for entry in logs if entry["event"] == "mailbox.not_rebuilt"] == ["a"]
        b.store.fault = None
        due_in(b)
        while b.ledger.mailboxes.members():
            b.clock.time += 1
            b.poll_stage.run(never)
        assert b.ledger.unknown(["a"]) == 0


@pytest.mark.parametrize("error", [StaleClaimError("lost"), AssertionError("a bug")], ids=["claim lost", "bug"])
def test_disabled_mailbox_that_cannot_be_rebuilt_delays_no_other(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    rebuild = Rebuilder.rebuild

    def broken(rebuilder: Rebuilder, box: Mailbox, *args: Any, **how: Any) -> Rebuilt:
        if box.id == "a":
            raise error
        return rebuild(rebuilder, box, *args, **how)

    monkeypatch.setattr(Rebuilder, "rebuild", broken)
    with bench(mailbox("a", enabled=False), mailbox("b")) as b:
        b.maildrops["b"].messages[b"u1"] = mail("1")
        b.ledger.mailboxes.add(["a", "b"])
        b.poll_stage.run(never)
        assert len(b.keys("raw.eml")) == 1
        assert "a" in b.ledger.mailboxes.members(), "its events may have been lost with the ledger"


def test_mailbox_resumed_while_it_is_unscheduled_is_due_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with bench() as b:
        b.ticker.tick(b.schedule())
        b.ledger.pause("a")
        unschedule = b.ledger.unschedule

        def resumed(claim: Claim, disabled_by: str = "") -> bool:
            b.ledger.resume("a")
            return unschedule(claim, disabled_by)

        monkeypatch.setattr(b.ledger, "unschedule", resumed)
        (claim,) = b.ledger.mailboxes.claim(1, 60)
        assert b.poll_stage.handle(claim, never) is None
        assert b.ledger.mailboxes.backlog().due == 1


@pytest.mark.parametrize("before", [mailbox("a", enabled=False), None], ids=["disabled", "unknown"])
def test_mailbox_is_polled_soon_if_the_scheduler_enables_it_before_the_poller(before: Mailbox | None) -> None:
    with bench() as b:
        outdated = replace(b.poll_stage, **reading(b, *([] if before is None else [before])))
        b.ticker.tick(b.schedule())
        assert outdated.run(never) == 1
        assert b.ledger.mailboxes.members() == {"a"}
        assert due_in(b) == DISAGREED_PAUSE
        b.clock.time += DISAGREED_PAUSE
        b.poll_stage.run(never)
        assert b.maildrops["a"].sessions == 1


@pytest.mark.parametrize("after", [mailbox("a", enabled=False), None], ids=["disabled", "removed"])
def test_mailbox_is_not_polled_if_the_poller_reads_first_that_it_is_not_wanted(after: Mailbox | None) -> None:
    with bench() as b:
        wanted = [] if after is None else [after]
        newer = replace(b.poll_stage, **reading(b, *wanted))
        b.ticker.tick(b.schedule())
        newer.run(never)
        b.mailboxes.clear()
        b.mailboxes.update({box.id: box for box in wanted})
        b.ticker.tick(b.schedule())
        b.clock.time += DISAGREED_PAUSE
        newer.run(never)
        assert b.ledger.mailboxes.members() == set()
        assert b.maildrops["a"].sessions == 0


def test_throttled_mailbox_is_polled_ever_less_often() -> None:
    with bench(mailbox("a", interval=1.0)) as b:
        b.maildrops["a"].error = MaildropThrottledError("too many")
        pauses = []
        for _ in range(4):
            poll_once(b)
            pauses.append(due_in(b))
        assert pauses == [60, 120, 240, 480]


# --- credentials that were refused -------------------------------------------------------------------------------


def test_refused_credentials_are_not_tried_again_until_their_pause_is_over() -> None:
    with bench(mailbox("a", interval=60.0)) as b:
        drop = b.maildrops["a"]
        drop.error = MaildropAuthError("no")
        poll_once(b)
        drop.error = None
        tried = b.clock.time
        while drop.sessions == 0:
            poll_once(b)
        assert AUTH_PAUSES[0] <= b.clock.time - tried <= AUTH_PAUSES[0] * 1.1 + 61


def test_a_mailbox_with_refused_credentials_still_counts_as_failing() -> None:
    """So that an alert on failing logins stays active between the tries."""
    with bench() as b:
        b.maildrops["a"].error = MaildropAuthError("no")
        assert [poll_once(b) for _ in range(3)] == ["auth_error"] * 3
        value = b.metrics.registry.get_sample_value("mailhaul_polls_total", {"mailbox": "a", "result": "auth_error"})
        assert value == 3


def test_changed_credentials_are_tried_at_the_next_poll() -> None:
    with bench(mailbox("a", interval=60.0)) as b:
        drop = b.maildrops["a"]
        drop.error = MaildropAuthError("no")
        poll_once(b)
        drop.error = None
        b.secret = b"a new one"
        assert poll_once(b) == "success"
        assert due_in(b) == 60


def test_logins_with_a_wrong_password_stay_rare_for_days() -> None:
    """Three in the first hour, then at most three a day, whatever the interval."""
    with bench(mailbox("a", interval=30.0)) as b:
        drop = b.maildrops["a"]
        drop.error = MaildropAuthError("no")
        started, tries = b.clock.time, []
        connect = b.poller.connect

        def counting(*arguments: object) -> object:
            tries.append(b.clock.time - started)
            return connect(*arguments)  # type: ignore[arg-type]  # passed on as they came

        object.__setattr__(b.poller, "connect", counting)
        while b.clock.time - started < 3 * 86_400:
            poll_once(b)
        assert sum(time <= 3600 for time in tries) == 3
        assert sum(3600 < time <= 3600 + 86_400 for time in tries) <= 3
        assert 9 <= len(tries) <= 12


def test_the_ledger_keeps_no_more_of_a_password_than_16_bits() -> None:
    with bench() as b:
        b.maildrops["a"].error = MaildropAuthError("no")
        poll_once(b)
        refusal = b.ledger.refusal("a")
        assert refusal is not None
        assert len(refusal.check) * 4 == 16


def test_secret_missing_after_a_refusal_is_reported_as_missing() -> None:
    with bench() as b:
        b.maildrops["a"].error = MaildropAuthError("no")
        poll_once(b)

        def missing(_: str) -> bytes:
            raise ConfigError(["file:/gone: cannot be read"])

        object.__setattr__(b.poll_stage, "fingerprint", missing)
        assert poll_once(b) == "auth_error"
        b.clock.time += 10**6
        assert poll_once(b) == "auth_error"


# --- connection slots --------------------------------------------------------------------------------------------


def crowded(count: int, connections: int) -> list[Mailbox]:
    return [mailbox(f"box-{number}", limits=Limits(connections=connections)) for number in range(count)]


def test_mailbox_without_a_connection_slot_is_deferred_and_does_not_count_as_failed() -> None:
    with bench(*crowded(3, connections=2)) as b:
        b.ticker.tick(b.schedule())
        claims = b.ledger.mailboxes.claim(3, 60)
        for claim in claims[:2]:
            assert b.ledger.acquire_slot(claim, "pop.example.org:110", "pop.example.org", 2)
        outcome = b.poll_stage.handle(claims[2], never)
        assert outcome is not None
        assert outcome.deferred
        assert b.ledger.statuses() == {}
        deferred = b.metrics.registry.get_sample_value(
            "mailhaul_polls_deferred_total", {"server": "pop.example.org:110"}
        )
        assert deferred == 1
        b.clock.time += 7
        (again,) = b.ledger.mailboxes.claim(3, 60)
        assert (again.id, again.tries) == (claims[2].id, 1)


def test_drain_waits_for_connection_slots_and_polls_every_mailbox(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = crowded(12, connections=1)
    with bench(*boxes) as b:
        for drop in b.maildrops.values():
            drop.messages[b"u"] = mail("1")

        def pass_time(seconds: float) -> None:
            b.clock.time += seconds

        monkeypatch.setattr("ingest.admin.drain.time.sleep", pass_time)
        report = b.drain.run(b.schedule(), never)
        assert report.ok
        assert sorted(row.mailbox for row in report.mailboxes) == sorted(box.id for box in boxes)
        assert report.totals.stored == 12
