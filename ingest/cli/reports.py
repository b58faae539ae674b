"""The reports of `check`, `drain` and `mailboxes poll`: as lines for people, as plain data for JSON.

Plain text with colours: these commands run from cron and containers, where importing a library for tables would cost
more than they print.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import asdict, replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

import typer

from ingest.cli.common import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingest.admin.check import CheckReport, Finding
    from ingest.admin.drain import DrainedMailbox, DrainReport
    from ingest.admin.preview import PreviewedMailbox
    from ingest.ports.troubled import TroubledMessage
    from ingest.usecases.poll.report import PollReport
    from ingest.usecases.poll.stage import PollOutcome

# Messages that a report names; `mailhaul mailboxes list` has all.
_TROUBLED_LINES = 5
_COUNTS = ("listed", "new", "stored", "duplicate", "oversize", "failed", "deleted")
_PLANNED = ("listed", "fetch", "fetch_bytes", "oversize", "delete")
# A line of a table: colour, whether it is bold, cells.
_Row: TypeAlias = tuple[str | None, bool, "Sequence[str]"]
_DIM = "bright_black"
# Details are wrapped to this many columns at the least.
_NARROWEST = 20
# Findings of one kind that are printed one by one, and names that stand for many.
_SINGLE, _EXAMPLES = 20, 3
_NUMBERS = re.compile(r"[0-9][0-9.,:]*")
_GOOD = partial(typer.style, "✓ ", fg="green")
_BAD = partial(typer.style, "✗ ", fg="red", bold=True)
_NOT_VISIBLE = partial(typer.style, "- ", fg=_DIM)
TROUBLES = {
    "ends_session": "ends the session",
    "larger_than_listed": "larger than listed",
    "refused": "refused by the server",
}


def drain_data(report: DrainReport) -> dict[str, Any]:
    """Return `ok`, a row per mailbox, totals, events delivered by sink, and what sinks in trouble answered."""
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
        "sink_errors": dict(report.sink_errors),
        "seconds": round(report.seconds, 3),
    }


def drain_lines(report: DrainReport) -> Iterator[str]:
    """Yield a row per mailbox, totals, a line for each failure, and a summary."""
    yield from _table(report)
    for row in report.mailboxes:
        for problem in _problems(row):
            yield typer.style(f"{row.mailbox}: ", fg="red") + printable(problem)
    events = ", ".join(f"{count} to {sink}" for sink, count in report.events.items()) or "no sink is configured"
    yield f"{counted(report.processed, 'message')} processed; events delivered: {events}; {report.seconds:.1f} s"
    waiting = (
        [counted(report.pending, "message waits to be retried", "messages wait to be retried")]
        if report.pending
        else []
    )
    if report.waiting_events:
        waiting.append(counted(report.waiting_events, "event waits for its sink", "events wait for their sink"))
    for sink, words in report.sink_errors.items():
        yield typer.style(f"{sink}: ", fg="red") + f"it {printable(words)}; see mailhaul status for what to do"
    if waiting:
        yield typer.style(f"{' and '.join(waiting)}; run `mailhaul drain` again", fg="yellow")


def preview_data(previews: Sequence[PreviewedMailbox]) -> dict[str, Any]:
    """Return a row per mailbox, and totals."""
    return {
        "mailboxes": [{"mailbox": row.mailbox, **asdict(row.preview), "error": row.error} for row in previews],
        "totals": _planned_totals(previews),
    }


def preview_lines(previews: Sequence[PreviewedMailbox]) -> Iterator[str]:
    """Yield a row per mailbox, totals, a line for each failure, and what the counts do not say."""
    rows: list[_Row] = [(_DIM, False, ("mailbox", "listed", "to fetch", "bytes", "too large", "to delete"))]
    for row in previews:
        planned = (f"{getattr(row.preview, name):,}" for name in _PLANNED)
        rows.append((None if row.error is None else "red", False, (row.mailbox, *planned)))
    rows.append((None, True, ("all", *(f"{count:,}" for count in _planned_totals(previews).values()))))
    yield from _columns(rows)
    for row in previews:
        if row.error is not None:
            yield typer.style(f"{row.mailbox}: ", fg="red") + printable(row.error)
    unknown = sum(not row.preview.known for row in previews)
    if unknown:
        mailboxes = counted(unknown, "mailbox is", "mailboxes are")
        yield (
            f"{mailboxes} new to the ledger: what the store holds of them already is counted as to "
            "fetch, and is recognised then"
        )
    yield "nothing was fetched, stored or deleted"


def _planned_totals(previews: Sequence[PreviewedMailbox]) -> dict[str, int]:
    return {name: sum(getattr(row.preview, name) for row in previews) for name in _PLANNED}


def _table(report: DrainReport) -> Iterator[str]:
    """Yield the counts of each mailbox and their totals."""
    rows: list[_Row] = [(_DIM, False, ("mailbox", *_COUNTS))]
    rows += [(None if row.ok else "red", False, _cells(row.mailbox, row.report)) for row in report.mailboxes]
    rows.append((None, True, _cells("all", report.totals)))
    yield from _columns(rows)


def _columns(rows: Sequence[_Row]) -> Iterator[str]:
    """Yield rows with cells of equal width: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*(cells for _, _, cells in rows), strict=True)]
    for colour, bold, (name, *counts) in rows:
        padded = (f"{count:>{width}}" for count, width in zip(counts, widths[1:], strict=True))
        yield typer.style("  ".join((f"{name:<{widths[0]}}", *padded)), fg=colour, bold=bold or None)


