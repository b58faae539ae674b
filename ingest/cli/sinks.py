"""`mailhaul sinks`: who gets the events, and what they refused."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from ingest.cli.messages import UNUSABLE, print_error
from ingest.cli.options import ConfigOption, JsonOption, print_json

app = typer.Typer(help="Who gets the events: resume; refused, retry, drop.", no_args_is_help=True)

SinkArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of a sink in the configuration.")]
EventsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[EVENT]...", help="Ids of events.", show_default=False)
]
AllOption = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.command()
def resume(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Of sinks in the configuration.")],
    config: ConfigOption = None,
) -> None:
    """Deliver again to sinks that wanted no more events, or at once to those that wait for their next try."""
    from ingest.cli import once

    with once.sinks(config) as troubles:
        resumed = troubles.resume(names)
    for name in names:
        typer.echo(f"{name} is tried now" if name in resumed else f"{name} was not waiting")


@app.command()
def refused(name: SinkArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List events that a sink refused and has not taken since, the oldest first."""
    from ingest.cli import listings, once

    with once.sinks(config) as troubles:
        retrying = troubles.retrying(name)
    if as_json:
        print_json([listings.dead_letter_data(one) for one in retrying])
    else:
        Console().print(listings.dead_letter_table(retrying))


@app.command()
def retry(
    name: SinkArgument, events: EventsArgument = None, config: ConfigOption = None, everything: AllOption = False
) -> None:
    """Try refused events again, also those that were set aside, with all tries before them."""
    from ingest.cli import once

    chosen = _chosen(events, everything=everything)
    with once.sinks(config) as troubles:
        ids = [one.entry.event.id for one in troubles.retrying(name)] if chosen is None else chosen
        typer.echo(f"{troubles.retry(name, ids)} events are tried again")


@app.command()
def drop(
    name: SinkArgument,
    events: EventsArgument = None,
    config: ConfigOption = None,
    everything: AllOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget refused events: this sink will never get them. Their messages stay in the store."""
    from ingest.cli import once

    chosen = _chosen(events, everything=everything)
    with once.sinks(config) as troubles:
        ids = [one.entry.event.id for one in troubles.retrying(name)] if chosen is None else chosen
        if ids and not yes:
            typer.confirm(f"Forget {len(ids)} events that {name} refused?", abort=True)
        typer.echo(f"{troubles.drop(name, ids)} events are forgotten")


def _chosen(events: list[str] | None, *, everything: bool) -> list[str] | None:
    """Ids, or None for all."""
    if bool(events) == everything:
        print_error("name ids of events, or choose with --all")
        raise typer.Exit(UNUSABLE)
    return events or None
