"""Start the processes of the service.

typer and the commands that people run would be a third of the CPU of a start, so neither is imported where the
arguments are those of containers and of `mailhaul up`.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.cli.importing import fast_imports, without_plugins
from ingest.errors import MailhaulError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_INTERRUPTED = 130


def run_alone(arguments: Sequence[str]) -> None:
    """Run a process and exit when it ends, if the arguments are its name and `--config FILE`.

    In all other cases return: the command line prints help and errors.
    """
    match [*arguments]:
        case [*command, "--config" | "-c", path] if not path.startswith("-"):
            config = Path(path)
        case _:
            return
    run = _process(command)
    if run is None:
        return
    try:
        run(config)
    except MailhaulError as error:
        from ingest.cli.common import report_error

        sys.exit(report_error(error))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    sys.exit(0)


def _process(command: Sequence[str]) -> Callable[[Path | None], None] | None:
    match [*command]:
        case ["worker", "poll" | "process" | "relay" as role]:
            return partial(run_worker, role)
        case ["scheduler"]:
            return run_scheduler
        case ["exporter"]:
            return run_exporter
        case ["console"]:
            return run_console
    return None


def run_worker(role: str, config: Path | None) -> None:
    """Run a worker process.

    Args:
        role: `poll`, `process` or `relay`.
        config: a file or folder, or None for the environment alone.

    Raises:
        MailhaulError: it cannot start.
    """
    _end_with_supervisor()
    if role == "process":
        from workers.shared_metrics import choose_folder

        choose_folder()
    with fast_imports(), without_plugins():
        from workers import worker

        worker.import_stage(role)
    worker.run_worker(role, config)


def run_scheduler(config: Path | None) -> None:
    """Run the scheduler; arguments and errors as for `run_worker`."""
    _end_with_supervisor()
    with fast_imports(), without_plugins():
        from workers import lifecycle
        from workers import schedule as _  # noqa: F401 - imported here because it is fast here

    lifecycle.run_scheduler(config)


def run_exporter(config: Path | None) -> None:
    """Run the exporter; arguments and errors as for `run_worker`."""
    _end_with_supervisor()
    with fast_imports(), without_plugins():
        from workers import exporter as _  # noqa: F401 - as above
        from workers import lifecycle

    lifecycle.run_exporter(config)


def run_console(config: Path | None) -> None:
    """Run the console; arguments and errors as for `run_worker`."""
    from ingest.wiring.catalog import require_console

    _end_with_supervisor()
    require_console()
    with fast_imports():
        from ingest import logs
        from ingest.config import ConfigSource
        from ingest.console import run
        from ingest.metric_specs import CONSOLE_SPECS
        from ingest.metrics import Metrics
        from workers.pages import serving
        from workers.usage import UsageCollector

    source = ConfigSource(config, os.environ)
    log = source.current().log
    logs.configure(log.format, log.level, sys.stderr)
    source.warn()
    metrics = Metrics(specs=CONSOLE_SPECS)
    metrics.registry.register(UsageCollector("console"))
    with serving(source.current(), metrics.registry):
        run.run_console(source, metrics)


def _end_with_supervisor() -> None:
    """Where `mailhaul up` started this process: end when it is gone."""
    from ingest.cli.parent import end_with_parent

    end_with_parent()
