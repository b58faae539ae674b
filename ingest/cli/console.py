"""`mailhaul console`, and `mailhaul token`, which makes an API token for it."""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated

import typer

from ingest.cli import processes
from ingest.cli.common import ConfigOption  # noqa: TC001 - typer resolves it at run time

# Bytes of a token: it cannot be guessed, so that a fast hash of it may be kept.
_TOKEN_BYTES = 32


def console(config: ConfigOption = None) -> None:
    """Serve the console: search, messages and actions in the browser and over HTTP."""
    processes.run_console(config)


def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who will use it, such as erp.")],
) -> None:
    """Make an API token for the console; print it, and the lines for the configuration, which hold only its hash."""
    secret = f"mh_{secrets.token_urlsafe(_TOKEN_BYTES)}"
    typer.echo(f"the token, which is shown only now: {secret}\n")
    typer.echo("console:\n  tokens:")
    typer.echo(f"    - {{name: {name}, role: viewer, sha256: {hashlib.sha256(secret.encode()).hexdigest()}}}")
