"""`mailhaul replay`: tell again of messages that are done."""

from __future__ import annotations

import math
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from ingest.cli.messages import FAILED, INTERRUPTED, UNUSABLE, print_error
from ingest.cli.options import ConfigOption, JsonOption, print_json
from ingest.config.units import parse_duration
from ingest.errors import ConfigError, require_configured

if TYPE_CHECKING:
    from ingest.admin.replay import Replayed

# More than so many are asked about.
MANY = 1_000
_WHEN = "write a day (2026-11-23), a time (2026-11-23T08:00:00Z; UTC unless it says otherwise) or an age (2h, 7d)"


def replay(
    mailbox: Annotated[
        list[str] | None,
        typer.Option("--mailbox", metavar="ID", help="Only of this mailbox, or of these.", show_default=False),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Only of messages that were done then or later.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Only of messages that were done before.")] = None,
    sink: Annotated[str | None, typer.Option(metavar="NAME", help="Tell this sink only, at once.")] = None,
    config: ConfigOption = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Of all mailboxes, from the beginning.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many there are, and tell of none.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell again of messages that are done: the same events with the same ids, made from their manifests.

    For a consumer that lost what it had, or one that came later. WHEN is a day, a time (UTC unless it says otherwise)
    or an age such as 2h or 7d, and means when a message's manifest was written. Without --sink the events go into the
    event stream, and so to every sink. Consumers know repeats by their ids; a FIFO queue or topic itself drops those
    it had within five minutes. Safe beside the running service; Ctrl-C ends it and says from when to go on.
    """
    from ingest.cli import once
    from ingest.cli.stopping import Stopping

    now = time.time()
    begin, end = _when("--since", since, 0.0, now), _when("--until", until, math.inf, now)
    if everything == bool(mailbox or since or until):
        print_error("say what to tell of: --mailbox, --since, --until, or --all")
        raise typer.Exit(UNUSABLE)
    with once.replay(config) as work:
        require_configured("sink", [sink] if sink else [], work.sinks)
        manifests = work.find(mailbox or [], begin, end)
        if dry_run:
            print_json({"messages": len(manifests)}) if as_json else typer.echo(f"{len(manifests):,} messages")
            return
        if len(manifests) > MANY and not yes:
            typer.confirm(f"Tell {sink or 'all sinks'} again of {len(manifests):,} messages?", abort=True, err=True)
        console = Console(stderr=True)
        with (
            Stopping() as stopping,
            Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
        ):
            task = bar.add_task("", total=len(manifests))
            done = work.run(manifests, sink, stopping, lambda finished: bar.update(task, completed=finished))
    _tell(done, sink, as_json=as_json)


def _when(option: str, text: str | None, default: float, now: float) -> float:
    if text is None:
        return default
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError([f"{option} {text}: {_WHEN}"]) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _tell(done: Replayed, sink: str | None, *, as_json: bool) -> None:
    """What went out, then why that was not all."""
    # Whole seconds: what is told twice does no harm.
    on = None if done.resume_at is None else datetime.fromtimestamp(int(done.resume_at), UTC).isoformat()
    if as_json:
        error = str(done.error) if done.error else None
        data = {
            "told": done.told,
            "skipped": done.skipped,
            "rejected": done.rejected,
            "resume_at": on,
            "error": error,
        }
        print_json(data)
    else:
        typer.echo(f"{done.told:,} events went to {sink or 'the event stream'}")
        if done.skipped:
            typer.echo(f"{done.skipped:,} messages have none: they were purged, or their manifest cannot be read")
        for event_id in done.rejected:
            typer.echo(f"rejected: {event_id}")
        if done.error is not None:
            print_error(str(done.error))
        if on is not None:
            typer.echo(f"stopped; go on with: --since {on}", err=True)
    if done.error is not None or done.rejected:
        sys.exit(FAILED)
    sys.exit(INTERRUPTED if done.resume_at is not None else 0)
