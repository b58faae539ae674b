"""Options that several commands share, and their JSON output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="A YAML file, or a folder of them. Without it, MAILHAUL_* variables are the whole configuration.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


def print_json(data: object) -> None:
    """Print data as one line of JSON on standard output."""
    typer.echo(json.dumps(data, ensure_ascii=False))
