"""How errors are told: one clear line each on standard error, and an exit code that says whose turn it is."""

from __future__ import annotations

import os
from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from ingest.errors import ConfigError, MailhaulError, StartError

FAILED = 1
UNUSABLE = 2
INTERRUPTED = 130


class Commands(TyperGroup):
    """A group of commands whose errors become lines. `MAILHAUL_DEBUG=1` lets them through, traceback and all."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except MailhaulError as error:
            if os.environ.get("MAILHAUL_DEBUG") == "1":
                raise
            for line in error.problems if isinstance(error, ConfigError) else [str(error)]:
                print_error(line)
            raise typer.Exit(exit_code(error)) from None


def exit_code(error: MailhaulError) -> int:
    """2 for what cannot work as it was asked for, 1 for what was tried and failed."""
    return UNUSABLE if isinstance(error, ConfigError | StartError) else FAILED


def print_error(line: str) -> None:
    """One line on standard error, in red on a terminal, never broken."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), printable(line)))


def printable(text: str) -> str:
    """Text that a server or a sender chose, fit for a terminal: on one line, and without what would steer it."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
