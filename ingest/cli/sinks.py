"""`mailhaul sinks`: resume and remove sinks, and work through their dead-letter queues."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.cli.common import (
    UNUSABLE,
    ConfigOption,
    JsonOption,
    YesOption,
    counted,
    print_error,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.admin.sinks import SinkAdmin

app = typer.Typer(
    help="List, retry, resume and remove sinks, and manage the events that they rejected.", no_args_is_help=True
)
dead_letters = typer.Typer(
    help="Events that a sink rejected, retrying or dead-lettered: list, retry, drop.", no_args_is_help=True
)
app.add_typer(dead_letters, name="dead-letters")

SinkArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of a sink in the configuration.")]
EventsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[EVENT]...", help="Event ids.", show_default=False)
]
AllOption = Annotated[bool, typer.Option("--all", help="All rejected events of the sink.")]


@contextmanager
def _open(config: Path | None) -> Iterator[SinkAdmin]:
    from ingest.admin.sinks import SinkAdmin
    from ingest.cli.runtime import open_runtime

    with open_runtime(config) as runtime:
        yield SinkAdmin(runtime.ledger.sinks, runtime.events, runtime.sinks)


@app.command("list", epilog="Example: mailhaul sinks list")
def list_sinks(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List sinks: whether they take events, and if not, why and what to do; what waits, and what they rejected."""
    from ingest.admin.sinks import LISTED
    from ingest.admin.status import read_status
    from ingest.cli import listings
    from ingest.cli.runtime import open_runtime

    with open_runtime(config) as runtime:
        status = read_status(runtime.ledger, runtime.events, (), runtime.sinks)
        rejected = {name: len(runtime.events.rejected(name, LISTED)) for name in runtime.sinks}
    if as_json:
        print_json(listings.sinks_data(status, rejected))
    else:
        print_table(listings.sinks_table(status, rejected), highlight=True)


@app.command(epilog="Example: mailhaul sinks resume erp")
def resume(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of sinks in the configuration.")],
    config: ConfigOption = None,
) -> None:
    """Deliver again to sinks that answered 410 Gone and are disabled."""
    _run_now(names, config)


@app.command(epilog="Example: mailhaul sinks retry erp")
def retry(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of sinks in the configuration.")],
    config: ConfigOption = None,
) -> None:
    """Try sinks that are unavailable now, without waiting until their pause is over."""
    _run_now(names, config)


def _run_now(names: list[str], config: Path | None) -> None:
    with _open(config) as sinks:
        due = sinks.resume(names)
    for name in names:
        typer.echo(f"{name} is due now" if name in due else f"{name} was not waiting")


@app.command(epilog="Example: mailhaul sinks remove erp --yes")
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a sink that left the configuration.")],
    config: ConfigOption = None,
    yes: YesOption = False,
) -> None:
    """Drop the events that are kept for a sink that left the configuration, without waiting a day."""
    with _open(config) as sinks:
        if not yes:
            typer.confirm(f"Drop the position and the dead letters of {name}?", abort=True)
        removed = sinks.remove(name)
    typer.echo(f"{name} was removed" if removed else f"nothing is kept for {name}")


@dead_letters.command("list", epilog="Example: mailhaul sinks dead-letters list erp")
def list_(name: SinkArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List events that a sink rejected and has not taken since, oldest first."""
    from ingest.cli import listings

    with _open(config) as sinks:
        rejected = sinks.rejected(name)
    if as_json:
        print_json([listings.rejected_data(one) for one in rejected])
    else:
        print_table(listings.rejected_table(rejected), highlight=True)


@dead_letters.command("retry", epilog="Example: mailhaul sinks dead-letters retry erp --all")
def retry_events(
    name: SinkArgument, events: EventsArgument = None, config: ConfigOption = None, everything: AllOption = False
) -> None:
    """Retry rejected events now, dead-lettered ones too, with a fresh attempt budget."""
    chosen = _chosen(events, everything=everything)
    with _open(config) as sinks:
        typer.echo(counted(sinks.retry(name, _ids(sinks, name, chosen)), "event is due now", "events are due now"))


@dead_letters.command(epilog="Example: mailhaul sinks dead-letters drop erp 8c4e --yes")
def drop(
    name: SinkArgument,
    events: EventsArgument = None,
    config: ConfigOption = None,
    everything: AllOption = False,
    yes: YesOption = False,
) -> None:
    """Drop rejected events: this sink will never receive them. Their messages stay in the store."""
    chosen = _chosen(events, everything=everything)
    with _open(config) as sinks:
        ids = _ids(sinks, name, chosen)
        if ids and not yes:
            typer.confirm(f"Drop {counted(len(ids), 'event')} that {name} rejected?", abort=True)
        typer.echo(counted(sinks.drop(name, ids), "event was dropped", "events were dropped"))


def _chosen(events: list[str] | None, *, everything: bool) -> list[str] | None:
    """Return event ids, or None for all."""
    if bool(events) == everything:
        print_error("name event ids, or choose with --all")
        raise typer.Exit(UNUSABLE)
    return events or None


def _ids(sinks: SinkAdmin, name: str, chosen: list[str] | None) -> list[str]:
    return [one.entry.event.id for one in sinks.rejected(name)] if chosen is None else chosen