def _cells(name: str, report: PollReport) -> list[str]:
    return [name, *(f"{count:,}" for count in _counts(report).values())]


def _problems(row: DrainedMailbox) -> list[str]:
    """Return a line for why a mailbox failed, and for each kind of its messages that failed."""
    words = [row.error] if row.error else []
    words += _not_fetched(row.report)
    if row.report.failed:
        reason = f": {row.report.store_refused}" if row.report.store_refused != (row.error or "") else ""
        failed = counted(row.report.failed, "message")
        words.append(f"{failed} could not be fetched or stored{reason}; the next poll tries again")
    if row.failed_messages:
        words.append(f"{counted(row.failed_messages, 'message')} failed; their raw mail is in the store")
    return words


def check_data(report: CheckReport) -> dict[str, Any]:
    """Return `ok` and the findings."""
    return {"ok": report.ok, "findings": [asdict(finding) for finding in report.findings]}


def check_lines(report: CheckReport, width: int | None = None) -> Iterator[str]:
    """Yield a line per finding, its detail on the next line, and a summary.

    Of more than 20 findings of one kind, those that say the same are one line.

    Args:
        report: the findings.
        width: columns of the terminal, to which details are wrapped; None to leave them on one line.
    """
    parts = max((len(finding.part) for finding in report.findings), default=0)
    indent = " " * (parts + 3)
    for finding in _summed(report.findings):
        mark = _NOT_VISIBLE if not finding.visible else _GOOD if finding.ok else _BAD
        yield mark() + finding.part.ljust(parts + 1) + typer.style(printable(finding.name), bold=True)
        detail = printable(finding.detail)
        lines = textwrap.wrap(detail, max(_NARROWEST, width - len(indent))) if width else [detail]
        yield from (indent + typer.style(line, fg=_DIM if finding.ok else None) for line in lines if line)
    yield _verdict(report)


def _verdict(report: CheckReport) -> str:
    bad = sum(not finding.ok for finding in report.findings)
    hidden = sum(not finding.visible for finding in report.findings)
    rest = f"; {hidden:,} are not visible from here" if hidden else ""
    if bad:
        return typer.style(f"{bad:,} of {len(report.findings):,} parts do not work{rest}", fg="red", bold=True)
    return f"all is well{rest}"


