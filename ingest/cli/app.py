"""`mailhaul`: every command, thin. What they need is imported when they run, so that `--help` is quick.

Exit codes: 0 all is well; 1 something failed, and the output says what; 2 the command or the configuration cannot be
used; 130 interrupted.
"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ingest import __version__
from ingest.cli import failed, mailboxes, purge, sinks
from ingest.cli.messages import FAILED, INTERRUPTED, Commands
from ingest.cli.options import ConfigOption, JsonOption, print_json
from ingest.cli.reconcile import reconcile
from ingest.cli.replay import replay

app = typer.Typer(
    cls=Commands,
    help="Hauls business mail out of POP3 mailboxes into object storage, with an event for each message.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="About the configuration.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(mailboxes.app, name="mailboxes")
app.add_typer(failed.app, name="failed")
app.add_typer(sinks.app, name="sinks")
app.add_typer(purge.app, name="purge")
app.command()(replay)
app.command()(reconcile)


class Role(StrEnum):
    """What a worker does."""

    POLL = "poll"
    PROCESS = "process"
    RELAY = "relay"


def main() -> None:
    """Run the command line; never shows a traceback for a mistake of the user's (`MAILHAUL_DEBUG=1` shows it)."""
    app()


@app.command()
def up(
    config: ConfigOption = None,
    folder: Annotated[
        Path, typer.Option(help="Where the demonstration keeps everything; without --config only.")
    ] = Path("mailhaul-demo"),
) -> None:
    """Run every process on this machine. Without --config: a demonstration."""
    from ingest.cli.up import run_up

    sys.exit(run_up(config, folder))


@app.command()
def drain(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Poll every mailbox once, process and deliver everything, print a summary."""
    from ingest.cli import once, reports

    report, interrupted = once.drain(config)
    if as_json:
        print_json(reports.drain_data(report))
    else:
        Console().print(reports.drain_table(report))
    sys.exit(INTERRUPTED if interrupted else 0 if report.ok else FAILED)


@app.command()
def check(
    only: Annotated[list[str] | None, typer.Argument(metavar="[MAILBOX]...", help="Only these.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try each part for real, without fetching or delivering, and say what is wrong and what to do."""
    from ingest.cli import once, reports

    report = once.check(config, only or [])
    if as_json:
        print_json(reports.check_data(report))
    else:
        Console().print(reports.check_view(report))
    sys.exit(0 if report.ok else FAILED)


@app.command()
def probe(
    mailbox: Annotated[str, typer.Argument(help="One whose server this machine is.")],
    config: ConfigOption = None,
    address: Annotated[str, typer.Option(help="To serve on; the port is the mailbox's.")] = "127.0.0.1",
    seconds: Annotated[float, typer.Option(min=1, help="How long to wait.")] = 300,
) -> None:
    """Serve a made-up mail to a mailbox, and wait until the running service has hauled it."""
    from ingest.cli.probe import run_probe

    sys.exit(0 if run_probe(config, mailbox, address, seconds) else FAILED)


@app.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show mailboxes, backlog, last success, open and failed messages, from the ledger."""
    from ingest.cli import once, reports

    found = once.status(config)
    if as_json:
        print_json(reports.status_data(found))
    else:
        Console().print(reports.status_view(found))


@app.command()
def parse(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Mail as it travels (.eml); - is standard input.")
    ],
    extract: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write attachments there, never over anything.")
    ] = None,
    as_json: JsonOption = False,
    authserv_id: Annotated[
        str | None, typer.Option(metavar="NAME", help="Believe Authentication-Results of this mail server.")
    ] = None,
    dkim: Annotated[bool, typer.Option("--dkim", help="Verify DKIM signatures; asks the DNS.")] = False,
) -> None:
    """Show what is in mail files: a tree, or with --json the manifest of each on one line."""
    from ingest.adapters.dkim import published_keys
    from ingest.cli.parse import parse_files

    keys = published_keys() if dkim else None
    sys.exit(parse_files(files, extract, as_json=as_json, authserv_id=authserv_id, keys=keys))


@app.command()
def worker(role: Role, config: ConfigOption = None) -> None:
    """Run one worker process: poll, process or relay."""
    _as_a_child()
    from workers.lifecycle import run_worker

    run_worker(role, config)


@app.command()
def scheduler(config: ConfigOption = None) -> None:
    """Run the scheduler. Any number may run at once."""
    _as_a_child()
    from workers.lifecycle import run_scheduler

    run_scheduler(config)


@app.command()
def exporter(config: ConfigOption = None) -> None:
    """Serve the gauges about the whole system."""
    _as_a_child()
    from workers.lifecycle import run_exporter

    run_exporter(config)


@app.command()
def health(config: ConfigOption = None) -> None:
    """Say whether the one process on this machine's metrics port does its work; for health checks of containers."""
    from ingest.cli.health import sick

    trouble = sick(config)
    if trouble is not None:
        typer.echo(trouble, err=True)
        sys.exit(FAILED)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@config_app.command("schema")
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from ingest.config import config_schema

    typer.echo(json.dumps(config_schema(), indent=2))


def _as_a_child() -> None:
    """Where `mailhaul up` started this: end when it is gone."""
    from ingest.cli.supervisor import end_with_parent

    end_with_parent()
