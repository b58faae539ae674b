"""`mailhaul failed`: messages that could not be processed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ingest.cli.common import (
    UNUSABLE,
    ConfigOption,
    JsonOption,
    YesOption,
    counted,
    open_console,
    print_error,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.admin.failed import FailedMessages
    from ingest.domain.message import FailedMessage

app = typer.Typer(help="Failed messages: list, show, retry, drop.", no_args_is_help=True)

KeysArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY]...", help="Message keys, or unambiguous beginnings of them.", show_default=False),
]
AllOption = Annotated[bool, typer.Option("--all", help="All failed messages.")]
MailboxOption = Annotated[
    str | None, typer.Option("--mailbox", metavar="ID", help="Only messages of this mailbox.", show_default=False)
]


@app.command("list", epilog="Example: mailhaul failed list --mailbox invoices")
def list_(config: ConfigOption = None, mailbox: MailboxOption = None, as_json: JsonOption = False) -> None:
    """List failed messages, oldest first, then messages that could not be fetched from their servers.

    The latter are in the JSON of `mailhaul mailboxes list`.
    """
    from ingest.admin.failed import FailedMessages
    from ingest.cli import listings
    from ingest.cli.runtime import open_runtime
    from ingest.config.names import require_configured

    with open_runtime(config) as runtime:
        failed = FailedMessages(runtime.ledger).all(mailbox)
        troubled = runtime.ledger.all_troubled()
        chosen = {id_: messages for id_, messages in troubled.items() if mailbox in (None, id_)}
        if mailbox and not failed and not chosen:
            require_configured("mailbox", [mailbox], runtime.mailboxes())
    if as_json:
        print_json([listings.failed_data(one) for one in failed])
        return
    for part in (listings.failed_table(failed), *listings.troubled_table(chosen)):
        print_table(part, highlight=True)


@app.command(epilog="Example: mailhaul failed show 3f2a")
def show(
    key: Annotated[str, typer.Argument(help="A message key, or an unambiguous beginning of one.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one failed message: the reason, the number of attempts, and where its raw mail is stored."""
    from ingest.admin.failed import FailedMessages
    from ingest.cli import listings
    from ingest.cli.runtime import open_runtime

    with open_runtime(config) as runtime:
        (one,) = FailedMessages(runtime.ledger).find([key])
    if as_json:
        print_json(listings.failed_data(one))
    else:
        open_console(highlight=True).print(listings.failed_view(one))


@app.command(epilog="Example: mailhaul failed retry --mailbox invoices")
def retry(
    keys: KeysArgument = None,
    config: ConfigOption = None,
    everything: AllOption = False,
    mailbox: MailboxOption = None,
) -> None:
    """Process failed messages again, now and with a fresh attempt budget.

    A message whose raw mail is not in the store is fetched again, if its server still has it.
    """
    from ingest.admin.failed import FailedMessages, Retry
    from ingest.cli.runtime import open_runtime

    with open_runtime(config) as runtime:
        chosen = _chosen(FailedMessages(runtime.ledger), keys, mailbox, everything=everything)
        done = Retry(runtime.store, runtime.ledger, runtime.keeper).run(chosen)
    typer.echo(f"{counted(done.processed, 'message')} will be processed again")
    if done.fetched:
        missing = counted(done.fetched, "message is not in the store", "messages are not in the store")
        typer.echo(f"{missing} and will be fetched again, if still on the server")


@app.command(epilog="Example: mailhaul failed drop 3f2a --yes")
def drop(
    keys: KeysArgument = None,
    config: ConfigOption = None,
    everything: AllOption = False,
    mailbox: MailboxOption = None,
    yes: YesOption = False,
) -> None:
    """Remove failed messages from the list. Raw mail stays in the store; the policy may delete it on the server."""
    from ingest.admin.failed import FailedMessages
    from ingest.cli.runtime import open_runtime

    with open_runtime(config) as runtime:
        messages = FailedMessages(runtime.ledger)
        chosen = _chosen(messages, keys, mailbox, everything=everything)
        if chosen and not yes:
            typer.confirm(f"Drop {counted(len(chosen), 'failed message')}?", abort=True)
        typer.echo(f"{counted(messages.drop(chosen), 'message')} dropped")


def _chosen(
    messages: FailedMessages, keys: list[str] | None, mailbox: str | None, *, everything: bool
) -> Sequence[FailedMessage]:
    if bool(keys) == (everything or mailbox is not None):
        print_error("name message keys, or choose with --all or --mailbox")
        raise typer.Exit(UNUSABLE)
    return messages.find(keys) if keys else messages.all(mailbox)
