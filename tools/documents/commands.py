"""The command reference, made from the command line itself: every command, argument, option and exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

from ingest.cli.app import app
from ingest.cli.common import EXIT_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "cli-reference.md"

_INTRODUCTION = """\
# Command reference

Every command with its arguments and options, made from the command line by `make docs`. How commands are used
together: [Commands](cli.md). `mailhaul COMMAND --help` prints the same.

Errors are one line each on standard error. `MAILHAUL_DEBUG=1` prints the traceback as well.

## Exit codes

| Code | Meaning |
|---|---|
"""


def commands_page() -> dict[Path, str]:
    """The reference by its path."""
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items())
    return {PAGE: "\n".join([_INTRODUCTION + codes, *(_chapter(name, command) for name, command in commands())])}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that is not a group, by its full name, in the order of `--help`."""
    root = typer.main.get_command(app)
    yield from _leaves("mailhaul", root)


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(command, TyperGroup):
        yield name, command
        return
    for inner in command.list_commands(typer.Context(command)):
        yield from _leaves(f"{name} {inner}", command.commands[inner])


def _chapter(name: str, command: Any) -> str:
    parameters = [each for each in command.params if isinstance(each, TyperArgument | TyperOption)]
    rows = [_row(each) for each in parameters]
    table = "\n".join(["| Argument or option | Meaning | Default |", "|---|---|---|", *rows, ""]) if rows else ""
    example = f"    {example_of(command)}\n"
    return "\n".join([f"## {name}\n", f"{_text(command.help)}\n", example, table])


def example_of(command: Any) -> str:
    """The command line in the example of a command's help."""
    return str(command.epilog).removeprefix("Example: ")


def _text(words: str) -> str:
    """Paragraphs as one line each."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in words.strip().split("\n\n"))


def _row(parameter: Any) -> str:
    if isinstance(parameter, TyperArgument):
        name = parameter.metavar or (parameter.name or "").upper()
        default = "required" if parameter.required else ""
    else:
        value = "" if parameter.is_flag else f" {parameter.metavar}"
        name = ", ".join(parameter.opts) + value
        default = "" if parameter.default in {None, False} else f"`{parameter.default}`"
    return f"| `{name}` | {_text(parameter.help or '')} | {default} |".replace("|  |", "| |")
