"""Drain: everything is done once, what other processes hold is waited for, and an error ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from ingest.admin.progress import DrainProgress, DrainStage, DrainState
from ingest.cli.reports import drain_lines
from ingest.domain.mailbox import Limits
from ingest.errors import LedgerUnavailableError, MaildropConnectError, StoreRefusedError
from ingest.ports.sink import Outcome, Verdict
from tests.support.bench import Bench, bench, mail, mailbox, message_key, never

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.admin.drain import DrainReport
    from ingest.domain.mailbox import Mailbox


@pytest.fixture(autouse=True)
def sleep(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[float], None]]:
    """What a drain calls while it waits for others."""
    calls: list[Callable[[float], None]] = []

    def wait(seconds: float) -> None:
        for call in calls:
            call(seconds)

    monkeypatch.setattr("ingest.admin.drain.time.sleep", wait)
    return calls


def drain(b: Bench, stop: Callable[[], bool] = never) -> DrainReport:
    return b.drain.run(b.schedule(), stop)


def fill(b: Bench, count: int, id_: str = "a") -> None:
    b.maildrops[id_].messages = {b"u%d" % number: mail(str(number)) for number in range(count)}


def test_mailbox_with_more_than_one_poll_may_fetch_is_emptied_and_reported_once() -> None:
    with bench(mailbox("a", limits=Limits(messages_per_poll=2))) as b:
        fill(b, 5)
        report = drain(b)
        assert [(row.mailbox, row.report.stored, row.report.new) for row in report.mailboxes] == [("a", 5, 5)]
        assert (report.processed, report.events, report.ok) == (5, {"main": 5}, True)


def test_progress_shows_each_stage_with_what_is_done_and_what_is_left() -> None:
    with bench(mailbox("a", limits=Limits(messages_per_poll=2)), mailbox("b")) as b:
        fill(b, 5)
        fill(b, 1, "b")
        progress = DrainProgress(b.metrics)
        b.runtime.listed = progress.listed
        seen: list[DrainState] = []
        count = b.metrics.count

        def counted(name: str, *labels: str, by: float = 1) -> None:
            count(name, *labels, by=by)
            if name == "messages_total":
                seen.append(progress.state())

        b.metrics.count = counted  # type: ignore[method-assign]  # on this one bench
        b.drain.run(b.schedule(), never, progress)
        last = {stage: next(state for state in reversed(seen) if state.stage is stage) for stage in DrainStage}
        assert [(last[stage].done, last[stage].total) for stage in DrainStage] == [(6, 6)] * 3
        assert any(state.done < state.total for state in seen if state.stage is DrainStage.FETCH)
        assert (progress.state().mailboxes, progress.state().polled) == (2, 2)
        assert progress.state().fetched_bytes == 5 * len(mail("0")) + len(mail("0"))


def test_mailbox_whose_sessions_break_is_polled_until_nothing_is_left() -> None:
    with bench() as b:
        fill(b, 12)
        b.maildrops["a"].session_ends_after = 2
        report = drain(b)
        assert report.processed == 12
        assert (report.totals.listed, report.totals.new, report.totals.stored) == (12, 12, 12)


def test_server_that_goes_away_leaves_the_counts_of_what_was_found_and_done() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        fill(b, 12)
        fill(b, 3, "b")
        b.maildrops["a"].session_ends_after = 5
        connect = b.poller.connect

        def connected(box: Mailbox, *arguments: object) -> object:
            if box.id == "a" and b.maildrops["a"].sessions == 1:
                raise MaildropConnectError("unreachable")
            return connect(box, *arguments)  # type: ignore[arg-type]  # passed on as they came

        object.__setattr__(b.poller, "connect", connected)
        report = drain(b)
        counts = [(row.report.listed, row.report.new, row.report.stored) for row in report.mailboxes]
        assert counts == [(12, 12, 5), (3, 3, 3)]
        assert (report.totals.listed, report.totals.new, report.totals.stored, report.ok) == (15, 15, 8, False)


def test_message_that_fails_in_two_polls_is_one_failure() -> None:
    with bench(mailbox("a", limits=Limits(messages_per_poll=2))) as b:
        fill(b, 5)
        b.maildrops["a"].refused = {b"u0"}
        report = drain(b)
        assert (report.totals.new, report.totals.stored, report.totals.failed) == (5, 4, 1)


def test_reason_for_which_the_store_refused_a_message_is_reported() -> None:
    with bench() as b:
        b.maildrops["a"].messages = {b"u1": mail("1"), b"u2": mail("2")}
        refused = message_key("a", mail("2"))

        def fault(operation: str, key: str) -> None:
            if operation == "put" and refused in key:
                raise StoreRefusedError("the disk is full")

        b.store.fault = fault
        with capture_logs() as logs:
            lines = "\n".join(drain_lines(drain(b)))
        assert "1 message could not be fetched or stored: the disk is full; the next poll tries again" in lines
        assert [one["error"] for one in logs if one["event"] == "message.not_stored"] == ["store_refused"]


def test_mailbox_that_is_due_again_before_the_others_are_done_is_not_polled_again(
    sleep: list[Callable[[float], None]],
) -> None:
    with bench(mailbox("a", interval=1.0), mailbox("b")) as b:
        b.ticker.tick(b.schedule())
        assert b.ledger.mailboxes.claim_one("b", 45.0), "by another process, which dies"

        def later(_: float) -> None:
            b.clock.time += 20

        sleep.append(later)
        report = drain(b)
        assert [(row.mailbox, b.maildrops[row.mailbox].sessions) for row in report.mailboxes] == [("a", 1), ("b", 1)]


def test_drain_that_is_asked_to_stop_begins_nothing() -> None:
    with bench() as b:
        fill(b, 1)
        b.poll_all()
        report = drain(b, lambda: True)
        assert (report.mailboxes, report.processed, report.pending, report.ok) == ([], 0, 1, False)


def test_messages_and_sinks_that_another_process_holds_are_waited_for(sleep: list[Callable[[float], None]]) -> None:
    with bench() as b:
        fill(b, 2)
        b.poll_all()
        assert b.ledger.messages.claim(1, 60)
        b.ledger.sinks.add(["main"])
        assert b.ledger.sinks.claim(1, 100)
        sleep.append(lambda _: b.clock.advance(10))
        report = drain(b)
        assert (report.processed, report.events, report.ok) == (2, {"main": 2}, True)


def test_sink_that_answered_410_is_left_alone() -> None:
    with bench() as b:
        fill(b, 1)
        tried: list[str] = []

        def gone(event: object) -> Outcome:
            tried.append("")
            return Outcome(Verdict.GONE, "http_410")

        b.sinks["main"].verdict = gone
        assert not drain(b).ok
        report = drain(b)
        assert (report.waiting_events, report.sink_errors) == (1, {"main": "answered 410"})
        assert len(tried) == 1
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED, "")
        b.clock.advance(10)
        b.ledger.sinks.run_now("main")
        assert drain(b).sink_errors == {}


def test_error_of_any_thread_ends_the_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    with bench() as b:

        def unavailable(*_: object) -> None:
            raise LedgerUnavailableError("unavailable")

        monkeypatch.setattr(b.ledger.mailboxes, "claim", unavailable)
        with pytest.raises(LedgerUnavailableError):
            drain(b)
