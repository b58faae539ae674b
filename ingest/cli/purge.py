"""`mailhaul purge`: erase stored messages."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import asdict
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

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.admin.purge import Purge
    from ingest.admin.purge_report import PurgeReport, Survey
    from ingest.wiring.runtime import Runtime

app = typer.Typer(
    help="Erase stored messages permanently: single ones, a whole mailbox, or those whose retention is over.",
    no_args_is_help=True,
)

_ERASED = (
    "All objects of each message are erased, including earlier versions in the bucket; a tombstone without content"
    " remains. Its events are removed from the event stream and the dead-letter queues of sinks."
)
_KEPT = "Not erased: mail on the POP3 server, events that sinks already received, backups of store and ledger."
_NOT_FETCHED_AGAIN = (
    "Mail still on the POP3 server is not fetched again: the checkpoint, which holds digests only, is kept."
)


@contextmanager
def _open(config: Path | None) -> Iterator[Purge]:
    from ingest.cli.runtime import open_runtime

    with open_runtime(config) as runtime:
        yield purge_of(runtime)


def purge_of(runtime: Runtime) -> Purge:
    """Return what finds and erases messages."""
    from ingest.admin.erase import Eraser
    from ingest.admin.holds import LegalHolds
    from ingest.admin.purge import Purge

    configured = runtime.mailboxes()
    holds = LegalHolds(runtime.store, runtime.layout, configured)
    return Purge(
        store=runtime.store,
        ledger=runtime.ledger,
        events=runtime.events,
        eraser=Eraser(runtime.store, runtime.ledger, runtime.events, runtime.sinks, runtime.now, holds),
        layout=runtime.layout,
        configured=configured,
        keeper=runtime.keeper,
        workers=runtime.uploads,
    )


@app.command(epilog="Example: mailhaul purge message 3f2a --mailbox invoices")
def message(
    keys: Annotated[
        list[str], typer.Argument(metavar="KEY...", help="Message keys, or unambiguous beginnings of them.")
    ],
    mailbox: Annotated[
        str | None,
        typer.Option(
            "--mailbox", metavar="ID", help="Search this mailbox only, which is faster.", show_default=False
        ),
    ] = None,
    config: ConfigOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Erase messages, leaving a tombstone without content of each, so that they are not stored again.

    Erases raw mail, bodies, attachments and manifests, including earlier versions in the bucket, and removes the
    messages' events from the event stream. Does not touch mail on the POP3 server, events that sinks already
    received, or backups. Refuses a message that is being processed, or whose mailbox is being polled.
    """
    from ingest.cli.stopping import Stopping

    _require_answer(yes=yes)
    with _open(config) as purge:
        found = purge.find(keys, mailbox)
        _confirm(purge.survey(found), yes=yes)
        with Stopping() as stopping:
            report = purge.messages(found, lambda: stopping.asked)
    _report(report, as_json=as_json)


@app.command(epilog="Example: mailhaul purge mailbox invoices")
def mailbox(
    id_: Annotated[
        str, typer.Argument(metavar="ID", help="Id of a mailbox that is paused, disabled, or no longer configured.")
    ],
    config: ConfigOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Erase every message of a mailbox that is no longer polled.

    Erases what `purge message` erases. The mailbox's checkpoint, which holds digests only, is kept, so that mail
    still on its server is not fetched again if the mailbox is resumed. Ctrl-C stops between messages; run the command
    again to erase the rest.
    """
    from ingest.cli.stopping import Stopping

    _require_answer(yes=yes)
    with _open(config) as purge:
        survey = purge.survey_mailbox(id_)
        _confirm(survey, _NOT_FETCHED_AGAIN, yes=yes)
        with Stopping() as stopping, progress_bar(survey.messages + survey.purged, id_) as show:
            report = purge.mailbox(id_, lambda: stopping.asked, show)
    _report(report, as_json=as_json)


def _require_answer(*, yes: bool) -> None:
    if not yes and not sys.stdin.isatty():
        print_error("cannot ask for confirmation without a terminal; confirm with --yes")
        raise typer.Exit(UNUSABLE)


def _confirm(survey: Survey, *more: str, yes: bool) -> None:
    """Print what would be erased and ask for confirmation, unless nothing is left to erase."""
    if yes or not survey.messages:
        return
    for line in (_described(survey), *blocked_lines(survey), _ERASED, *more, _KEPT):
        typer.echo(line, err=True)
    typer.confirm("Erase this permanently?", default=False, abort=True, err=True)


def _described(survey: Survey) -> str:
    days = f", received {survey.first} to {survey.last}" if survey.first else ""
    messages, objects = counted(survey.messages, "message"), counted(survey.objects, "object")
    return f"{messages} of {', '.join(survey.mailboxes)}: {objects}, {survey.size:,} bytes{days}"


def report_data(report: PurgeReport) -> dict[str, Any]:
    """Return a report for JSON."""
    times = {name: getattr(report, name) for name in ("restorable_until", "locked_until")}
    return {
        **asdict(report),
        **{name: None if time is None else time.isoformat() for name, time in times.items()},
        "error": str(report.error) if report.error else None,
    }


def _report(report: PurgeReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report_data(report))
    else:
        for line in report_lines(report):
            typer.echo(line)
    if report.error is not None:
        if not as_json:
            print_error(str(report.error))
        raise typer.Exit(exit_code(report.error))
    raise typer.Exit(INTERRUPTED if report.stopped else FAILED if report.held or report.locked else 0)


def blocked_lines(report: PurgeReport | Survey) -> list[str]:
    """Return what stays because of holds and locks."""
    lines = []
    if report.held:
        lines.append(f"{report.held:,} stay: under a legal hold; see `mailhaul hold list`, and those of the store")
    if report.locked:
        until = f"{report.locked_until:%Y-%m-%d %H:%M} UTC" if report.locked_until else "later"
        lines.append(f"{report.locked:,} stay, whole: locked by the store (Object Lock), all of them until {until}")
    return lines


def report_lines(report: PurgeReport) -> list[str]:
    """Return a report as lines for a person."""
    if report.error is not None and not report.done:
        return []
    lines = [
        f"{counted(report.messages, 'message')} purged: {counted(report.objects, 'object')}, {report.size:,} bytes"
    ]
    if report.raw:
        lines.append(f"{counted(report.raw, 'raw mail')} erased, with bodies and documents kept")
    if report.purged_before:
        left = f"; {counted(report.left_over, 'leftover object')} of them erased now" if report.left_over else ""
        lines.append(f"{counted(report.purged_before, 'was', 'were')} already purged{left}")
    if report.failed:
        lines.append(f"{report.failed:,} had failed, and are no longer listed by `mailhaul failed`")
    if report.unread_events or report.rejected_events:
        lines.append(
            f"{counted(report.unread_events, 'event')} removed from the event stream,"
            f" {report.rejected_events:,} from the dead-letter queues of sinks"
        )
    if report.restorable_until is not None:
        lines.append(
            f"the store can restore what was erased until {report.restorable_until:%Y-%m-%d %H:%M} UTC (soft delete):"
            " nothing but its settings can shorten that"
        )
    lines += blocked_lines(report)
    if report.unproven:
        lines.append(
            f"{report.unproven:,} raw mails stay: they, or what was found in them, are not in the store as the"
            " manifest says; the log names the messages"
        )
    if report.stopped or (report.error is not None and report.done):
        lines.append("stopped; run the command again to erase the rest")
    return lines
