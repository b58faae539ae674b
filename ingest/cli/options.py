"""What several commands have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="A YAML file, or a folder of them.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def print_json(data: object) -> None:
    """One line on standard output."""
    typer.echo(json.dumps(data, ensure_ascii=False))
