"""Ask the process on this machine's metrics port whether it works.

Containers run this every few seconds, beside each process: it imports neither the models of the configuration nor
an HTTP client.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.config.metrics_address import metrics_address
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = 5.0
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - replaced, not listened on
_REQUEST = b"GET /livez HTTP/1.0\r\n\r\n"
_OK = b"200"


def run_alone(arguments: Sequence[str]) -> None:
    """Answer and exit, if the arguments are `--config FILE` or none, and the configuration can be read.

    In all other cases return: the command line prints help and errors.
    """
    match arguments:
        case []:
            config = None
        case ["--config" | "-c", path]:
            config = Path(path)
        case _:
            return
    try:
        found = problem(config)
    except ConfigError:
        return
    sys.exit(found)  # a text is printed on standard error, and the code is 1


def problem(config_path: Path | None) -> str | None:
    """Return what is wrong with the process; None if it is alive.

    Only what the configuration says about metrics is read: the process itself checks the rest.

    Raises:
        ConfigError: the configuration cannot be read.
    """
    address, port = metrics_address(config_path, os.environ) or _validated(config_path)
    address = _HERE.get(address, address)
    url = f"http://{f'[{address}]' if ':' in address else address}:{port}/livez"
    try:
        status = _status(address, port)
    except OSError:
        return f"nothing answers at {url}: no Mailhaul process runs here, or metrics.port differs from the process's"
    return None if status == _OK else f"the process at {url} reports that it has made no progress for too long"


def _status(address: str, port: int) -> bytes:
    """Return the code of the status line.

    Raises:
        OSError: nothing answers, or not with HTTP.
    """
    with socket.create_connection((address, port), timeout=SECONDS) as connection:
        connection.sendall(_REQUEST)
        with connection.makefile("rb") as answer:
            version, _, rest = answer.readline(1024).partition(b" ")
    if not version.startswith(b"HTTP/"):
        raise OSError("no HTTP server")
    return rest[: len(_OK)]


def _validated(config_path: Path | None) -> tuple[str, int]:
    from ingest.config import ConfigSource

    metrics = ConfigSource(config_path, os.environ).current().metrics
    return metrics.address, metrics.port
