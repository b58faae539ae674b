"""Errors of the command line: one line each on standard error, and an exit code."""

from __future__ import annotations

import os
from typing import Any

import typer
from typer.core import TyperGroup

from ingest.errors import ConfigError, MailhaulError, StartError

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


class Commands(TyperGroup):
    """A group of commands that prints a `MailhaulError` as lines; with `MAILHAUL_DEBUG=1` it raises it instead."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except MailhaulError as error:
            if os.environ.get("MAILHAUL_DEBUG") == "1":
                raise
            for line in error.problems if isinstance(error, ConfigError) else [str(error)]:
                print_error(line)
            raise typer.Exit(exit_code(error)) from None


def exit_code(error: MailhaulError) -> int:
    """Return 2 for what cannot work as it was asked for, 1 for what was tried and failed."""
    return UNUSABLE if isinstance(error, ConfigError | StartError) else FAILED


def print_error(line: str) -> None:
    """Print one line on standard error, red on a terminal, without line breaks."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), printable(line)))


def printable(text: str) -> str:
    """Return text from a server or a sender on one line, without characters that would control the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
