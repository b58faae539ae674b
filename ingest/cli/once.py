"""Commands that do one thing in this process and end: drain, check, status, and what a person does by hand."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ingest import logs
from ingest.admin.erase import Eraser
from ingest.admin.failed import FailedMessages
from ingest.admin.mailboxes import Mailboxes
from ingest.admin.purge import Purge
from ingest.admin.reconcile import Reconciler
from ingest.admin.replay import Replay
from ingest.admin.sinks import SinkAdmin
from ingest.admin.status import Status, read_status
from ingest.cli.stopping import Stopping
from ingest.config import ConfigSource
from ingest.errors import require_configured
from ingest.metrics import Metrics
from ingest.ports.wakeups import NoWakeups
from ingest.wiring.runtime import Runtime, build, ledger_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ingest.admin.check import CheckReport
    from ingest.admin.drain import DrainReport
    from ingest.domain.mailbox import Mailbox
    from ingest.usecases.poll.stage import PollOutcome


def drain(config: Path | None) -> tuple[DrainReport, bool]:
    """Everything once; the report, and whether it was cut short by Ctrl-C.

    The first Ctrl-C ends it after the messages under way, the second at once.
    """
    with Stopping() as stopping, runtime_for(config) as runtime:
        report = runtime.drain.run(runtime.schedule(), lambda: stopping.asked)
        return report, stopping.asked


def check(config: Path | None, only: Sequence[str]) -> CheckReport:
    """Try each part, and these mailboxes or all of them.

    Raises:
        ConfigError: there is no mailbox of such a name.
    """
    with runtime_for(config) as runtime:
        mailboxes = runtime.mailboxes()
        require_configured("mailbox", only, mailboxes)
        return runtime.check.run([mailboxes[name] for name in only or mailboxes])


def status(config: Path | None) -> Status:
    """What the ledger says now."""
    with runtime_for(config) as runtime:
        return read_status(runtime.ledger, runtime.events, runtime.mailboxes().values(), runtime.sinks)


@contextmanager
def mailboxes(config: Path | None) -> Iterator[Mailboxes]:
    """What may be done with mailboxes."""
    with runtime_for(config) as runtime:
        yield Mailboxes(runtime.poll_stage, runtime.mailboxes())


def poll(config: Path | None, mailbox: str) -> PollOutcome:
    """One mailbox once. The first Ctrl-C ends it after the message under way, the second at once.

    Raises:
        ConfigError: there is no such mailbox.
        NotPolledError: it cannot be polled now.
    """
    with Stopping() as stopping, mailboxes(config) as boxes:
        return boxes.poll(mailbox, lambda: stopping.asked)


@contextmanager
def reconciler(config: Path | None) -> Iterator[tuple[Reconciler, Mapping[str, Mailbox]]]:
    """What compares the ledger with the store, and every mailbox by its id."""
    with runtime_for(config) as runtime:
        yield Reconciler(runtime.poll_stage.poller, runtime.events), runtime.mailboxes()


@contextmanager
def replay(config: Path | None) -> Iterator[Replay]:
    """What tells again of messages that are done."""
    with runtime_for(config) as runtime:
        yield Replay(
            store=runtime.store,
            layout=runtime.layout,
            ledger=runtime.ledger,
            events=runtime.events,
            configured=runtime.mailboxes(),
            sinks=runtime.sinks,
            workers=runtime.uploads,
        )


@contextmanager
def sinks(config: Path | None) -> Iterator[SinkAdmin]:
    """Administration of sinks and their dead-letter queues."""
    with runtime_for(config) as runtime:
        yield SinkAdmin(runtime.ledger.sinks, runtime.events, runtime.sinks)


@contextmanager
def failed(config: Path | None) -> Iterator[FailedMessages]:
    """What may be done with messages that were given up."""
    with runtime_for(config) as runtime:
        yield FailedMessages(runtime.ledger)


@contextmanager
def purge(config: Path | None) -> Iterator[Purge]:
    """What erases messages for good."""
    with runtime_for(config) as runtime:
        eraser = Eraser(runtime.store, runtime.ledger, runtime.events, runtime.sinks, runtime.now)
        yield Purge(eraser, runtime.layout, runtime.mailboxes(), runtime.keeper, runtime.uploads)


@contextmanager
def runtime_for(config_path: Path | None) -> Iterator[Runtime]:
    """What a command works with, for the length of a `with` block; its log tells of errors only."""
    source = ConfigSource(config_path, os.environ)
    config = source.current()
    # The report says what went wrong; the log repeats it only for those who ask.
    level = config.log.level if config.log.level == "debug" else "error"
    logs.configure(config.log.format, level, sys.stderr)
    with ledger_url(config) as url:
        runtime = build(source, url, Metrics(), NoWakeups())
        try:
            yield runtime
        finally:
            runtime.close()
