"""What all commands share: options, output, and errors as one line each with an exit code."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ingest.errors import ConfigError, MailhaulError, StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from rich.console import Console, RenderableType

SUCCESS = 0
FAILED = 1
UNUSABLE = 2
INTERRUPTED = 130

EXIT_CODES = {
    SUCCESS: "Success.",
    FAILED: "Something was tried and failed: a mailbox, a message, a part that does not work. The output says what.",
    UNUSABLE: "The command line, the configuration or a file cannot be used.",
    INTERRUPTED: "Interrupted, usually by Ctrl-C.",
}


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with what it counts: `one` after 1, else `many`, by default `one` with an "s"."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


# Columns that tables need at the least.
_LEAST_COLUMNS = 80
# Columns of a table in a file or a pipe, at the most.
_MOST_COLUMNS = 1_000

DEFAULT_CONFIG = Path("mailhaul.yaml")


def _default_config(given: Path | None) -> Path | None:
    """Return the configuration to use: `mailhaul.yaml` here if none was given and no variable says where to store."""
    # With a single underscore it is one that Kubernetes defines for a service.
    variables = any(re.match(r"(?i)MAILHAUL_STORE(__|\Z)", name) and value for name, value in os.environ.items())
    return DEFAULT_CONFIG if given is None and not variables and DEFAULT_CONFIG.is_file() else given


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="A YAML file, or a folder of them. Without it: mailhaul.yaml in the current folder if it exists and "
        "MAILHAUL_STORE is not set, else MAILHAUL_* variables alone.",
        show_default=False,
        callback=_default_config,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


class Commands(TyperGroup):
    """A group of commands that prints a `MailhaulError` as lines; with `MAILHAUL_DEBUG=1` it raises it instead."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _let_help_flow(self)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except MailhaulError as error:
            raise typer.Exit(report_error(error)) from None


def report_error(error: MailhaulError) -> int:
    """Print an error as lines and return the exit code; with `MAILHAUL_DEBUG=1` raise it instead."""
    if os.environ.get("MAILHAUL_DEBUG") == "1":
        raise error
    for line in error.problems if isinstance(error, ConfigError) else [str(error)]:
        print_error(line)
    return exit_code(error)


def _let_help_flow(command: Any) -> None:
    """Make each paragraph of the help one line: typer keeps line breaks of the source in all but the first."""
    if command.help:
        paragraphs = inspect.cleandoc(command.help).split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for inner in getattr(command, "commands", {}).values():
        _let_help_flow(inner)


def exit_code(error: MailhaulError) -> int:
    """Return 2 for what cannot work as it was asked for, 1 for what was tried and failed."""
    return UNUSABLE if isinstance(error, ConfigError | StartError) else FAILED


def print_json(data: object) -> None:
    """Print data as one line of JSON on standard output."""
    typer.echo(json.dumps(data, ensure_ascii=False))


def json_line(text: str) -> str:
    """Return JSON with the same value, whose strings hold no characters that would control a terminal."""
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines on standard output; colours only on a terminal."""
    for line in lines:
        typer.echo(line, color=_colour())


def open_console(*, stderr: bool = False, highlight: bool = False) -> Console:
    """Return a console that is as wide as its terminal, whatever COLUMNS and LINES say.

    Without a terminal COLUMNS counts, from 80 on: shells export what some terminal had once, or 0.
    """
    from rich.console import Console

    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    columns = os.environ.get("COLUMNS", "")
    usable = not terminal and columns.isdecimal() and int(columns) >= _LEAST_COLUMNS
    ignored = {"LINES"} if usable else {"LINES", "COLUMNS"}
    environment = {name: value for name, value in os.environ.items() if name not in ignored}
    return Console(stderr=stderr, highlight=highlight, _environ=environment)


def print_table(table: RenderableType, *, highlight: bool = False) -> None:
    """Print a table on standard output; where that is no terminal, in its full width, so that nothing is cut off."""
    console = open_console(highlight=highlight)
    if not console.is_terminal:
        console.width = max(console.width, _MOST_COLUMNS)
    console.print(table)


def write_new(path: Path, content: BinaryIO) -> None:
    """Write a file that does not exist yet; leave none if that fails.

    Raises:
        FileExistsError: it exists, also as a link.
        OSError: it cannot be written.
    """
    # Exclusive creation: opens no existing file and follows no link.
    with path.open("xb") as file:
        try:
            shutil.copyfileobj(content, file)
            file.flush()
        except BaseException:
            path.unlink()
            raise


@contextmanager
def progress_bar(total: int, label: str = "") -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error, if that is a terminal, until the `with` block ends.

    Yields:
        A function to call with how much of the total is done.
    """
    from rich.progress import Progress

    console = open_console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)


def print_error(line: str) -> None:
    """Print one line on standard error, red on a terminal, without line breaks."""
    typer.echo(typer.style("error: ", fg="red", bold=True) + printable(line), err=True, color=_colour())


def printable(text: str) -> str:
    """Return text from a server or a sender on one line, without characters that would control the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _colour() -> bool | None:
    """Return False if the user wants no colours (https://no-color.org), None to leave it to the stream."""
    return False if os.environ.get("NO_COLOR") else None
