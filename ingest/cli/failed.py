"""`mailhaul failed`: messages that were given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ingest.cli.messages import UNUSABLE, print_error
from ingest.cli.options import ConfigOption, JsonOption, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.admin.failed import FailedMessages
    from ingest.domain.message import FailedMessage

app = typer.Typer(help="Messages that were given up: list, show, retry, drop.", no_args_is_help=True)

KeysArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY]...", help="Message keys, or how they begin.", show_default=False)
]
AllOption = Annotated[bool, typer.Option("--all", help="All of them.")]
MailboxOption = Annotated[str | None, typer.Option("--mailbox", metavar="ID", help="Of this mailbox only.")]


@app.command("list")
def list_(config: ConfigOption = None, mailbox: MailboxOption = None, as_json: JsonOption = False) -> None:
    """List them, the oldest first."""
    from ingest.cli import listings, once

    with once.failed(config) as messages:
        failed = messages.all(mailbox)
    if as_json:
        print_json([listings.failed_data(one) for one in failed])
    else:
        Console().print(listings.failed_table(failed))


@app.command()
def show(key: str, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show one: what went wrong, how often it was tried, and where its raw mail lies."""
    from ingest.cli import listings, once

    with once.failed(config) as messages:
        (one,) = messages.find([key])
    if as_json:
        print_json(listings.failed_data(one))
    else:
        Console().print(listings.failed_view(one))


@app.command()
def retry(
    keys: KeysArgument = None,
    config: ConfigOption = None,
    everything: AllOption = False,
    mailbox: MailboxOption = None,
) -> None:
    """Process them again, with a fresh attempt budget."""
    from ingest.cli import once

    with once.failed(config) as messages:
        count = messages.retry(_chosen(messages, keys, mailbox, everything=everything))
    typer.echo(f"{count} messages are due again")


@app.command()
def drop(
    keys: KeysArgument = None,
    config: ConfigOption = None,
    everything: AllOption = False,
    mailbox: MailboxOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget them. Raw mail stays in the store; on the server the mailbox's policy may delete it."""
    from ingest.cli import once

    with once.failed(config) as messages:
        chosen = _chosen(messages, keys, mailbox, everything=everything)
        if chosen and not yes:
            typer.confirm(f"Forget {len(chosen)} messages that were given up?", abort=True)
        typer.echo(f"{messages.drop(chosen)} messages are forgotten")


def _chosen(
    messages: FailedMessages, keys: list[str] | None, mailbox: str | None, *, everything: bool
) -> Sequence[FailedMessage]:
    if bool(keys) == (everything or mailbox is not None):
        print_error("name message keys, or choose with --all or --mailbox")
        raise typer.Exit(UNUSABLE)
    return messages.find(keys) if keys else messages.all(mailbox)
