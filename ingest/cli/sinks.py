"""`mailhaul sinks`: who gets the events."""

from __future__ import annotations

from typing import Annotated

import typer

from ingest.cli.options import ConfigOption  # noqa: TC001 - typer reads it at run time

app = typer.Typer(help="Who gets the events: resume.", no_args_is_help=True)


@app.callback()
def sinks() -> None:
    """Who gets the events: resume."""


@app.command()
def resume(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Of sinks in the configuration.")],
    config: ConfigOption = None,
) -> None:
    """Deliver again to sinks that wanted no more events, or at once to those that wait for their next try."""
    from ingest.cli import once  # noqa: PLC0415 - so that `--help` is quick

    resumed = once.resume(config, names)
    for name in names:
        typer.echo(f"{name} is tried now" if name in resumed else f"{name} was not waiting")