def _summed(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the findings; of a part with many, one for those that differ in numbers only, failures first."""
    for _, of_part in groupby(findings, key=lambda finding: finding.part):
        found = list(of_part)
        if len(found) <= _SINGLE:
            yield from found
            continue
        groups: dict[tuple[bool, bool, str], list[Finding]] = {}
        for finding in found:
            alike = (finding.ok, finding.visible, _NUMBERS.sub("#", finding.detail))
            groups.setdefault(alike, []).append(finding)
        ordered = sorted(groups.values(), key=lambda group: group[0].ok)
        yield from map(_sum, ordered[:_SINGLE])
        if rest := [finding for group in ordered[_SINGLE:] for finding in group]:
            bad = sum(not finding.ok for finding in rest)
            detail = f"{bad:,} of them do not work; `--json` lists each"
            yield replace(rest[0], name=f"{len(rest):,} more", ok=not bad, detail=detail)


def _sum(group: Sequence[Finding]) -> Finding:
    first = group[0]
    if len(group) == 1:
        return first
    names = ", ".join(finding.name for finding in group[:_EXAMPLES])
    more = ", …" if len(group) > _EXAMPLES else ""
    detail = first.detail if first.detail == group[-1].detail else f"{first.name}: {first.detail}"
    return replace(first, name=f"{len(group):,}: {names}{more}", detail=detail)


def poll_data(outcome: PollOutcome) -> dict[str, Any]:
    """Return the result of one poll and its counts."""
    error = str(outcome.error) if outcome.error else None
    return {
        "mailbox": outcome.mailbox,
        "result": outcome.result,
        **_counts(outcome.report),
        "left_out": outcome.report.left_out,
        "undeleted": outcome.report.undeleted,
        "troubled": [asdict(message) for message in outcome.report.troubled],
        "error": error,
    }


def poll_lines(outcome: PollOutcome) -> Iterator[str]:
    """Yield a line with the counts or the error, and one for each message that could not be fetched."""
    if outcome.error:
        yield typer.style(f"{outcome.mailbox}: ", fg="red") + printable(str(outcome.error))
    else:
        counts = ", ".join(f"{count:,} {name}" for name, count in _counts(outcome.report).items())
        yield f"{outcome.mailbox}: {counts}"
    for words in _not_fetched(outcome.report):
        yield typer.style(f"  {words}", fg="yellow")


def left_out_words(count: int) -> str:
    """Return a warning about messages that are left out of a listing."""
    messages = counted(count, "message is", "messages are")
    return f"{messages} not fetched, because STAT, UIDL and LIST of the server disagree about them"


def undeleted_words(count: int) -> str:
    """Return what to tell a person about messages that their server does not delete."""
    return (
        f"{counted(count, 'message is', 'messages are')} still on the server, which has confirmed their deletion; "
        "they are not fetched again, and deleted once more every hour"
    )


def troubled_line(message: TroubledMessage) -> str:
    """Return one line about a message that could not be fetched."""
    unique_id = f" ({message.unique_id})" if message.unique_id else ""
    words = f": {message.words}" if message.words else ""
    return printable(f"message {message.number}{unique_id} {TROUBLES[message.trouble]}{words}")


def _not_fetched(report: PollReport) -> list[str]:
    """Return a line for each message that could not be fetched, and one for each other irregularity."""
    words = [troubled_line(message) for message in report.troubled[:_TROUBLED_LINES]]
    if (more := len(report.troubled) - len(words)) > 0:
        words.append(f"{more} more messages could not be fetched; list them with: mailhaul mailboxes list")
    if report.left_out:
        words.append(left_out_words(report.left_out))
    if report.undeleted:
        words.append(undeleted_words(report.undeleted))
    return words


def _counts(report: PollReport) -> dict[str, int]:
    return {name: getattr(report, name) for name in _COUNTS}
