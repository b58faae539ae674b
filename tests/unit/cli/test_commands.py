"""What a person runs beside the service, over the in-memory twins: output, questions, and exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ingest.cli.common import FAILED, UNUSABLE
from ingest.domain.retry import MESSAGE_TRIES
from ingest.errors import MaildropConnectError
from ingest.ports.sink import Outcome, Verdict
from ingest.testing.sink import MemorySink
from tests.support.bench import Bench, mail, message_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

    Run = Callable[..., Result]

KEY = message_key("a", mail("1"))


def data(done: Result) -> Any:
    return json.loads(done.stdout)


def fail_message(b: Bench) -> None:
    b.poll_all()
    b.store.objects = {key: one for key, one in b.store.objects.items() if not key.endswith("raw.eml")}
    b.process_until_failed()


def test_failed_messages_are_listed_shown_retried_and_dropped(b: Bench, run: Run) -> None:
    fail_message(b)
    assert KEY in run("failed", "list").stdout
    assert data(run("failed", "list", "--json", "--mailbox", "b")) == []
    assert "raw.eml" in run("failed", "show", KEY[:6]).stdout
    assert data(run("failed", "show", KEY, "--json"))["tries"] == MESSAGE_TRIES
    assert "choose with --all" in run("failed", "drop", code=UNUSABLE).stderr
    assert "no failed message begins" in run("failed", "show", "zz", code=FAILED).stderr
    run("failed", "drop", "--all", answer="n\n", code=1)
    assert len(b.ledger.failed_messages()) == 1
    assert "will be fetched again" in run("failed", "retry", KEY).stdout
    fail_message(b)
    assert "1 message dropped" in run("failed", "drop", "--mailbox", "a", "--yes").stdout
    assert "no failed messages" in run("failed", "list").stdout


def test_mailboxes_are_listed_paused_resumed_and_polled(b: Bench, run: Run) -> None:
    b.ticker.tick(b.schedule())
    assert [one["id"] for one in data(run("mailboxes", "list", "--json"))] == ["a", "b"]
    assert "due now" in run("mailboxes", "list", "a").stdout
    assert "choose with --all" in run("mailboxes", "pause", code=UNUSABLE).stderr
    assert run("mailboxes", "pause", "b").stdout == "b is paused\n"
    assert run("mailboxes", "pause", "--all").stdout == "a is paused\nb was already paused\n"
    assert run("mailboxes", "resume", "a", "b").stdout == "a is polled again\nb is polled again\n"
    assert run("mailboxes", "resume", "b").stdout == "b was not paused\n"
    assert "a: 1 listed" in run("mailboxes", "poll", "a").stdout
    b.maildrops["a"].error = MaildropConnectError("nobody answers")
    assert "nobody answers" in run("mailboxes", "poll", "a", code=FAILED).stdout
    assert data(run("mailboxes", "poll", "a", "--json", code=FAILED))["result"] == "connect_error"


def test_sinks_are_listed_with_what_stops_them_and_what_they_rejected(b: Bench, run: Run) -> None:
    def listed() -> tuple[object, ...]:
        (sink,) = data(run("sinks", "list", "--json"))
        return sink["name"], sink["state"], sink["answer"], sink["waiting"], sink["rejected"]

    assert listed() == ("main", "ok", None, 0, 0)
    assert "never" in run("sinks", "list").stdout
    b.refuse_everything()
    b.everything()
    assert listed() == ("main", "ok", None, 0, 1)
    b.sinks["main"].verdict = lambda _: Outcome(Verdict.GONE, "http_410")
    b.maildrops["a"].messages[b"u2"] = mail("2")
    b.everything()
    assert listed() == ("main", "disabled", "http_410", 1, 1)
    assert "mailhaul sinks resume main" in run("sinks", "list").stdout


def test_sinks_and_their_dead_letters_are_handled(b: Bench, run: Run) -> None:
    b.refuse_everything()
    b.everything()
    (event,) = data(run("sinks", "dead-letters", "list", "main", "--json"))
    assert event["event_id"] in run("sinks", "dead-letters", "list", "main").stdout
    assert "choose with --all" in run("sinks", "dead-letters", "drop", "main", code=UNUSABLE).stderr
    assert run("sinks", "dead-letters", "retry", "main", "--all").stdout == "1 event is due now\n"
    run("sinks", "dead-letters", "drop", "main", "--all", answer="n\n", code=1)
    assert "1 event was dropped" in run("sinks", "dead-letters", "drop", "main", event["event_id"], "--yes").stdout
    b.sinks["main"].verdict = lambda _: Outcome(Verdict.GONE, "http_410")
    b.maildrops["a"].messages[b"u2"] = mail("2")
    b.everything()
    assert run("sinks", "resume", "main").stdout == "main is due now\n"
    assert "there is no sink nowhere" in run("sinks", "retry", "nowhere", code=UNUSABLE).stderr
    assert "is configured" in run("sinks", "remove", "main", "--yes", code=UNUSABLE).stderr
    assert run("sinks", "remove", "old", answer="y\n").stdout.endswith("nothing is kept for old\n")


def test_reconciling_reports_what_was_missing(b: Bench, run: Run) -> None:
    b.everything()
    b.poll_all()  # writes the checkpoint
    b.ledger.lose()
    text = run("reconcile").stdout
    assert "a: 1 message in the store; 1 event republished, 1 unique-id restored" in text
    assert "b: 0 messages in the store; nothing was missing" in text
    assert [one["mailbox"] for one in data(run("reconcile", "--json", "--from", "b"))] == ["b"]
    assert "c" in run("reconcile", "c", code=UNUSABLE).stderr


def test_events_are_replayed_to_one_sink_or_to_all(b: Bench, run: Run) -> None:
    b.everything()
    b.sinks["late"] = MemorySink("late")
    assert "choose messages" in run("replay", code=UNUSABLE).stderr
    assert run("replay", "--all", "--dry-run").stdout == "1 message\n"
    assert data(run("replay", "--all", "--dry-run", "--json")) == {"messages": 1}
    assert run("replay", "--mailbox", "a", "--sink", "late").stdout == "1 event went to late\n"
    assert len(b.sinks["late"].delivered) == 1
    assert "1 event went to the event stream" in run("replay", "--since", "2020-01-01").stdout
    assert "0 events" in run("replay", "--until", "2020-01-01T10:00:00+01:00").stdout
    assert "--since soon" in run("replay", "--since", "soon", code=UNUSABLE).stderr
    b.sinks["late"].verdict = lambda _: Outcome(Verdict.GONE, "http_410")
    done = run("replay", "--all", "--sink", "late", code=FAILED)
    assert "http_410" in done.stderr
    assert "stopped; continue with: --since " in done.stderr
    assert data(run("replay", "--all", "--sink", "late", "--json", code=FAILED))["published"] == 0
    b.sinks["late"].verdict = lambda _: Outcome(Verdict.REJECTED, "http_400")
    assert "rejected: " in run("replay", "--all", "--sink", "late", code=FAILED).stdout


def test_messages_and_mailboxes_are_purged(b: Bench, run: Run) -> None:
    b.maildrops["a"].messages[b"u2"] = mail("2")
    b.everything()
    assert "without a terminal" in run("purge", "message", KEY, code=UNUSABLE).stderr
    done = run("purge", "message", KEY, "--yes").stdout
    assert done.startswith("1 message purged: ")
    assert "1 event removed from the event stream" in done
    assert "1 was already purged" in run("purge", "message", KEY, "--mailbox", "a", "--yes").stdout
    assert "no stored message" in run("purge", "message", "0" * 32, "--yes", code=FAILED).stderr
    b.ledger.pause("a")
    b.poll_all()
    erased = data(run("purge", "mailbox", "a", "--yes", "--json"))
    assert (erased["messages"], erased["purged_before"], erased["error"]) == (1, 1, None)


def test_import_checks_the_mailbox_before_it_looks_through_files(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ingest.mailfiles.files.find_mail", lambda _paths: pytest.fail("looked through files"))
    assert "there is no mailbox c" in run("import", "--mailbox", "c", str(tmp_path), code=UNUSABLE).stderr
