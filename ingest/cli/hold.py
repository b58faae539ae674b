"""`mailhaul hold`: legal holds, under which nothing is erased."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.cli.common import UNUSABLE, ConfigOption, JsonOption, print_error, print_json, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.admin.holds import HoldOrders

app = typer.Typer(
    help="Legal holds on messages and mailboxes: what is held is erased by no rule and no request.",
    no_args_is_help=True,
)

MessageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--message",
        metavar="KEY",
        help="A message key, or an unambiguous beginning of one; may be repeated.",
        show_default=False,
    ),
]
MailboxOption = Annotated[
    str | None,
    typer.Option("--mailbox", metavar="ID", help="A mailbox, with all that it will get.", show_default=False),
]


@contextmanager
def _open(config: Path | None) -> Iterator[HoldOrders]:
    from ingest.admin.holds import HoldOrders
    from ingest.cli.purge import purge_of
    from ingest.cli.runtime import open_runtime

    with open_runtime(config) as runtime:
        yield HoldOrders(purge_of(runtime), runtime.now)


@app.command(epilog="Example: mailhaul hold add --message 3f2a --reason 'case 12/2026'")
def add(
    messages: MessageOption = None,
    mailbox: MailboxOption = None,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Kept with the hold, in the store.", show_default=False)
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Hold messages, or a mailbox: nothing of them is erased, by `purge` or by retention, until the hold is released.

    Where `store.lock` is configured, the store's own legal hold is put on the objects too.
    """
    _require_one(messages, mailbox)
    with _open(config) as orders:
        lines = orders.hold_mailbox(mailbox, reason) if mailbox else orders.hold_messages(messages or [], reason)
    for line in lines:
        typer.echo(line)


@app.command(epilog="Example: mailhaul hold release --message 3f2a")
def release(messages: MessageOption = None, mailbox: MailboxOption = None, config: ConfigOption = None) -> None:
    """Release a hold. What is held by another one stays held."""
    _require_one(messages, mailbox)
    with _open(config) as orders:
        lines = orders.release_mailbox(mailbox) if mailbox else orders.release_messages(messages or [])
    for line in lines:
        typer.echo(line)


@app.command("list", epilog="Example: mailhaul hold list --json")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List all holds, with their reasons."""
    with _open(config) as orders:
        holds = orders.all()
    if as_json:
        print_json([hold.model_dump(mode="json", by_alias=True) for hold in holds])
        return
    for hold in holds:
        since = f" since {hold.since:%Y-%m-%d %H:%M} UTC" if hold.since else ""
        typer.echo(f"{hold.kind} {hold.name}{since}" + (f": {printable(hold.reason)}" if hold.reason else ""))
    if not holds:
        typer.echo("nothing is held")


def _require_one(messages: list[str] | None, mailbox: str | None) -> None:
    if bool(messages) == bool(mailbox):
        print_error("write --message KEY or --mailbox ID")
        raise typer.Exit(UNUSABLE)
