"""`mailhaul`: the root of the command line.

Commands import what they need when they run: importing boto3, celery, pydantic and rich takes a second, which
`mailhaul --help` does not need.
"""

from __future__ import annotations

import json
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ingest import __version__
from ingest.cli import audit, catalog, events, failed, hold, mailboxes, messages, processes, purge, rules, sinks
from ingest.cli.common import (
    EXIT_CODES,
    FAILED,
    INTERRUPTED,
    Commands,
    ConfigOption,
    JsonOption,
    print_json,
    print_lines,
    print_table,
)
from ingest.cli.console import console, token
from ingest.cli.import_mail import import_mail
from ingest.cli.importing import fast_imports
from ingest.cli.init import init
from ingest.cli.reconcile import reconcile
from ingest.cli.replay import replay
from ingest.cli.reprocess import reprocess
from ingest.cli.retention import retention

_RUN = "Run the service"
_OPERATE = "Operate it"
_INSPECT = "Inspect"
_PROCESSES = "Single processes, for containers"
# The order of `mailhaul --help`: what a new user needs first.
ORDER = (
    *("init", "up", "check", "drain", "status"),
    *("messages", "events", "failed", "mailboxes", "sinks", "rules"),
    *("import", "replay", "reprocess", "reconcile", "purge", "hold", "audit", "catalog", "token"),
    *("parse", "config", "version"),
    *("worker", "scheduler", "exporter", "console", "health", "probe"),
)


class _Root(Commands):
    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=ORDER.index)


app = typer.Typer(
    cls=_Root,
    help="Fetch business mail from POP3 mailboxes into object storage, and publish an event for each message.",
    epilog="Exit codes: " + " ".join(f"{code}: {meaning}" for code, meaning in EXIT_CODES.items()),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="The configuration's JSON Schema.", no_args_is_help=True)
app.add_typer(config_app, name="config", rich_help_panel=_INSPECT)
app.command(rich_help_panel=_RUN, epilog="Example: mailhaul init --address invoices@example.org")(init)
app.add_typer(mailboxes.app, name="mailboxes", rich_help_panel=_OPERATE)
app.add_typer(messages.app, name="messages", rich_help_panel=_OPERATE)
app.add_typer(events.app, name="events", rich_help_panel=_OPERATE)
app.add_typer(failed.app, name="failed", rich_help_panel=_OPERATE)
app.add_typer(sinks.app, name="sinks", rich_help_panel=_OPERATE)
app.add_typer(rules.app, name="rules", rich_help_panel=_OPERATE)
app.add_typer(catalog.app, name="catalog", rich_help_panel=_OPERATE)
app.command(rich_help_panel=_OPERATE, epilog="Example: mailhaul token erp")(token)
purge.app.command(epilog="Example: mailhaul purge retention --dry-run")(retention)
app.add_typer(purge.app, name="purge", rich_help_panel=_OPERATE)
app.add_typer(hold.app, name="hold", rich_help_panel=_OPERATE)
app.add_typer(audit.app, name="audit", rich_help_panel=_OPERATE)
app.command("import", rich_help_panel=_OPERATE, epilog="Example: mailhaul import --mailbox invoices ~/Maildir")(
    import_mail
)
app.command(rich_help_panel=_OPERATE, epilog="Example: mailhaul replay --since 2h --sink erp")(replay)
app.command(rich_help_panel=_OPERATE, epilog="Example: mailhaul reprocess --mailbox invoices --dry-run")(reprocess)
app.command(rich_help_panel=_OPERATE, epilog="Example: mailhaul reconcile")(reconcile)


class Role(StrEnum):
    """What a worker process does."""

    POLL = "poll"
    PROCESS = "process"
    RELAY = "relay"


def main() -> None:
    """Run the command line. A user's mistake prints no traceback; `MAILHAUL_DEBUG=1` shows it."""
    app()


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer's signature
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command(rich_help_panel=_RUN, epilog="Example: mailhaul up --config my.yaml")
def up(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="A YAML file, or a folder of them.", show_default=False),
    ] = None,
    folder: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the demonstration keeps its data; only without --config.")
    ] = Path("mailhaul-demo"),
) -> None:
    """Run every process of the service on this machine; without --config, a demonstration with made-up mail."""
    from ingest.cli.up import run_up

    sys.exit(run_up(config, folder))


@app.command(rich_help_panel=_RUN, epilog="Example: mailhaul check --config my.yaml")
def check(
    only: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MAILBOX]...", help="Check these mailboxes only.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try each part for real, without fetching or delivering mail; print what is wrong and how to fix it.

    Logs in to each mailbox and lists it, writes, reads and deletes a probe object in the store, asks the ledger,
    connects to each sink, and reads the passwords of encrypted attachments.
    """
    with fast_imports():
        from ingest.cli import reports, runtime

    report = runtime.check(config, only or [])
    if as_json:
        print_json(reports.check_data(report))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print_lines(reports.check_lines(report, width))
    sys.exit(0 if report.ok else FAILED)


@app.command(rich_help_panel=_RUN, epilog="Example: mailhaul drain --config my.yaml --json")
def drain(
    config: ConfigOption = None,
    *,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Log in and list; print what would be fetched and deleted, and do nothing."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Poll every mailbox once, process and deliver everything, print a summary. For cron, tests and a first try."""
    with fast_imports():
        from ingest.cli import reports, runtime

    if dry_run:
        previews = runtime.preview(config)
        if as_json:
            print_json(reports.preview_data(previews))
        else:
            print_lines(reports.preview_lines(previews))
        sys.exit(0 if all(row.error is None for row in previews) else FAILED)
    report, interrupted = runtime.drain(config)
    if as_json:
        print_json(reports.drain_data(report))
    else:
        print_lines(reports.drain_lines(report))
    sys.exit(INTERRUPTED if interrupted else 0 if report.ok else FAILED)


