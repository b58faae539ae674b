"""`mailhaul import`: import mail from files into a mailbox."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingest.cli.common import (
    FAILED,
    INTERRUPTED,
    UNUSABLE,
    ConfigOption,
    JsonOption,
    counted,
    print_error,
    print_json,
    printable,
    progress_bar,
)
from ingest.mailfiles.mbox import Dialect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.admin.imports import Imported
    from ingest.mailfiles.files import FoundMail

# Failures that are printed; --json has all.
_FAILURES = 20


PathsArgument = Annotated[
    list[Path],
    typer.Argument(metavar="FILE|DIR...", help="Messages, mbox files, ZIP archives; folders with them, or Maildirs."),
]
MailboxOption = Annotated[
    str,
    typer.Option("--mailbox", metavar="ID", help="The configured mailbox that gets the mail.", show_default=False),
]
MboxOption = Annotated[
    Dialect,
    typer.Option("--mbox", help="The dialect of mbox files; auto looks at each message's Content-Length."),
]
RateOption = Annotated[
    float | None,
    typer.Option(metavar="NUMBER", min=0.001, help="Read so many messages a second at most.", show_default=False),
]
NoEventsOption = Annotated[
    bool, typer.Option("--no-events", help="Publish no event; `mailhaul replay` may publish them later.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print what was found, and import nothing.")]


def import_mail(
    paths: PathsArgument,
    mailbox: MailboxOption,
    config: ConfigOption = None,
    mbox: MboxOption = Dialect.AUTO,
    rate: RateOption = None,
    *,
    no_events: NoEventsOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Import mail from files into a mailbox, as if it had been fetched from its server.

    Reads messages (.eml), mbox files of all four dialects, Maildir folders, and ZIP archives of .eml files; from
    folders, with all subfolders, what is recognised. The same message always gets the same key: what is stored
    already is recognised, and so is mail that is fetched later. Run an import again if it ended early. Events go to
    all sinks, unless --no-events is given. The files are left as they are. Safe while the service runs. Ctrl-C
    stops it; what was read is stored.
    """
    missing = [path for path in paths if not path.exists()]
    for path in missing:
        print_error(f"{path} does not exist")
    if missing:
        raise typer.Exit(UNUSABLE)
    if dry_run:
        from ingest.mailfiles.files import find_mail

        _print_found(find_mail(paths), as_json=as_json)
        return
    started = time.monotonic()
    done, found = _run(mailbox, paths, config, {"dialect": mbox, "rate": rate, "events": not no_events})
    if as_json:
        print_json(_data(done, found))
    else:
        _report(done, found, time.monotonic() - started, events=not no_events)
    sys.exit(0 if done.ok else INTERRUPTED if done.error is None and not done.complete else FAILED)


def _run(mailbox: str, paths: Sequence[Path], config: Path | None, how: dict[str, Any]) -> tuple[Imported, FoundMail]:
    from ingest.admin.imports import ImportOrder
    from ingest.admin.usable import require_usable
    from ingest.cli.runtime import open_runtime
    from ingest.cli.stopping import Stopping
    from ingest.config.names import require_configured
    from ingest.mailfiles.files import find_mail
    from ingest.wiring import admin

    with Stopping() as stopping, open_runtime(config) as runtime:
        mailboxes = runtime.mailboxes()
        require_configured("mailbox", [mailbox], mailboxes)
        require_usable(runtime.ledger)
        # Last: to look through folders may take minutes, after which no mistake in the command should show.
        found = find_mail(paths)
        schedule = runtime.schedule()
        runtime.ticker.tick(schedule)
        with progress_bar(found.size) as show:
            order = ImportOrder(mailboxes[mailbox], found, **how)
            return admin.importer(runtime).run(order, schedule.sinks, stopping, show), found


def _print_found(found: FoundMail, *, as_json: bool) -> None:
    forms: dict[str, int] = {}
    for source in found.sources:
        forms[source.form] = forms.get(source.form, 0) + 1
    if as_json:
        print_json({"files": forms, "bytes": found.size, "others": found.others})
        return
    for form, count in forms.items():
        typer.echo(f"{count:,} {_FORMS[form]}")
    typer.echo(f"{found.size:,} bytes in all")
    _print_others(found)


_FORMS = {
    "message": "files with one message each",
    "maildir": "messages in Maildir folders",
    "mbox": "mbox files",
    "zip": "ZIP archives",
}


def _print_others(found: FoundMail) -> None:
    if found.others:
        others = counted(found.others, "other file in these folders is", "other files in these folders are")
        typer.echo(f"{others} not read; name one to have it read as mail")


def _data(done: Imported, found: FoundMail) -> dict[str, Any]:
    return {
        "ok": done.ok,
        "complete": done.complete,
        "stored": done.stored,
        "known": done.known,
        "oversize": done.oversize,
        "processed": done.processed,
        "pending": done.pending,
        "events": dict(done.events),
        "others": found.others,
        "failed": [{"file": str(path), "name": name, "reason": reason} for path, name, reason in done.failed],
        "error": str(done.error) if done.error else None,
    }


def _report(done: Imported, found: FoundMail, seconds: float, *, events: bool) -> None:
    oversize = f", {done.oversize:,} too large (only their header is stored)" if done.oversize else ""
    typer.echo(f"{counted(done.stored, 'new message')}, {done.known:,} known already{oversize}")
    delivered = ", ".join(f"{count:,} to {sink}" for sink, count in done.events.items()) or "no sink is configured"
    published = f"events delivered: {delivered}" if events else "no events, as asked for"
    typer.echo(f"{counted(done.processed, 'message')} processed; {published}; {seconds:.1f} s")
    _print_others(found)
    for path, name, reason in done.failed[:_FAILURES]:
        print_error(f"{path}{f' ({name})' if name else ''}: {reason}")
    if len(done.failed) > _FAILURES:
        print_error(f"and {len(done.failed) - _FAILURES:,} more; --json names all")
    if done.pending:
        typer.echo(
            f"{counted(done.pending, 'message waits', 'messages wait')} to be processed: `mailhaul status` shows why",
            err=True,
        )
    if done.error is not None:
        print_error(printable(str(done.error)))
    if not done.complete:
        typer.echo("ended early; run the same command again, it goes on behind what is stored", err=True)
