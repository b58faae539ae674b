"""Ask the process on this machine's metrics port whether it works, or whether it is ready.

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
_OK = b"200"
# Bytes of an answer that are read at most.
_LARGEST = 4096


def run_alone(arguments: Sequence[str]) -> None:
    """Answer and exit, if the arguments are `--config FILE`, `--ready`, both or none, and the file can be read.

    In all other cases return: the command line prints help and errors.
    """
    ready = "--ready" in arguments
    match [argument for argument in arguments if argument != "--ready"]:
        case []:
            config = None
        case ["--config" | "-c", path]:
            config = Path(path)
        case _:
            return
    try:
        found = problem(config, ready=ready)
    except ConfigError:
        return
    sys.exit(found)  # a text is printed on standard error, and the code is 1


def problem(config_path: Path | None, *, ready: bool = False) -> str | None:
    """Return what is wrong with the process; None if it is alive, or ready if that is asked.

    Only what the configuration says about metrics is read: the process itself checks the rest.

    Raises:
        ConfigError: the configuration cannot be read.
    """
    address, port = metrics_address(config_path, os.environ) or _validated(config_path)
    address = _HERE.get(address, address)
    page = "/readyz" if ready else "/livez"
    url = f"http://{f'[{address}]' if ':' in address else address}:{port}{page}"
    try:
        status, text = _asked(address, port, page)
    except OSError:
        return f"nothing answers at {url}: no Mailhaul process runs here, or metrics.port differs from the process's"
    if status == _OK:
        return None
    if ready:
        return f"the process at {url} reports: {text}"
    return f"the process at {url} reports that it has made no progress for too long"


def _asked(address: str, port: int, page: str) -> tuple[bytes, str]:
    """Return the code of the status line, and the body.

    Raises:
        OSError: nothing answers, or not with HTTP.
    """
    with socket.create_connection((address, port), timeout=SECONDS) as connection:
        connection.sendall(f"GET {page} HTTP/1.0\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            version, _, rest = answer.readline(1024).partition(b" ")
            _, _, body = answer.read(_LARGEST).partition(b"\r\n\r\n")
    if not version.startswith(b"HTTP/"):
        raise OSError("no HTTP server")
    return rest[: len(_OK)], body.decode(errors="replace").strip()


def _validated(config_path: Path | None) -> tuple[str, int]:
    from ingest.config import ConfigSource

    metrics = ConfigSource(config_path, os.environ).current().metrics
    return metrics.address, metrics.port
