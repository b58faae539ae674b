"""`mailhaul mailboxes`: list, pause, resume and poll mailboxes."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.cli.common import (
    FAILED,
    UNUSABLE,
    ConfigOption,
    JsonOption,
    print_error,
    print_json,
    print_lines,
    print_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.admin.mailboxes import Mailboxes

app = typer.Typer(help="Mailboxes: list, pause, resume, poll.", no_args_is_help=True)

IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Mailbox ids.", show_default=False)]
AllOption = Annotated[bool, typer.Option("--all", help="All mailboxes.")]


@contextmanager
def _open(config: Path | None) -> Iterator[Mailboxes]:
    from ingest.admin.mailboxes import Mailboxes
    from ingest.cli.runtime import open_runtime

    with open_runtime(config) as runtime:
        yield Mailboxes(runtime.ledger, runtime.poll_stage, runtime.keeper.seconds, runtime.mailboxes())


@app.command("list", epilog="Example: mailhaul mailboxes list")
def list_(ids: IdsArgument = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List mailboxes: when each is polled next, or why it is not, and the result of its last poll."""
    from ingest.cli import listings

    with _open(config) as boxes:
        states = boxes.states(ids or [])
    if as_json:
        print_json([listings.mailbox_data(one) for one in states])
    else:
        print_table(listings.mailboxes_table(states), highlight=True)


@app.command(epilog="Example: mailhaul mailboxes pause invoices")
def pause(ids: IdsArgument = None, config: ConfigOption = None, everything: AllOption = False) -> None:
    """Stop polling mailboxes until they are resumed. Mail that was fetched is still processed and delivered.

    The pause is kept in the ledger: if the ledger is lost, the mailbox is polled again. To stop polling a mailbox
    permanently, set `enabled: false` in its configuration.
    """
    with _open(config) as boxes:
        chosen = _chosen(boxes, ids, everything=everything)
        new = boxes.pause(chosen)
    for id_ in chosen:
        typer.echo(f"{id_} is paused" if id_ in new else f"{id_} was already paused")


@app.command(epilog="Example: mailhaul mailboxes resume --all")
def resume(ids: IdsArgument = None, config: ConfigOption = None, everything: AllOption = False) -> None:
    """Poll paused mailboxes again, starting now."""
    with _open(config) as boxes:
        chosen = _chosen(boxes, ids, everything=everything)
        resumed = boxes.resume(chosen)
    for id_ in chosen:
        typer.echo(f"{id_} is polled again" if id_ in resumed else f"{id_} was not paused")


@app.command(epilog="Example: mailhaul mailboxes poll invoices")
def poll(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Mailbox id.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Poll one mailbox now, in this process, and print the result. The service processes what it fetches.

    The first Ctrl-C stops after the message in progress, the second at once.
    """
    from ingest.cli import reports
    from ingest.cli.stopping import Stopping

    with Stopping() as stopping, _open(config) as boxes:
        outcome = boxes.poll(id_, lambda: stopping.asked)
    if as_json:
        print_json(reports.poll_data(outcome))
    else:
        print_lines(reports.poll_lines(outcome))
    sys.exit(FAILED if outcome.error else 0)


def _chosen(boxes: Mailboxes, ids: list[str] | None, *, everything: bool) -> list[str]:
    if bool(ids) == everything:
        print_error("name mailboxes, or choose with --all")
        raise typer.Exit(UNUSABLE)
    return list(dict.fromkeys(ids)) if ids else list(boxes.configured)
