"""`mailhaul reprocess`: read stored messages again, and update those that are read differently today."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingest.cli.common import (
    FAILED,
    INTERRUPTED,
    ConfigOption,
    JsonOption,
    YesOption,
    counted,
    print_error,
    print_json,
    printable,
    progress_bar,
)
from ingest.cli.replay import AllOption, MailboxesOption, SinceOption, UntilOption, period, require_choice

if TYPE_CHECKING:
    from ingest.admin.reprocess import Changed, Reprocessed
    from ingest.domain.marks import Change

# More messages than this need confirmation.
MANY = 1_000
# Messages, and changes of one message, that are printed; --json has all.
_MESSAGES, _CHANGES, _FAILURES = 20, 10, 20

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print what would change, and change nothing.")]


def reprocess(
    mailbox: MailboxesOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    config: ConfigOption = None,
    *,
    everything: AllOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read stored messages again, and update those that this version reads differently.

    After an upgrade, or a change of `parse` or `rules` in the configuration. WHEN is a day, a time (UTC unless it has
    an offset) or an age such as 2h or 7d, and is compared with the time when a message's manifest was written. Where
    the result is the same, nothing is written and nothing published. Where it differs, the manifest is replaced, and
    an event of type message.updated says what changed. Safe while the service runs. Ctrl-C stops it and prints where
    to continue.
    """
    begin, end = period(since, until)
    require_choice(everything=everything, filtered=bool(mailbox or since or until))
    from ingest.admin.replay import find_manifests
    from ingest.admin.usable import require_usable
    from ingest.cli.runtime import open_runtime
    from ingest.cli.stopping import Stopping
    from ingest.config.names import require_configured
    from ingest.wiring import admin

    with Stopping() as stopping, open_runtime(config) as runtime:
        mailboxes = runtime.mailboxes()
        require_configured("mailbox", mailbox or [], mailboxes)
        require_usable(runtime.ledger)
        found = find_manifests(runtime.store, runtime.layout, mailboxes, mailbox or [], since=begin, until=end)
        if len(found) > MANY and not yes and not dry_run:
            typer.confirm(
                f"Read {counted(len(found), 'message')} again, and update those that change?", abort=True, err=True
            )
        schedule = runtime.schedule()
        if not dry_run:
            runtime.ticker.tick(schedule)
        with progress_bar(len(found)) as show:
            done = admin.reprocess(runtime).run(
                found, schedule.sinks, stopping, show, dry_run=dry_run, keep=None if as_json else _MESSAGES
            )
    if as_json:
        print_json(_data(done))
    else:
        _report(done, dry_run=dry_run)
    sys.exit(0 if done.ok else INTERRUPTED if done.error is None and done.resume_at is not None else FAILED)


def _resume_at(done: Reprocessed) -> str | None:
    # Whole seconds: reading a message again twice does no harm.
    return None if done.resume_at is None else datetime.fromtimestamp(int(done.resume_at), UTC).isoformat()


def _data(done: Reprocessed) -> dict[str, Any]:
    return {
        "ok": done.ok,
        "read": done.read,
        "changed": [
            {
                "message": each.key,
                "mailbox": each.mailbox,
                "changes": [change.model_dump(mode="json") for change in each.changes],
            }
            for each in done.changed
        ],
        "updated": done.updated,
        "pending": done.pending,
        "skipped": dict(+done.skipped),
        "failed": [{"message": key, "reason": reason} for key, reason in done.failed],
        "events": dict(done.events),
        "resume_at": _resume_at(done),
        "error": str(done.error) if done.error else None,
    }


def _report(done: Reprocessed, *, dry_run: bool) -> None:
    for changed in done.changed:
        _print_changed(changed)
    if more := done.changed_total - len(done.changed):
        typer.echo(f"and {more:,} more; --json has all")
    same = done.read - done.changed_total
    would = "would change" if dry_run else "changed"
    typer.echo(f"{counted(done.read, 'message')} read again: {done.changed_total:,} {would}, {same:,} unchanged")
    if not dry_run and done.changed:
        events = ", ".join(f"{count:,} to {sink}" for sink, count in done.events.items()) or "no sink is configured"
        typer.echo(f"{counted(done.updated, 'message')} updated; events delivered: {events}")
    for reason, count in (+done.skipped).items():
        typer.echo(f"{counted(count, 'message')} skipped: {reason}")
    _report_trouble(done)


def _report_trouble(done: Reprocessed) -> None:
    for key, reason in done.failed[:_FAILURES]:
        print_error(f"{key}: {reason}")
    if len(done.failed) > _FAILURES:
        print_error(f"and {len(done.failed) - _FAILURES:,} more; --json names all")
    if done.pending:
        typer.echo(f"{done.pending:,} updates wait for another try: `mailhaul status` shows why", err=True)
    if done.error is not None:
        print_error(printable(str(done.error)))
    if done.resume_at is not None:
        typer.echo(f"stopped; continue with: --since {_resume_at(done)}", err=True)


def _print_changed(changed: Changed) -> None:
    typer.echo(f"{changed.key} in {changed.mailbox}")
    for change in changed.changes[:_CHANGES]:
        typer.echo(printable(f"  {_line(change)}"))
    if len(changed.changes) > _CHANGES:
        typer.echo(f"  and {len(changed.changes) - _CHANGES:,} more changes")


def _line(change: Change) -> str:
    if change.kind != "changed":
        return f"{change.path}: {change.kind}"
    return f"{change.path}: {_value(change.before)} -> {_value(change.after)}"


def _value(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    return "nothing" if value is None else str(value)
