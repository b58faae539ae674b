"""Listings and reports show every state in which a mailbox, a message or a sink can be, and what to do about it."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from ingest.admin.failed import FailedMessages
from ingest.admin.mailboxes import Mailboxes
from ingest.admin.sinks import SinkAdmin
from ingest.admin.status import read_status
from ingest.cli import listings, reports
from ingest.cli.remedies import poll_lines
from ingest.errors import MaildropAuthError, MaildropConnectError
from ingest.metric_labels import POLL_RESULTS
from ingest.ports.sink import Outcome, Verdict
from ingest.ports.status import MailboxStatus, Memory
from ingest.testing.sink import MemorySink
from ingest.usecases.poll.report import PollReport
from ingest.usecases.poll.stage import PollOutcome
from tests.support.bench import Bench, bench, mail, mailbox, message_key, never

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType


def shown(view: RenderableType) -> str:
    console = Console(width=240)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def status(b: Bench, polling_stops: Callable[[Memory | None], bool] = lambda _: False) -> str:
    return shown(listings.status_view(read_status(b.ledger, b.events, b.mailboxes.values(), b.sinks, polling_stops)))


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the listings take for the present; the bench's clock stands still."""
    present = [time.time()]
    monkeypatch.setattr("ingest.cli.listings.time.time", lambda: present[0])
    return present


def test_status_shows_what_is_wrong_with_mailboxes_and_sinks(now: list[float]) -> None:
    with bench(mailbox("a"), mailbox("b", enabled=False), mailbox("c")) as b:
        b.sinks["gone"] = MemorySink("gone")
        b.sinks["gone"].verdict = lambda _: Outcome(Verdict.GONE, "http_410")
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.UNAVAILABLE, "http_503")
        b.ledger.pause("c")
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.everything()
        b.ticker.tick(b.schedule())
        now[0] = b.clock.time + 600
        text = status(b)
        for words in (
            "success",
            "disabled",
            "paused",
            "last tick 10 min ago",
            "main: 1 event to deliver, the oldest for ",
            "it answered 503, since ",
            "it answered 410 Gone and is disabled",
        ):
            assert words in text
        del b.sinks["gone"]
        b.refuse_everything()
        b.clock.time += 3_600
        for _ in range(40):
            b.ticker.tick(b.schedule())
        b.relay_stage.run(never)
        b.ledger.server_memory = Memory(90, 100)
        now[0] = b.clock.time
        text = status(b, lambda _: True)
        assert "gone: left the configuration" in text
        assert "1 event was rejected by its sink" in text
        assert "mailhaul sinks dead-letters list NAME" in text


def test_every_way_in_which_a_poll_fails_has_a_reason_and_a_remedy() -> None:
    for result in set(POLL_RESULTS) - {"success", "disabled"}:
        (line,) = poll_lines([("a", MailboxStatus(50.0, result, 40.0)), ("b", MailboxStatus(50.0, result))], 100.0)
        assert re.fullmatch(r"a, b: .+ \(no success yet\); .{10,}", line), line


def test_status_names_the_reason_and_the_remedy_of_what_does_not_move(now: list[float]) -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        b.maildrops["b"].error = MaildropAuthError("no")
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()
        now[0] = b.clock.time + 5
        assert "b: the server refuses the login (no success yet); correct `auth`" in status(b)
        listed = shown(listings.mailboxes_table(mailboxes(b).states([])))
        assert "b: the server refuses the login (no success yet); correct `auth`" in listed
        b.clock.time += 600
        now[0] = b.clock.time
        text = status(b)
        assert "no scheduler runs, so nothing is polled: start the service (mailhaul up)" in text
        assert "messages are due and no processor takes them: is `mailhaul worker process` running?" in text
        b.ticker.tick(b.schedule())
        assert "mailboxes are due and no poller takes them" in status(b)
        b.process_stage.run(never)
        b.clock.time += 600
        now[0] = b.clock.time
        assert "main: 1 event to deliver, the oldest for 10 min; no relay takes them" in status(b)
        b.ledger.pause("a")
        assert "a: paused for 0 s; to poll it: mailhaul mailboxes resume a" in status(b)
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.UNAVAILABLE, "http_503")
        b.relay_stage.run(never)
        assert "it answered 503, since 0 s; mailhaul check tries it; once it is fixed" in status(b)


