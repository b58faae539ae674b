"""The command line."""

from __future__ import annotations

import sys

_PROCESSES = frozenset({"worker", "scheduler", "exporter", "console"})


def main() -> None:
    """Run the command line.

    `health`, which containers run every few seconds, and the processes of the service do not import the rest of it.
    """
    if sys.argv[1:2] == ["health"]:
        from ingest.cli.health import run_alone

        run_alone(sys.argv[2:])
    elif sys.argv[1:2] and sys.argv[1] in _PROCESSES:
        from ingest.cli.processes import run_alone as run_process

        run_process(sys.argv[1:])
    from ingest.cli.app import main as run

    run()


__all__ = ["main"]
