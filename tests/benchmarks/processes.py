"""CPU seconds and memory of the processes of a running service, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_ROLES = {
    "worker poll": "poller",
    "worker process": "processor",
    "worker relay": "relay",
    "scheduler": "scheduler",
    "exporter": "exporter",
    "valkey-server": "ledger",
}


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds so far, and the peak of resident memory in MiB (summed over a role's processes)."""

    cpu: float
    peak_mib: float

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu + other.cpu, self.peak_mib + other.peak_mib)


def usage_by_role(root: int) -> dict[str, Usage]:
    """Return what the descendants of process `root` have used, by role; `root` itself is `supervisor`."""
    parents = {pid: _parent(pid) for pid in _pids()}
    found: dict[str, Usage] = {}
    for pid in parents:
        if root not in _ancestry(pid, parents):
            continue
        role = "supervisor" if pid == root else _role(pid, parents)
        found[role] = found.get(role, Usage(0, 0)) + _usage(pid)
    return found


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    return _usage(pid).cpu


def waited_for_cores(root: int) -> float:
    """Return the seconds in which threads of process `root` and its descendants could run and had no core."""
    parents = {pid: _parent(pid) for pid in _pids()}
    family = [pid for pid in parents if root in _ancestry(pid, parents)]
    threads = [f"{pid}/task/{task.name}" for pid in family for task in _tasks(pid)]
    # The second of three figures, in nanoseconds (the kernel's Documentation/scheduler/sched-stats.rst).
    return sum(int(fields[1]) for thread in threads if (fields := _read(thread, "schedstat").split())) / 1e9


def peak_mib_of(pid: int) -> float:
    """Return the peak of a process's resident memory in MiB."""
    return _usage(pid).peak_mib


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _ancestry(pid: int, parents: dict[int, int]) -> list[int]:
    line = [pid]
    while (parent := parents.get(line[-1], 0)) > 1:
        line.append(parent)
    return line


def _role(pid: int, parents: dict[int, int]) -> str:
    """Return the role of the nearest ancestor whose command names one: pool children have their parent's role."""
    for ancestor in _ancestry(pid, parents):
        command = _read(ancestor, "cmdline").replace("\0", " ")
        for words, role in _ROLES.items():
            if words in command:
                return role
    return "other"


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def _usage(pid: int) -> Usage:
    fields = _read(pid, "stat").rpartition(")")[2].split()
    if not fields:
        return Usage(0, 0)
    # utime, stime, and those of children that have ended
    ticks = sum(int(field) for field in fields[11:15])
    peak = next((line.split()[1] for line in _read(pid, "status").splitlines() if line.startswith("VmHWM")), "0")
    return Usage(ticks / _TICK, int(peak) / 1024)


def _tasks(pid: int) -> list[Path]:
    try:
        return list((Path("/proc") / str(pid) / "task").iterdir())
    except OSError:  # as in `_read`
        return []


def _read(pid: int | str, name: str) -> str:
    try:
        return (Path("/proc") / str(pid) / name).read_text(errors="replace")
    except OSError:  # it ended between two looks
        return ""