def test_status_before_anything_ran_is_empty() -> None:
    with bench() as b:
        text = status(b)
        assert "never" in text
        assert "0 messages to process; 0 failed" in text
        data = listings.status_data(read_status(b.ledger, b.events, b.mailboxes.values(), b.sinks))
        assert json.loads(json.dumps(data))["counts"]["open"] == 0


def mailboxes(b: Bench) -> Mailboxes:
    return Mailboxes(b.ledger, b.poll_stage, b.keeper.seconds, b.mailboxes)


def test_mailboxes_show_when_they_are_polled_next_or_why_they_are_not(now: list[float]) -> None:
    with bench(*(mailbox(id_) for id_ in "abcde"), mailbox("f", enabled=False)) as b:
        b.maildrops["a"].messages = {b"u1": mail("1"), b"u2": mail("2")}
        b.maildrops["a"].refused, b.maildrops["a"].left_out = {b"u2"}, 3
        b.ledger.pause("c")
        b.poll_all()
        b.ledger.mailboxes.drop(["e"])
        b.ledger.mailboxes.run_now("b")
        b.ledger.mailboxes.claim_one("d", 60)
        b.ledger.put_status("b", replace(b.ledger.statuses()["b"], undeleted=2))
        now[0] = b.clock.time + 5
        states = mailboxes(b).states([])
        lines = {line.split()[0]: line for line in shown(listings.mailboxes_table(states)).splitlines() if line}
        words = ["due now", "paused for", "in progress", "not scheduled yet", "disabled"]
        assert all(word in lines[id_] for id_, word in zip("bcdef", words, strict=True))
        text = shown(listings.mailboxes_table(states))
        assert "a: 3 messages are not fetched, because STAT, UIDL and LIST" in text
        assert "b: 2 messages are still on the server" in text
        assert "not this one" in text, "the server's words"
        data = [listings.mailbox_data(state) for state in states]
        assert [one["state"] for one in data] == ["waiting", "due", "paused", "polling", "unscheduled", "disabled"]
        assert json.loads(json.dumps(data))[0]["troubled"][0]["unique_id"] == "u2"


def test_failed_messages_are_listed_and_shown(now: list[float]) -> None:
    with bench() as b:
        assert shown(listings.failed_table([])).strip() == "no failed messages"
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()
        b.store.objects = {key: one for key, one in b.store.objects.items() if not key.endswith("raw.eml")}
        b.process_until_failed()
        now[0] = b.clock.time + 120
        (failed,) = found = FailedMessages(b.ledger).all()
        key = message_key("a", mail("1"))
        table = shown(listings.failed_table(found))
        assert (key in table, "2 min ago" in table) == (True, True)
        assert "object_missing (1 message): its raw mail is not in the store; find out what removes" in table
        view = shown(listings.failed_view(failed))
        assert "find out what removes objects from the bucket" in view
        assert (key in view, "raw.eml" in view, "message key" in view) == (True, True, True)


def test_rejected_events_are_listed_with_their_state(now: list[float]) -> None:
    with bench() as b:
        assert "is empty" in shown(listings.rejected_table([]))
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.refuse_everything()
        b.everything()
        now[0] = b.clock.time + 120
        rejected = SinkAdmin(b.ledger.sinks, b.events, b.sinks).rejected("main")
        text = shown(listings.rejected_table(rejected))
        assert (rejected[0].entry.event.id in text, "retrying" in text) == (True, True)
        assert listings.rejected_data(rejected[0])["state"] == "retrying"
        assert listings.rejected_data(replace(rejected[0], retrying=False))["state"] == "dead-lettered"


def test_report_of_a_poll_names_counts_error_and_messages_that_were_not_fetched() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages = {b"u%d" % number: mail(str(number)) for number in range(30)}
        drop.refused, drop.left_out = set(drop.messages), 2
        b.ticker.tick(b.schedule())
        outcome = mailboxes(b).poll("a", never)
        text = "\n".join(reports.poll_lines(outcome))
        assert "message 1 (u0)" in text
        assert "more messages could not be fetched; list them with: mailhaul mailboxes list" in text
        assert "2 messages are not fetched" in text
        assert json.loads(json.dumps(reports.poll_data(outcome)))["left_out"] == 2
    failed = PollOutcome("a", "connect_error", PollReport(undeleted=1), MaildropConnectError("nobody answers"))
    lines = list(reports.poll_lines(failed))
    assert "nobody answers" in lines[0]
    assert "1 message is still on the server" in lines[1]
    assert reports.poll_data(failed)["error"] == "nobody answers"
