"""`mailhaul replay`: republish the events of messages that are done."""

from __future__ import annotations

import math
import sys
import time
from contextlib import contextmanager
from dataclasses import replace as with_changes
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.cli.common import (
    FAILED,
    INTERRUPTED,
    UNUSABLE,
    ConfigOption,
    JsonOption,
    YesOption,
    counted,
    print_error,
    print_json,
    progress_bar,
)
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ingest.admin.replay import Replay, Replayed
    from ingest.ports.store import Stored

# More events than this need confirmation.
MANY = 1_000
_WHEN = "write a day (2026-11-23), a time (2026-11-23T08:00:00Z; UTC unless it says otherwise) or an age (2h, 7d)"


MailboxesOption = Annotated[
    list[str] | None,
    typer.Option("--mailbox", metavar="ID", help="Only of this mailbox; may be repeated.", show_default=False),
]
SinceOption = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Only of messages done at this time or later.", show_default=False)
]
UntilOption = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Only of messages done before this time.", show_default=False)
]
SinkOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Deliver to this sink only, directly instead of by the stream.", show_default=False
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Of all mailboxes, from the beginning.")]
QuarantinedOption = Annotated[
    bool, typer.Option("--quarantined", help="Hand on messages in quarantine, and no others; goes with --sink.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the number of events, and publish none.")]


def replay(
    mailbox: MailboxesOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    sink: SinkOption = None,
    config: ConfigOption = None,
    *,
    everything: AllOption = False,
    quarantined: QuarantinedOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Republish the events of messages that are done, with the same ids, made from their manifests.

    For a consumer that lost its data, or one that was added later. WHEN is a day, a time (UTC unless it has an
    offset) or an age such as 2h or 7d, and is compared with the time when a message's manifest was written. Without
    --sink the events are appended to the event stream, and so go to every sink. Consumers recognise repeats by event
    id; a FIFO queue or topic drops those it received within five minutes. Safe while the service runs. Ctrl-C stops
    it and prints where to continue.
    """
    begin, end = period(since, until)
    require_choice(everything=everything, filtered=bool(mailbox or since or until))
    if quarantined and not sink:
        print_error("choose the sink that is to have messages in quarantine: --sink")
        raise typer.Exit(UNUSABLE)
    from ingest.config.names import require_configured

    with _open(config, quarantined=quarantined) as work:
        require_configured("sink", [sink] if sink else [], work.sinks)
        manifests = work.find(mailbox or [], begin, end)
        if not manifests:
            require_configured("mailbox", mailbox or [], work.configured)
        done = None if dry_run else _republish(work, manifests, sink, yes=yes)
    if done is None:
        print_json({"messages": len(manifests)}) if as_json else typer.echo(counted(len(manifests), "message"))
    else:
        _report(done, sink, as_json=as_json)


def require_choice(*, everything: bool, filtered: bool) -> None:
    """End the command unless it names either a part of the messages, or all."""
    if everything == filtered:
        print_error("choose messages: --mailbox, --since, --until, or --all")
        raise typer.Exit(UNUSABLE)


def _republish(work: Replay, manifests: Sequence[Stored], sink: str | None, *, yes: bool) -> Replayed:
    from ingest.cli.stopping import Stopping

    if len(manifests) > MANY and not yes:
        typer.confirm(f"Republish {counted(len(manifests), 'event')} to {sink or 'all sinks'}?", abort=True, err=True)
    with Stopping() as stopping, progress_bar(len(manifests)) as show:
        return work.run(manifests, sink, stopping, show)


@contextmanager
def _open(config: Path | None, *, quarantined: bool = False) -> Iterator[Replay]:
    from ingest.adapters.sinks.filtered import FilteredSink
    from ingest.cli.runtime import open_runtime
    from ingest.wiring import admin

    with open_runtime(config) as runtime:
        sinks = dict(runtime.sinks)
        if quarantined:
            sinks = {
                name: with_changes(sink, quarantined="only") if isinstance(sink, FilteredSink) else sink
                for name, sink in sinks.items()
            }
        yield admin.replay(runtime, sinks=sinks, released=runtime.ledger.release_quarantined if quarantined else None)


def period(since: str | None, until: str | None) -> tuple[float, float]:
    """Return the begin and end of a period, in seconds since 1970.

    Raises:
        ConfigError: one is neither a time nor an age.
    """
    now = time.time()
    return _when("--since", since, 0.0, now), _when("--until", until, math.inf, now)


def _when(option: str, text: str | None, default: float, now: float) -> float:
    """Return seconds since 1970.

    Raises:
        ConfigError: the text is neither a time nor an age.
    """
    from ingest.config.units import parse_duration

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


def _report(done: Replayed, sink: str | None, *, as_json: bool) -> None:
    # Whole seconds: publishing an event twice does no harm.
    on = None if done.resume_at is None else datetime.fromtimestamp(int(done.resume_at), UTC).isoformat()
    if as_json:
        error = str(done.error) if done.error else None
        data = {
            "published": done.published,
            "skipped": done.skipped,
            "unwanted": done.unwanted,
            "rejected": done.rejected,
            "resume_at": on,
            "error": error,
        }
        print_json(data)
    else:
        typer.echo(f"{counted(done.published, 'event')} went to {sink or 'the event stream'}")
        if done.skipped:
            skipped = counted(done.skipped, "message has no event", "messages have no event")
            typer.echo(f"{skipped}: purged, or the manifest cannot be read")
        if done.unwanted:
            typer.echo(f"{counted(done.unwanted, 'event is', 'events are')} not for {sink} (`where`, `quarantined`)")
        for event_id in done.rejected:
            typer.echo(f"rejected: {event_id}")
        if done.error is not None:
            print_error(str(done.error))
        if on is not None:
            typer.echo(f"stopped; continue with: --since {on}", err=True)
    if done.error is not None or done.rejected:
        sys.exit(FAILED)
    sys.exit(INTERRUPTED if done.resume_at is not None else 0)
