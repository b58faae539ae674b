"""Processor time and memory of a process and its children, as metrics.

The collector of prometheus-client covers one process only, and the children of a prefork pool do its work.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ingest.metric_specs import PROCESS_SPECS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Usage(NamedTuple):
    """Seconds of processor time since the process began, and bytes of memory now."""

    cpu_seconds: float
    memory_bytes: int


class UsageCollector(Collector):
    """Collects the usage of the process that creates it.

    Args:
        role: the value of the label.
    """

    def __init__(self, role: str) -> None:
        self._role = role
        self._pid = os.getpid()
        self._started = time.time()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of `PROCESS_SPECS`; without `/proc` (macOS) only the start time."""
        values = {"process_start_timestamp_seconds": self._started}
        with suppress(FileNotFoundError):
            usage = usage_of(self._pid)
            values["process_cpu_seconds_total"] = usage.cpu_seconds
            values["process_resident_memory_bytes"] = usage.memory_bytes
        kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        for spec in PROCESS_SPECS:
            if spec.name in values:
                family = kinds[spec.kind](spec.full_name, spec.help, labels=spec.labels)
                family.add_metric([self._role], values[spec.name])
                yield family


def usage_of(pid: int) -> Usage:
    """Return the usage of a process and all its descendants.

    The time of a child that ended is added to the process that waited for it, so the sum does not decrease.

    Raises:
        FileNotFoundError: there is no such process, or no `/proc`.
    """
    fields = _stat(pid)
    cpu, memory = _used(fields)
    for child in _descendants(pid):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            used = _used(_stat(child))
            cpu, memory = cpu + used.cpu_seconds, memory + used.memory_bytes
    return Usage(cpu, memory)


def _stat(pid: int) -> list[bytes]:
    """Return the fields of proc(5) `stat` from the third on; the second, the name, may have blanks and brackets."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


def _used(fields: list[bytes]) -> Usage:
    # utime, stime, cutime and cstime are fields 14 to 17, rss is field 24.
    ticks = sum(int(field) for field in fields[11:15])
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE"))


def _descendants(pid: int) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in path.read_bytes().split():
                yield int(child)
                yield from _descendants(int(child))
