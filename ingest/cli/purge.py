"""`mailhaul purge`: erase messages for good."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.cli.messages import INTERRUPTED, UNUSABLE, exit_code, print_error
from ingest.cli.options import ConfigOption, JsonOption, print_json

if TYPE_CHECKING:
    from ingest.admin.purge_report import PurgeReport, Survey

app = typer.Typer(
    help="Erase for good what is stored, for the right to be forgotten: a message, a mailbox.", no_args_is_help=True
)

YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

_WHAT_GOES = (
    "Every object is erased, earlier versions in the bucket too; a record without content is left of each message."
    " Events of it leave the event stream and the dead-letter queues of sinks."
)
_WHAT_STAYS = "Not touched: mail on the POP3 server, what sinks have got, backups of the store and the ledger."
_NOT_AGAIN = (
    "Mail that is still on the POP3 server is not fetched again: the checkpoint stays, which holds digests only."
)


@app.command()
def message(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Message keys, or how they begin.")],
    mailbox: Annotated[
        str | None, typer.Option("--mailbox", metavar="ID", help="Look in this mailbox only, which is faster.")
    ] = None,
    config: ConfigOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Erase messages, and keep a record of each without content, so that they are not stored again.

    Their raw mail, bodies, attachments and manifests go, with earlier versions of them in the bucket; so do their
    events in the event stream. Mail on the POP3 server, what sinks have got, and backups are not touched. A message
    that is still being processed is refused, and so is one whose mailbox is being polled just now.
    """
    from ingest.cli import once
    from ingest.cli.stopping import Stopping

    _need_an_answer(yes=yes)
    with once.purge(config) as purge:
        found = purge.find(keys, mailbox)
        _ask(purge.survey(found), yes=yes)
        with Stopping() as stopping:
            report = purge.messages(found, lambda: stopping.asked)
    _tell(report, as_json=as_json)


@app.command()
def mailbox(
    id_: Annotated[
        str, typer.Argument(metavar="ID", help="Of a mailbox that is paused, disabled, or not configured any more.")
    ],
    config: ConfigOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Erase every message of a mailbox that is polled no more.

    As for a message. The mailbox's checkpoint stays (digests only), so that mail still on its server is not fetched
    again if it is resumed. Ctrl-C stops between messages; run it again for the rest.
    """
    from rich.console import Console
    from rich.progress import Progress

    from ingest.cli import once
    from ingest.cli.stopping import Stopping

    _need_an_answer(yes=yes)
    with once.purge(config) as purge:
        survey = purge.survey_mailbox(id_)
        _ask(survey, _NOT_AGAIN, yes=yes)
        console = Console(stderr=True)
        with (
            Stopping() as stopping,
            Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
        ):
            task = bar.add_task(id_, total=survey.messages + survey.purged)
            report = purge.mailbox(id_, lambda: stopping.asked, lambda done: bar.update(task, completed=done))
    _tell(report, as_json=as_json)


def _need_an_answer(*, yes: bool) -> None:
    if not yes and not sys.stdin.isatty():
        print_error("there is nobody to ask whether to erase this; say so with --yes")
        raise typer.Exit(UNUSABLE)


def _ask(survey: Survey, *more: str, yes: bool) -> None:
    """Say what will be gone, and go on only after a clear yes; what is gone already needs none."""
    if yes or not survey.messages:
        return
    for line in (_described(survey), _WHAT_GOES, *more, _WHAT_STAYS):
        typer.echo(line, err=True)
    typer.confirm("Erase this for good?", default=False, abort=True, err=True)


def _described(survey: Survey) -> str:
    days = f", received {survey.first} to {survey.last}" if survey.first else ""
    return (
        f"{survey.messages:,} messages of {', '.join(survey.mailboxes)}: {survey.objects:,} objects,"
        f" {survey.size:,} bytes{days}"
    )


def _tell(report: PurgeReport, *, as_json: bool) -> None:
    """What was done, then what went wrong."""
    if as_json:
        print_json({**asdict(report), "error": str(report.error) if report.error else None})
    else:
        for line in _lines(report):
            typer.echo(line)
    if report.error is not None:
        if not as_json:
            print_error(str(report.error))
        raise typer.Exit(exit_code(report.error))
    raise typer.Exit(INTERRUPTED if report.stopped else 0)


def _lines(report: PurgeReport) -> list[str]:
    if report.error is not None and not report.done:
        return []
    lines = [f"{report.messages:,} messages are purged: {report.objects:,} objects, {report.size:,} bytes"]
    if report.purged_before:
        left = f"; {report.left_over:,} objects left over of them are gone now" if report.left_over else ""
        lines.append(f"{report.purged_before:,} were purged before{left}")
    if report.failed:
        lines.append(f"{report.failed:,} had been given up, and are no longer listed by `mailhaul failed`")
    if report.unread_events or report.rejected_events:
        lines.append(
            f"{report.unread_events:,} events are gone from the event stream,"
            f" {report.rejected_events:,} from the dead-letter queues of sinks"
        )
    if report.stopped or (report.error is not None and report.done):
        lines.append("stopped; run this again for the rest")
    return lines
