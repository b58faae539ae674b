"""What `mailhaul up` runs: which processes, with which environment, on which ports."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from ingest.cli.supervisor import Child
from ingest.errors import StartError

if TYPE_CHECKING:
    from ingest.config import Config, ConfigSource

# What each process is started as; its metrics are on the first port plus its place here.
PROCESSES = {
    "exporter": ("exporter",),
    "poller": ("worker", "poll"),
    "processor": ("worker", "process"),
    "relay": ("worker", "relay"),
    "scheduler": ("scheduler",),
}
# Those whose metrics the live view adds up.
WORKERS = ("poller", "processor", "relay")
# No new wakeups first; the gauges last, so that whoever looks sees the end.
_ORDER = {"scheduler": 0, "exporter": 2}
_HIGHEST_PORT = 65535


def children(source: ConfigSource, ledger: str, port: int) -> list[Child]:
    """Every process of the design.

    Args:
        source: the configuration they read too.
        ledger: URL of the ledger.
        port: the first of as many free ones as there are processes, from `free_ports`.
    """
    config = ["--config", str(source.path)] if source.path else []
    log_format = source.current().log.format
    environment = {
        "MAILHAUL_LEDGER": ledger,
        # Their output is a pipe to us, and what comes out of it is for people.
        "MAILHAUL_LOG__FORMAT": "text" if log_format == "auto" else log_format,
    }
    return [
        Child(
            name,
            [sys.executable, "-m", "ingest.cli", *command, *config],
            {**environment, "MAILHAUL_METRICS__PORT": str(port + offset)},
            order=_ORDER.get(name, 1),
        )
        for offset, (name, command) in enumerate(PROCESSES.items())
    ]


def metrics_ports(first: int) -> dict[str, int]:
    """The port on which each process serves its metrics."""
    return {name: first + offset for offset, name in enumerate(PROCESSES)}


def free_ports(config: Config, *, may_move: bool) -> int:
    """The first of as many free ports in a row as there are processes.

    Args:
        config: says where they should be.
        may_move: whether others will do. They do for a demonstration; a service is looked for where it is said to be.

    Raises:
        StartError: there are none.
    """
    wanted, address = config.metrics.port, config.metrics.address
    last = min(wanted + (1000 if may_move else 1), _HIGHEST_PORT - len(PROCESSES) + 2)
    for first in range(wanted, last, len(PROCESSES)):
        if all(_is_free(address, first + offset) for offset in range(len(PROCESSES))):
            return first
    raise StartError(
        f"metrics need the ports {wanted} to {wanted + len(PROCESSES) - 1} on {address}, and one of them is taken; "
        "set metrics.port, or the variable MAILHAUL_METRICS__PORT, to the first of five free ones"
    )


def url_host(address: str) -> str:
    """An address as it stands in a URL."""
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
