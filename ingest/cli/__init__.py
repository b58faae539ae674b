"""The command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; `health`, which containers run every few seconds, without importing the rest of it."""
    if sys.argv[1:2] == ["health"]:
        from ingest.cli.health import run_alone

        run_alone(sys.argv[2:])
    from ingest.cli.app import main as run

    run()


__all__ = ["main"]
