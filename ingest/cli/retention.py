"""`mailhaul purge retention`: erase messages whose time is over."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingest.cli.common import (
    FAILED,
    INTERRUPTED,
    UNUSABLE,
    ConfigOption,
    JsonOption,
    YesOption,
    counted,
    exit_code,
    print_error,
    print_json,
    progress_bar,
)
from ingest.cli.purge import purge_of, report_data, report_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.admin.purge_report import PurgeReport
    from ingest.admin.retention import Outcome, RetentionRow, RetentionSurvey

_WORDS: dict[Outcome, str] = {
    "message": "to erase",
    "raw": "raw mail to erase, bodies and documents stay",
    "held": "stay: under a legal hold",
    "locked": "stay: locked by the store",
    "unread": "raw mail stays: not everything in it was read, or something of it is missing in the store",
    "unprocessed": "stay: without a manifest that can be read, so no rule can be applied",
}


def retention(
    config: ConfigOption = None,
    *,
    mailbox: Annotated[
        str | None, typer.Option("--mailbox", metavar="ID", help="Only this mailbox.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the report and erase nothing.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Erase messages, or their raw mail alone, that `retention` in the configuration does not keep any longer.

    Prints a report first: what is due by which rule, what stays because of a legal hold or a lock of the store, and
    what cannot be decided. The time counts from when the store wrote the raw mail. Exits with 1 if the store has
    locked what is due, or does not return what a manifest says.
    """
    from ingest.admin.retention import DUE, Retention
    from ingest.cli.runtime import open_runtime
    from ingest.cli.stopping import Stopping

    _require_answer(given=yes or dry_run)
    with open_runtime(config) as runtime:
        if not runtime.retention:
            print_error("no `retention` is configured, so everything is kept for ever")
            raise typer.Exit(UNUSABLE)
        whole = mailbox is None and not dry_run
        if whole and yes:
            runtime.ledger.record_task_start("retention")
        worker = Retention(runtime.store, purge_of(runtime), runtime.retention, runtime.now)
        survey = worker.survey(worker.agreed_time(), mailbox)
        if dry_run and as_json:
            print_json(survey_data(survey))
        else:
            for line in survey_lines(survey):
                typer.echo(line, err=not dry_run)
        due = survey.count(*DUE)
        if dry_run or not due:
            if as_json and not dry_run:
                print_json({**survey_data(survey), "done": None})
            locked = survey.count("locked")
            if whole and not locked:
                runtime.ledger.record_task_success("retention")
            raise typer.Exit(FAILED if locked else 0)
        if not yes:
            typer.confirm("Erase this permanently?", default=False, abort=True, err=True)
        with Stopping() as stopping, progress_bar(due, "retention") as show:
            report = worker.run(survey.now, lambda: stopping.asked, mailbox, show)
        if whole and not _code(report):
            runtime.ledger.record_task_success("retention")
    _report(survey, report, as_json=as_json)


def _require_answer(*, given: bool) -> None:
    if not given and not sys.stdin.isatty():
        print_error("cannot ask for confirmation without a terminal; confirm with --yes, or use --dry-run")
        raise typer.Exit(UNUSABLE)


def _report(survey: RetentionSurvey, report: PurgeReport, *, as_json: bool) -> None:
    if as_json:
        print_json({**survey_data(survey), "done": report_data(report)})
    else:
        for line in report_lines(report):
            typer.echo(line)
    if report.error is not None and not as_json:
        print_error(str(report.error))
    raise typer.Exit(_code(report))


def _code(report: PurgeReport) -> int:
    if report.error is not None:
        return exit_code(report.error)
    return INTERRUPTED if report.stopped else FAILED if report.locked or report.unproven else 0


def survey_data(survey: RetentionSurvey) -> dict[str, Any]:
    """Return the report for JSON."""
    rows = []
    for row in _sorted(survey):
        times = {name: getattr(row, name) for name in ("first", "last", "locked_until")}
        written = {name: None if time is None else time.isoformat() for name, time in times.items()}
        rows.append({**asdict(row), **written})
    return {"now": survey.now.isoformat(), "stored": survey.stored, "rows": rows}


def survey_lines(survey: RetentionSurvey) -> Iterator[str]:
    """Yield the report as lines for a person."""
    stored = counted(survey.stored, "message")
    yield f"{survey.now:%Y-%m-%d %H:%M} UTC, by the clocks of store and machine; {stored} stored"
    rows = _sorted(survey)
    if not rows:
        yield "nothing is due"
    for row in rows:
        rule = f" by {row.rule}" if row.rule else ""
        until = ""
        if row.locked_until is not None:
            # Rounded up, as one minute earlier it would still be locked.
            until = f", all of them until {row.locked_until + timedelta(minutes=1):%Y-%m-%d %H:%M} UTC"
        yield (
            f"{row.mailbox}: {row.messages:,} {_WORDS[row.outcome]}{rule}{until}; {counted(row.objects, 'object')},"
            f" {counted(row.size, 'byte')}, stored {row.first:%Y-%m-%d} to {row.last:%Y-%m-%d}"
        )


def _sorted(survey: RetentionSurvey) -> list[RetentionRow]:
    order = list(_WORDS)
    return sorted(survey.rows.values(), key=lambda row: (row.mailbox, order.index(row.outcome), row.rule))
