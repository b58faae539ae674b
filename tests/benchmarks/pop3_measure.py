"""Run one client of the POP3 benchmark in a new process, and measure it."""

from __future__ import annotations

import json
import os
import pwd
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.pop3_programs import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.pop3_child import Target

_PATIENCE = 600.0
_LOOK = 0.002  # seconds between two looks at a process's memory
# In memory where there is such a place: a disk's time for fsync is nobody's here.
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of our own is made below it


@dataclass(frozen=True, slots=True)
class Figure:
    """What a task took: seconds, CPU seconds, MiB.

    Attributes:
        before: CPU seconds of a Python child until everything was imported; they are not in the others.
        runs: of which these are the medians.
        failed: runs that did not do what they were asked, besides.
        note: what went wrong, where there are no figures.
    """

    wall: float = 0.0
    cpu: float = 0.0
    mib: float = 0.0
    before: float | None = None
    runs: int = 0
    failed: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """What to do, and what must come of it.

    Attributes:
        messages: must arrive.
        size: bytes that must arrive, as far as a client counts them.
        polls: of an empty maildrop; figures are then for one. 0 to fetch everything.
    """

    target: Target
    messages: int
    size: int = 0
    polls: int = 0


def median(contestant: str, task: Task, runs: int, seconds: float) -> Figure:
    """Return the medians of up to `runs` runs; stop after a total time, but not before the first."""
    run = _program if contestant in PROGRAMS else _python
    figures: list[Figure] = []
    began = time.monotonic()
    while not figures or (len(figures) < runs and time.monotonic() - began < seconds):
        figures.append(run(contestant, task))
    good = [figure for figure in figures if not figure.note]
    if not good:
        return figures[0]
    return Figure(
        wall=statistics.median(figure.wall for figure in good),
        cpu=statistics.median(figure.cpu for figure in good),
        mib=statistics.median(figure.mib for figure in good),
        before=good[0].before,
        runs=len(good),
        failed=len(figures) - len(good),
    )


def _python(contestant: str, task: Task) -> Figure:
    """Run one of our own clients, which measures itself."""
    module = "pop3_ours" if contestant.startswith("ours") else "pop3_bare"
    target = task.target
    where = [str(target.port), target.ca, target.user, str(task.polls)]
    with tempfile.TemporaryFile() as output:
        figure = measure(
            [sys.executable, "-m", f"tests.benchmarks.{module}", contestant, *where],
            lambda command: subprocess.Popen(command, stdout=output),
        )
        if figure.note:
            return figure
        output.seek(0)
        said = json.loads(output.read())
    if (said["messages"], said["bytes"]) != (task.messages, task.size):
        return Figure(note=f"{said['messages']} messages, {said['bytes']} bytes arrived")
    times = task.polls or 1
    return replace(figure, wall=said["wall"] / times, cpu=said["cpu"] / times, before=said["before"])


def _program(contestant: str, task: Task) -> Figure:
    """Run a program; an empty maildrop is polled once."""
    program = PROGRAMS[contestant]
    if not program.installed:
        return Figure(note=f"not installed (Debian: {program.package})")
    with tempfile.TemporaryDirectory(prefix="mailhaul-bench-", dir=IN_MEMORY) as name:
        folder = Path(name)
        arguments = program.prepare(folder, task.target)
        user = _hand_over(folder)
        environment = {**os.environ, "HOME": name}
        figure = measure(
            [program.name, *arguments],
            lambda command: subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd=folder,
                user=user,
                group=pwd.getpwuid(user).pw_gid if user else None,
                extra_groups=[] if user else None,
            ),
            # fetchmail says 1 where there was no mail.
            good={0, 1} if task.messages == 0 else {0},
        )
        arrived = program.delivered(folder)
    if not figure.note and arrived != task.messages:
        return Figure(note=f"{arrived} messages arrived")
    return figure


def measure(
    command: list[str], start: Callable[[list[str]], subprocess.Popen[bytes]], good: set[int] | None = None
) -> Figure:
    """Run a process to its end. CPU includes that of its children, peak memory is its own."""
    peak = _Peak()
    began = time.perf_counter()
    process = start(command)
    peak.watch(process.pid)
    guard = threading.Timer(_PATIENCE, process.kill)
    guard.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    guard.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    mib = peak.ended()
    if process.returncode not in (good or {0}):
        return Figure(note=f"failed with exit code {process.returncode}")
    return Figure(wall=wall, cpu=usage.ru_utime + usage.ru_stime, mib=mib)


class _Peak:
    """Samples a process's peak of resident memory until it ends.

    The kernel's own account at the end (`ru_maxrss`) would include what this process held when it forked.
    """

    def __init__(self) -> None:
        self._kib = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, pid: int) -> None:
        self._thread = threading.Thread(target=self._look, args=(Path(f"/proc/{pid}/status"),))
        self._thread.start()

    def ended(self) -> float:
        """MiB."""
        assert self._thread is not None
        self._over.set()
        self._thread.join()
        return self._kib / 1024

    def _look(self, status: Path) -> None:
        while not self._over.wait(_LOOK):
            with suppress(OSError):  # it has ended
                found = re.search(r"VmHWM:\s+(\d+)", status.read_text("ascii", "replace"))
                self._kib = int(found[1]) if found else self._kib


def _hand_over(folder: Path) -> int | None:
    """Give a folder to an unprivileged user, whose id is returned: some programs refuse to work for root."""
    if os.geteuid() != 0:
        return None
    user = pwd.getpwnam("nobody")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    return user.pw_uid
