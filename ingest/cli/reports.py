"""The reports of commands: as tables for people, as plain data for JSON."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ingest.cli.listings import doubted_words, left_out_words, troubled_line
from ingest.cli.messages import printable
from ingest.cli.screen import ago

if TYPE_CHECKING:
    from ingest.admin.check import CheckReport
    from ingest.admin.drain import DrainReport
    from ingest.admin.status import Status
    from ingest.ports.status import SinkStatus
    from ingest.usecases.poll.progress import PollReport
    from ingest.usecases.poll.stage import PollOutcome

# Messages that a report names; `mailhaul mailboxes list` has all.
_TROUBLED_LINES = 5
_COUNTS = ("listed", "new", "stored", "duplicate", "oversize", "failed", "deleted")


def drain_data(report: DrainReport) -> dict[str, Any]:
    """Return `ok`, a row per mailbox, totals, and events delivered by sink."""
    return {
        "ok": report.ok,
        "mailboxes": [
            {
                "mailbox": row.mailbox,
                "result": row.result,
                **_counts(row.report),
                "failed_messages": row.failed_messages,
                "error": row.error,
            }
            for row in report.mailboxes
        ],
        "totals": _counts(report.totals),
        "processed": report.processed,
        "pending": report.pending,
        "events": report.events,
        "waiting_events": report.waiting_events,
        "seconds": round(report.seconds, 3),
    }


def drain_table(report: DrainReport) -> RenderableType:
    """Return a row per mailbox, totals, a line for each failure, and a summary."""
    table = Table(box=None, header_style="bright_black", pad_edge=False)
    table.add_column("mailbox", no_wrap=True)
    for name in _COUNTS:
        table.add_column(name, justify="right", no_wrap=True)
    for row in report.mailboxes:
        style = "" if row.ok else "red"
        table.add_row(Text(row.mailbox, style=style), *(_number(getattr(row.report, name)) for name in _COUNTS))
    table.add_section()
    table.add_row("all", *(_number(getattr(report.totals, name)) for name in _COUNTS), style="bold")
    events = ", ".join(f"{count} to {sink}" for sink, count in report.events.items()) or "no sink is configured"
    words = f"{report.processed} messages processed; events delivered: {events}; {report.seconds:.1f} s"
    return Group(table, *_failures(report), Text(words), *_waiting(report))


def _failures(report: DrainReport) -> list[Text]:
    """Return a line for each mailbox that failed, or that has failed messages."""
    lines = []
    for row in report.mailboxes:
        words = [row.error] if row.error else []
        words += _not_fetched(row.report)
        if row.report.failed:
            words.append(f"{row.report.failed} messages could not be fetched or stored; they will be retried")
        if row.failed_messages:
            words.append(f"{row.failed_messages} messages failed; their raw mail is in the store")
        lines += [Text.assemble((f"{row.mailbox}: ", "red"), printable(word)) for word in words]
    return lines


def _waiting(report: DrainReport) -> list[Text]:
    waiting = []
    if report.pending:
        waiting.append(f"{report.pending} messages wait to be retried")
    if report.waiting_events:
        waiting.append(f"{report.waiting_events} events wait for their sink")
    return [Text(f"{' and '.join(waiting)}; run `mailhaul drain` again", style="yellow")] if waiting else []


def check_data(report: CheckReport) -> dict[str, Any]:
    """Return `ok` and the findings."""
    return {"ok": report.ok, "findings": [asdict(finding) for finding in report.findings]}


def check_view(report: CheckReport) -> RenderableType:
    """Return a line per finding, with its detail on the next line, where it has the whole width."""
    lines: list[RenderableType] = []
    width = max((len(finding.part) for finding in report.findings), default=0)
    for finding in report.findings:
        mark = ("✓ ", "green") if finding.ok else ("✗ ", "bold red")
        lines.append(Text.assemble(mark, finding.part.ljust(width + 1), (printable(finding.name), "bold")))
        if finding.detail:
            style = "bright_black" if finding.ok else ""
            lines.append(
                Padding(
                    Text(printable(finding.detail), style=style, overflow="fold"), (0, 0, 0, width + 3), expand=False
                )
            )
    bad = sum(not finding.ok for finding in report.findings)
    summary = (
        Text(f"{bad} of {len(report.findings)} parts do not work", style="bold red") if bad else Text("all is well")
    )
    return Group(*lines, summary)


def status_data(status: Status) -> dict[str, Any]:
    """Return everything that `read_status` found."""
    return asdict(status)


def status_view(status: Status) -> RenderableType:
    """Return mailboxes as a table, and the rest as lines."""
    now = time.time()
    table = Table(box=None, header_style="bright_black", pad_edge=False)
    table.add_column("mailbox")
    table.add_column("last poll")
    for name in ("on server", "backlog", "last success", "interval"):
        table.add_column(name, justify="right")
    for row in status.mailboxes:
        found = row.status
        result = row.inactive or (found.result if found else "never")
        success = ago(now - found.last_success) if found and found.last_success else "never"
        counts = (str(found.listed), str(found.backlog_messages)) if found else ("", "")
        table.add_row(row.id, result, *counts, success, ago(row.interval))
    tick = f"{ago(now - status.last_tick)} ago" if status.last_tick else "never"
    oldest = f", the oldest for {ago(now - status.oldest_pending)}" if status.oldest_pending else ""
    lines = [
        f"{status.counts['open']} messages to process{oldest}; {status.counts['failed']} failed",
        f"{status.schedule.due} mailboxes due, the most overdue by {ago(status.schedule.lag)}; last tick {tick}",
        *(
            f"{sink}: {lag.entries} events to deliver"
            + (f", the oldest for {ago(lag.oldest_age)}" if lag.entries else "")
            + (_disabled(sink) if sink in status.disabled else _answer(status.answers.get(sink), now))
            for sink, lag in status.sinks.items()
        ),
        *(
            f"{row.id}: {words}"
            for row in status.mailboxes
            if row.status and (words := doubted_words(row.status, now))
        ),
        *(
            f"{sink}: left the configuration {ago(now - since)} ago; its events are kept for a day. "
            f"To drop them now: mailhaul sinks remove {sink}"
            for sink, since in status.left.items()
        ),
    ]
    if status.counts["dead_letters"]:
        rejected = f"{status.counts['dead_letters']} events were rejected by their sink"
        lines.append(f"{rejected}; list them with: mailhaul sinks dead-letters list NAME")
    return Group(table, "", *lines)


def _answer(answer: SinkStatus | None, now: float) -> str:
    """Return what a sink answers instead of taking events, and since when."""
    if answer is None or answer.failing_since is None:
        return ""
    return f"; it {answer.words}, since {ago(now - answer.failing_since)}"


def _disabled(sink: str) -> str:
    return (
        "; it answered 410 Gone and is disabled, so no events are sent. Ask its operator why, "
        f"or correct its address, then: mailhaul sinks resume {sink}"
    )


def poll_data(outcome: PollOutcome) -> dict[str, Any]:
    """Return the result of one poll and its counts."""
    error = str(outcome.error) if outcome.error else None
    return {
        "mailbox": outcome.mailbox,
        "result": outcome.result,
        **_counts(outcome.report),
        "left_out": outcome.report.left_out,
        "troubled": [asdict(message) for message in outcome.report.troubled],
        "error": error,
    }


def poll_view(outcome: PollOutcome) -> RenderableType:
    """Return a line with the counts or the error, and one for each message that could not be fetched."""
    counts = _counts(outcome.report)
    line = Text(f"{outcome.mailbox}: {', '.join(f'{counts[name]:,} {name}' for name in _COUNTS)}")
    if outcome.error:
        line = Text.assemble((f"{outcome.mailbox}: ", "red"), printable(str(outcome.error)))
    return Group(line, *(Text(f"  {words}", style="yellow") for words in _not_fetched(outcome.report)))


def _not_fetched(report: PollReport) -> list[str]:
    """Return a line for each message that could not be fetched, and one for those left out of the listing."""
    words = [troubled_line(message) for message in report.troubled[:_TROUBLED_LINES]]
    if (more := len(report.troubled) - len(words)) > 0:
        words.append(f"{more} more messages could not be fetched; list them with: mailhaul mailboxes list")
    return [*words, left_out_words(report.left_out)] if report.left_out else words


def _counts(report: PollReport) -> dict[str, int]:
    return {name: getattr(report, name) for name in _COUNTS}


def _number(value: int) -> Text:
    return Text(f"{value:,}", style="" if value else "bright_black")