@app.command(rich_help_panel=_RUN, epilog="Example: mailhaul status --config my.yaml")
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show mailboxes, backlog, last successful polls, open and failed messages, as recorded in the ledger."""
    with fast_imports():
        from ingest.cli.runtime import open_runtime

    from ingest.admin.status import read_status
    from ingest.cli import listings

    with open_runtime(config) as runtime:
        found = read_status(
            runtime.ledger, runtime.events, runtime.mailboxes().values(), runtime.sinks, runtime.poll_pressure.update
        )
    if as_json:
        print_json(listings.status_data(found))
    else:
        print_table(listings.status_view(found), highlight=True)


@app.command(rich_help_panel=_INSPECT, epilog="Example: mailhaul parse message.eml --extract attachments")
def parse(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Raw mail (.eml); - is standard input.")],
    extract: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write attachments to this folder; never overwrites.", show_default=False),
    ] = None,
    *,
    as_json: JsonOption = False,
    authserv_id: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Trust Authentication-Results fields of this mail server.", show_default=False
        ),
    ] = None,
    trusted_hops: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=20,
            help="Believe Delivered-To and other trace fields down to the Nth Received field (default: 1).",
            show_default=False,
        ),
    ] = None,
    dkim: Annotated[bool, typer.Option("--dkim", help="Verify DKIM signatures; queries the DNS.")] = False,
) -> None:
    """Show what mail files contain, as a tree, or with --json as one manifest a line. Needs no configuration."""
    from ingest.adapters.dkim import published_keys
    from ingest.cli.parse import parse_files
    from ingest.mime.envelope import Trust

    keys = published_keys() if dkim else None
    trust = Trust(authserv_id, trusted_hops)
    sys.exit(parse_files(files, extract, as_json=as_json, trust=trust, keys=keys))


@config_app.command("schema", epilog="Example: mailhaul config schema > mailhaul.schema.json")
def schema() -> None:
    """Print the JSON Schema of the configuration; editors complete and check with it."""
    from ingest.config import config_schema

    typer.echo(json.dumps(config_schema(), indent=2))


@app.command(rich_help_panel=_INSPECT, epilog="Example: mailhaul version --json")
def version(*, as_json: JsonOption = False) -> None:
    """Print the version; with --json also whether the MIME parser is compiled or interpreted."""
    if as_json:
        from ingest.mime import FORM

        print_json({"version": __version__, "parser": FORM})
    else:
        typer.echo(__version__)


@app.command(rich_help_panel=_PROCESSES, epilog="Example: mailhaul worker poll --config /etc/mailhaul")
def worker(
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="poll, process or relay.")],
    config: ConfigOption = None,
) -> None:
    """Run one worker process: poll mailboxes, process messages, or relay events to sinks."""
    processes.run_worker(role, config)


@app.command(rich_help_panel=_PROCESSES, epilog="Example: mailhaul scheduler --config /etc/mailhaul")
def scheduler(config: ConfigOption = None) -> None:
    """Run the scheduler. Any number may run at once."""
    processes.run_scheduler(config)


@app.command(rich_help_panel=_PROCESSES, epilog="Example: mailhaul exporter --config /etc/mailhaul")
def exporter(config: ConfigOption = None) -> None:
    """Serve the metrics of the whole system: mailboxes, backlog, sinks."""
    processes.run_exporter(config)


app.command(rich_help_panel=_PROCESSES, epilog="Example: mailhaul console --config /etc/mailhaul")(console)


@app.command(rich_help_panel=_PROCESSES, epilog="Example: mailhaul health --config /etc/mailhaul")
def health(
    config: ConfigOption = None,
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask whether it has reached all that it needs since it started.")
    ] = False,
) -> None:
    """Ask the process on this machine's metrics port whether it works; for health checks of containers."""
    from ingest.cli.health import problem

    found = problem(config, ready=ready)
    if found is not None:
        typer.echo(found, err=True)
        sys.exit(FAILED)


@app.command(rich_help_panel=_PROCESSES, epilog="Example: mailhaul probe helm-test --config /etc/mailhaul")
def probe(
    mailbox: Annotated[str, typer.Argument(help="A mailbox whose configured server is this machine, without TLS.")],
    config: ConfigOption = None,
    address: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to serve on; the port is the mailbox's.")
    ] = "127.0.0.1",
    seconds: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="How long to wait, in seconds.")] = 300,
) -> None:
    """Serve a made-up message to a mailbox, and wait until the running service has stored it. Used by `helm test`."""
    from ingest.cli.probe import run_probe

    sys.exit(0 if run_probe(config, mailbox, address, seconds) else FAILED)
