"""`mailhaul messages`: look at stored messages, without the catalog and the console."""

from __future__ import annotations

import secrets
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.cli.common import (
    FAILED,
    UNUSABLE,
    ConfigOption,
    JsonOption,
    json_line,
    open_console,
    print_error,
    print_json,
    print_table,
    printable,
    write_new,
)
from ingest.cli.replay import MailboxesOption, period

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from ingest.admin.messages import StoredMessages
    from ingest.wiring.runtime import Runtime

app = typer.Typer(help="Stored messages: list, show, open, trace.", no_args_is_help=True)

_STDOUT = Path("-")

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="A message key, or an unambiguous beginning of one.")]
MailboxOption = Annotated[
    str | None,
    typer.Option("--mailbox", metavar="ID", help="Search this mailbox only, which is faster.", show_default=False),
]
SinceOption = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Only messages done at this time or later.", show_default=False)
]
UntilOption = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Only messages done before this time.", show_default=False)
]


@contextmanager
def _open(config: Path | None) -> Iterator[tuple[Runtime, StoredMessages]]:
    from ingest.admin.messages import StoredMessages
    from ingest.cli.runtime import open_runtime

    with open_runtime(config) as runtime:
        parts = runtime.store, runtime.layout, runtime.ledger, runtime.mailboxes(), runtime.uploads
        yield runtime, StoredMessages(*parts)


@app.command("list", epilog="Example: mailhaul messages list --mailbox invoices --since 2h")
def list_(
    mailbox: MailboxesOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Print so many at the most.")] = 20,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List stored messages, the newest first.

    WHEN is a day, a time (UTC unless it has an offset) or an age such as 2h or 30d, and is
    compared with the time when a message's manifest was written. The whole store is listed, so name mailboxes where
    it is large.
    """
    from ingest.cli import message_views
    from ingest.config.names import require_configured

    begin, end = period(since, until)
    with _open(config) as (runtime, messages):
        rows = messages.latest(mailbox or [], limit, since=begin, until=end)
        if not rows:
            require_configured("mailbox", mailbox or [], runtime.mailboxes())
    if as_json:
        print_json([message_views.row_data(row) for row in rows])
    elif rows:
        print_table(message_views.rows_table(rows))
    else:
        narrowed = mailbox or since or until
        typer.echo("no such message is stored" if narrowed else "no message is stored yet", err=True)


@app.command(epilog="Example: mailhaul messages show 3f2a")
def show(
    key: KeyArgument, mailbox: MailboxOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show one message: header, parts, invoices, and documents with the reasons for their kind; or its manifest."""
    from ingest.cli import message_views

    with _open(config) as (_, messages):
        manifest = messages.require_manifest(messages.find(key, mailbox))
    if as_json:
        typer.echo(json_line(manifest.to_json().decode()))
    else:
        open_console().print(message_views.message_view(manifest))


@app.command("open", epilog="Example: mailhaul messages open 3f2a --part 2 --output invoice.pdf")
def open_(
    key: KeyArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file to write, a folder to write it to, or - for standard output.",
        ),
    ],
    part: Annotated[
        str | None, typer.Option(metavar="N", help="An attachment, by its part such as 2.1.", show_default=False)
    ] = None,
    mailbox: MailboxOption = None,
    config: ConfigOption = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write the raw mail of a message, or one attachment, to a file, byte for byte as it was sent."""
    with _open(config) as (runtime, messages):
        stored = messages.find(key, mailbox)
        if part is None:
            ref, name = messages.raw(stored), f"{stored.key}.eml"
        else:
            attachment = messages.attachment(stored, part)
            # Made of digits, dots and a name without separators; see `ingest.domain.keys`.
            ref, name = attachment.object, attachment.object.key.rpartition("/")[2]
            if attachment.scan is not None and attachment.scan.status == "infected":
                print_error(f"the virus scanner found {attachment.scan.signature or 'something'} in this file")
        target = output / name if output.is_dir() else output
        with runtime.store.open(ref.key) as content:
            if output == _STDOUT:
                _print(content)
                return
            _write(target, content, force=force)
    typer.echo(f"wrote {printable(str(target))}")


@app.command(epilog="Example: mailhaul messages trace 3f2a")
def trace(
    key: KeyArgument, mailbox: MailboxOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show what happened to one message, and when: from its sender to each sink.

    It is read from the store, the ledger, the event stream and the delivery watermark. None of them records when a
    sink confirmed an event; the timeline of the console shows that.
    """
    from ingest.admin.timeline import Trace
    from ingest.cli import message_views

    with _open(config) as (runtime, messages):
        stored = messages.find(key, mailbox)
        sinks = list(runtime.sinks)
        tracer = Trace(runtime.store, runtime.ledger, runtime.events, sinks, runtime.watermark.read())
        steps = tracer.steps(stored, messages.manifest(stored))
    if as_json:
        print_json([message_views.step_data(step) for step in steps])
    else:
        print_table(message_views.steps_table(stored.key, steps))


def _print(content: BinaryIO) -> None:
    """Write bytes to standard output; no sender's bytes go to a terminal, which they might control."""
    if sys.stdout.isatty():
        print_error("standard output is a terminal; name a file, or pipe it to a program")
        raise typer.Exit(UNUSABLE)
    shutil.copyfileobj(content, sys.stdout.buffer)
    sys.stdout.flush()


def _write(target: Path, content: BinaryIO, *, force: bool) -> None:
    """Write a file; if it exists, replace it as a whole, or refuse."""
    path = target.with_name(f".{target.name[:64]}.{secrets.token_hex(4)}") if force else target
    try:
        write_new(path, content)
        if force:
            path.replace(target)
    except FileExistsError:
        print_error(f"{target} exists; name another file, or replace it with --force")
        raise typer.Exit(FAILED) from None
    except OSError as error:
        print_error(f"{target}: {error.strerror or 'cannot be written'}")
        raise typer.Exit(FAILED) from None
