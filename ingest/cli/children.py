"""The processes that `mailhaul up` runs: their command lines, environment, ports and output."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from ingest.cli.supervisor import Child
from ingest.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ingest.config import Config, ConfigSource

# Command line of each process; its metrics are on the first port plus its index here.
PROCESSES = {
    "exporter": ("exporter",),
    "poller": ("worker", "poll"),
    "processor": ("worker", "process"),
    "relay": ("worker", "relay"),
    "scheduler": ("scheduler",),
}
# Processes whose metrics the live view adds up.
WORKERS = ("poller", "processor", "relay")
# Stop new wake-ups first, and the gauges last, so that they show the end.
_ORDER = {"scheduler": 0, "console": 0, "exporter": 2}
_HIGHEST_PORT = 65535
_PORTS = len(PROCESSES) + 1
# A larger log file is rotated: it replaces the one rotated before.
LOG_CHARACTERS = 10 * 2**20


def children(source: ConfigSource, ledger: str, port: int) -> list[Child]:
    """Return every process of the service.

    Args:
        source: the configuration, which they read too.
        ledger: URL of the ledger.
        port: first of consecutive free ports, one for each process, from `free_ports`.
    """
    return [
        _child(source, ledger, name, command, {"MAILHAUL_METRICS__PORT": str(port + offset)})
        for offset, (name, command) in enumerate(PROCESSES.items())
    ]


def console_child(source: ConfigSource, ledger: str, port: int, first: int) -> Child:
    """Return the process of the console.

    Args:
        source: the configuration, which it reads too.
        ledger: URL of the ledger.
        port: of its pages, from `console_port`.
        first: of the ports of metrics, from `free_ports`; the console has the last of them.
    """
    ports = {"MAILHAUL_CONSOLE__PORT": str(port), "MAILHAUL_METRICS__PORT": str(first + len(PROCESSES))}
    return _child(source, ledger, "console", ("console",), ports)


def _child(source: ConfigSource, ledger: str, name: str, command: Sequence[str], own: Mapping[str, str]) -> Child:
    config = ["--config", str(source.path)] if source.path else []
    log_format = source.current().log.format
    environment = {
        "MAILHAUL_LEDGER": ledger,
        # Their output is a pipe to this process, which shows it to people.
        "MAILHAUL_LOG__FORMAT": "text" if log_format == "auto" else log_format,
        **own,
    }
    arguments = [sys.executable, "-m", "ingest.cli", *command, *config]
    return Child(name, arguments, environment, order=_ORDER.get(name, 1))


def console_port(config: Config, *, may_move: bool) -> int | None:
    """Return the port of the console; None if it is not configured.

    Args:
        config: names the wanted port and address.
        may_move: whether another port will do.

    Raises:
        StartError: the port is in use.
    """
    section = config.console
    if section is None:
        return None
    last = min(section.port + (1000 if may_move else 1), _HIGHEST_PORT + 1)
    for port in range(section.port, last):
        if _is_free(section.address, port):
            return port
    raise StartError(
        f"the console needs the port {section.port} on {section.address}, which is in use; set console.port"
    )


def metrics_ports(first: int) -> dict[str, int]:
    """Return the port on which each process serves its metrics."""
    return {name: first + offset for offset, name in enumerate(PROCESSES)}


def free_ports(config: Config, *, may_move: bool) -> int:
    """Return the first of consecutive free ports, one for each process and the last one for the console.

    Args:
        config: names the wanted port and address.
        may_move: whether other ports will do, as for the demonstration; a service is scraped where it is configured.

    Raises:
        StartError: no such ports are free.
    """
    wanted, address = config.metrics.port, config.metrics.address
    last = min(wanted + (1000 if may_move else 1), _HIGHEST_PORT - _PORTS + 2)
    for first in range(wanted, last, _PORTS):
        if all(_is_free(address, first + offset) for offset in range(_PORTS)):
            return first
    raise StartError(
        f"metrics need the ports {wanted} to {wanted + _PORTS - 1} on {address}, and one of them is in use; "
        "set metrics.port, or the variable MAILHAUL_METRICS__PORT, to the first of six free ones"
    )


def url_host(address: str) -> str:
    """Return an address as written in a URL."""
    return f"[{address}]" if ":" in address else address


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


class LogFiles:
    """`<folder>/<name>.log` for each process, and `<name>.log.1`, the log before it.

    Like `PlainLines` it takes lines from several threads and never raises: a line that cannot be written (full disk,
    closed pipe) is lost, as a child whose output nobody reads would block.

    Args:
        folder: created with its parents.
        limit: characters after which a file is rotated.

    Raises:
        OSError: the folder cannot be created.
    """

    def __init__(self, folder: Path, limit: int = LOG_CHARACTERS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._limit = folder, limit
        self._files: dict[str, TextIO] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        """Append a line."""
        with self._lock, suppress(OSError):
            file = self._file(name)
            file.write(line + "\n")
            file.flush()

    def close(self) -> None:
        """Close the files; a line that still comes opens its file again."""
        with self._lock:
            for file in self._files.values():
                with suppress(OSError):
                    file.close()
            self._files = {}

    def _file(self, name: str) -> TextIO:
        path = self._folder / f"{name}.log"
        file = self._files.get(name)
        if file is not None and file.tell() >= self._limit:
            self._files.pop(name).close()
            path.replace(path.with_suffix(".log.1"))
            file = None
        if file is None:
            file = self._files[name] = path.open("a", encoding="utf-8")
        return file


class PlainLines:
    """Each line on one stream, after the name of its process.

    Args:
        stream: written to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        """Print a line."""
        with self._lock, suppress(OSError, ValueError):  # ValueError: the stream is closed
            self._stream.write(f"{name}: {line}\n")
            self._stream.flush()
