"""`mailhaul events`: the event stream on a terminal, or for a program that reads lines."""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from io import UnsupportedOperation
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.cli.common import ConfigOption, json_line, print_error
from ingest.cli.replay import MailboxesOption, period
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ingest.domain.events import Event
    from ingest.ports.sink import Outcome, Sink

app = typer.Typer(help="The event stream: print its events, and follow it.", no_args_is_help=True)


class Kind(StrEnum):
    """What can happen to a message."""

    RECEIVED = "received"
    UPDATED = "updated"
    OVERSIZE = "oversize"
    FAILED = "failed"


KindsOption = Annotated[
    list[Kind] | None, typer.Option("--type", help="Only events of this type; may be repeated.", show_default=False)
]
WhereOption = Annotated[
    str | None,
    typer.Option(metavar="CEL", help="Only events that a sink with this condition would get.", show_default=False),
]
SinceOption = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help="Only events published at this time or later.", show_default=False),
]
FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Go on with the events that come, until Ctrl-C.")]


@app.callback()
def _group() -> None:
    pass


@app.command(epilog="Example: mailhaul events tail --follow --mailbox invoices")
def tail(
    mailbox: MailboxesOption = None,
    kinds: KindsOption = None,
    where: WhereOption = None,
    since: SinceOption = None,
    config: ConfigOption = None,
    *,
    follow: FollowOption = False,
) -> None:
    """Print the events that the stream still holds, the oldest first, one line of JSON each.

    Nothing is acknowledged, and the stream keeps nothing for this reader: it holds the last 1,000 events (100 while
    its memory is short), and all that a sink has not confirmed. With --follow the command waits for a ledger that is
    unavailable, and goes on where it was; only events that are published again, as after a loss of the ledger's data,
    may be printed again, with the same id. WHEN is a day, a time (UTC unless it has an offset) or an age such as 2h
    or 30d.
    """
    from ingest.admin.tail import Tail
    from ingest.cli.runtime import open_runtime
    from ingest.cli.stopping import Stopping
    from ingest.domain.events import EventType

    begin, _ = period(since, None)
    types = {EventType[kind.name] for kind in kinds or ()}
    sink = _sink(where)

    with open_runtime(config) as runtime, Stopping() as stopping:
        _warn_of_unknown(mailbox or (), runtime.mailboxes())

        def stop() -> bool:
            return stopping.asked or _nobody_reads()

        reader = Tail(runtime.events, begin, frozenset(mailbox or ()), types)
        try:
            reader.run(sink.deliver, stop, follow=follow, lost=_lost, unavailable=_unavailable)
        except BrokenPipeError:
            _drop_output()


def _warn_of_unknown(mailboxes: Iterable[str], configured: Collection[str]) -> None:
    """Warn of names that may be mistyped; the stream may have events of mailboxes that left the configuration."""
    from ingest.config.names import require_configured

    try:
        require_configured("mailbox", mailboxes, configured)
    except ConfigError as error:
        for problem in error.problems:
            print_error(problem)


def _lost() -> None:
    print_error("events may have been removed unread; what follows begins with the oldest that is kept")


def _unavailable() -> None:
    print_error("the ledger is unavailable; waiting for it")


@dataclass(slots=True)
class _Lines:
    """A sink that prints each event."""

    name: str = "terminal"

    def deliver(self, events: Sequence[Event]) -> list[Outcome]:
        from ingest.ports.sink import Outcome, Verdict

        for event in events:
            sys.stdout.write(json_line(event.body.decode()) + "\n")
        sys.stdout.flush()
        return [Outcome(Verdict.DELIVERED)] * len(events)

    def check(self) -> None:
        pass

    def close(self) -> None:
        pass


def _sink(where: str | None) -> Sink:
    if where is None:
        return _Lines()

    from ingest.adapters.sinks.filtered import FilteredSink
    from ingest.expressions import Expression, ExpressionError

    try:
        return FilteredSink(_Lines(), Expression(where), "include")
    except ExpressionError as error:
        raise ConfigError([f"--where: {error}"]) from None


def _nobody_reads() -> bool:
    """Return whether the other end of the pipe is closed: without an event there is no write that would fail."""
    with suppress(UnsupportedOperation):
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # reports errors alone
        return any(found & select.POLLERR for _, found in poll.poll(0))
    return False


def _drop_output() -> None:
    """Let what is still buffered go nowhere, so that the interpreter does not fail to write it when it ends."""
    with suppress(UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
