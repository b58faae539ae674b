"""The runtime of a command that does one thing in this process and ends."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ingest import logs
from ingest.admin.check import PARTS_OF_ROLES
from ingest.admin.preview import Preview
from ingest.admin.progress import DrainProgress
from ingest.admin.usable import require_usable
from ingest.cli.progress import shown
from ingest.cli.stopping import Stopping
from ingest.config import ConfigSource
from ingest.config.names import require_configured
from ingest.metrics import Metrics
from ingest.ports.wakeups import NoWakeups
from ingest.wiring import admin
from ingest.wiring.build import build, ledger_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ingest.admin.check import CheckReport
    from ingest.admin.drain import DrainReport
    from ingest.admin.preview import PreviewedMailbox
    from ingest.wiring.runtime import Runtime

# The process that a container runs: a key of `PARTS_OF_ROLES`.
ROLE = "MAILHAUL_ROLE"


@contextmanager
def open_runtime(config_path: Path | None) -> Iterator[Runtime]:
    """Build the runtime from a configuration and close it at the end of the `with` block; log errors only.

    Raises:
        ConfigError: the configuration cannot be used.
        StartError: the embedded ledger, or an optional package that the configuration needs, cannot be used.
    """
    source = ConfigSource(config_path, os.environ)
    config = source.current()
    # The command prints what went wrong; the log repeats it only at level debug.
    level = config.log.level if config.log.level == "debug" else "error"
    logs.configure(config.log.format, level, sys.stderr)
    with ledger_url(config) as url:
        runtime = build(source, url, Metrics(), NoWakeups())
        try:
            yield runtime
        finally:
            runtime.close()


def drain(config: Path | None) -> tuple[DrainReport, bool]:
    """Run all three stages once; return the report, and whether a signal interrupted it.

    The first Ctrl-C stops after the messages in progress, the second at once.
    """
    with Stopping() as stopping, open_runtime(config) as runtime:
        require_usable(runtime.ledger)
        progress = DrainProgress(runtime.metrics)
        runtime.listed = progress.listed
        with shown(progress.state):
            report = runtime.drain.run(runtime.schedule(), lambda: stopping.asked, progress)
        return report, stopping.asked


def preview(config: Path | None) -> list[PreviewedMailbox]:
    """Return what `drain` would do now in each mailbox, without doing it."""
    with Stopping() as stopping, open_runtime(config) as runtime:
        mailboxes = [box for box in runtime.mailboxes().values() if box.enabled]
        return Preview(runtime.ledger, runtime.keeper, runtime.poller).run(mailboxes, lambda: stopping.asked)


def check(config: Path | None, only: Sequence[str]) -> CheckReport:
    """Check each part, and the named mailboxes, or all mailboxes where none is named.

    In a pod of the chart, which names its role in `MAILHAUL_ROLE`, only what this role works with; named mailboxes in
    any case.

    Raises:
        ConfigError: a named mailbox is not configured.
    """
    with open_runtime(config) as runtime:
        mailboxes = runtime.mailboxes()
        require_configured("mailbox", only, mailboxes)
        seen = PARTS_OF_ROLES.get(os.environ.get(ROLE, ""))
        if seen is not None and only:
            seen |= {"mailbox"}
        return admin.check(runtime).run([mailboxes[name] for name in only or mailboxes], seen)
