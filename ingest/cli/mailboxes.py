"""`mailhaul mailboxes`: how each stands; pause, resume, poll."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ingest.cli.messages import FAILED, UNUSABLE, print_error
from ingest.cli.options import ConfigOption, JsonOption, print_json

if TYPE_CHECKING:
    from ingest.admin.mailboxes import Mailboxes

app = typer.Typer(help="Mailboxes: list, pause, resume, poll.", no_args_is_help=True)

IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Of mailboxes.", show_default=False)]
AllOption = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.command("list")
def list_(ids: IdsArgument = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List them: when each is polled next, or why it is not; what its last poll said."""
    from ingest.cli import listings, once

    with once.mailboxes(config) as boxes:
        states = boxes.states(ids or [])
    if as_json:
        print_json([listings.mailbox_data(one) for one in states])
    else:
        Console().print(listings.mailboxes_table(states))


@app.command()
def pause(ids: IdsArgument = None, config: ConfigOption = None, everything: AllOption = False) -> None:
    """Poll them no more until they are resumed. Mail that was fetched is processed and delivered all the same.

    The ledger remembers it: if all of the ledger is lost, they are polled again. To stop a mailbox for good, set
    `enabled: false` in its configuration.
    """
    from ingest.cli import once

    with once.mailboxes(config) as boxes:
        chosen = _chosen(boxes, ids, everything=everything)
        new = boxes.pause(chosen)
    for id_ in chosen:
        typer.echo(f"{id_} is paused" if id_ in new else f"{id_} was paused already")


@app.command()
def resume(ids: IdsArgument = None, config: ConfigOption = None, everything: AllOption = False) -> None:
    """Poll paused mailboxes again, at once."""
    from ingest.cli import once

    with once.mailboxes(config) as boxes:
        chosen = _chosen(boxes, ids, everything=everything)
        resumed = boxes.resume(chosen)
    for id_ in chosen:
        typer.echo(f"{id_} is polled again" if id_ in resumed else f"{id_} was not paused")


@app.command()
def poll(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of a mailbox.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Poll one now, in this process, and say what came of it. What it fetches, the service processes."""
    from ingest.cli import once, reports

    outcome = once.poll(config, id_)
    if as_json:
        print_json(reports.poll_data(outcome))
    else:
        Console(soft_wrap=True, highlight=False).print(reports.poll_view(outcome))
    sys.exit(FAILED if outcome.error else 0)


def _chosen(boxes: Mailboxes, ids: list[str] | None, *, everything: bool) -> list[str]:
    if bool(ids) == everything:
        print_error("name mailboxes, or choose with --all")
        raise typer.Exit(UNUSABLE)
    return list(dict.fromkeys(ids)) if ids else list(boxes.configured)
