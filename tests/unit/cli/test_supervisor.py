"""The supervisor: what dies is started again with growing pauses, what is to end ends in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.cli.parent import SUPERVISED
from ingest.cli.supervisor import Child, Supervisor
from ingest.domain.retry import Backoff
from tests.support.clock import Clock
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)
PATIENT = "import time; print('ready', flush=True); time.sleep(60)"


@contextmanager
def supervised(
    *programs: str, clock: Callable[[], float] | None = None
) -> Iterator[tuple[Supervisor, list[tuple[str, str]]]]:
    heard: list[tuple[str, str]] = []
    children = [
        Child(f"child-{number}", [sys.executable, "-c", program], {}, order=number)
        for number, program in enumerate(programs)
    ]
    supervisor = Supervisor(children, lambda *line: heard.append(line), clock or Clock(), Backoff(1, 60, jitter=0))
    try:
        yield supervisor, heard
    finally:
        supervisor.kill()


def until_dead(supervisor: Supervisor) -> None:
    """Look until the one child has died."""

    def dead() -> bool:
        supervisor.look()
        return supervisor.states()[0].pid is None

    eventually(dead)


def test_a_child_that_dies_is_started_again_with_pauses_that_grow() -> None:
    clock = Clock()
    with supervised("raise SystemExit(3)", clock=clock) as (supervisor, heard):
        pauses = []
        for _ in range(4):
            supervisor.look()
            until_dead(supervisor)
            began = clock.time
            while supervisor.states()[0].pid is None:
                clock.time += 0.5
                supervisor.look()
            pauses.append(clock.time - began)
        assert pauses == [1, 2, 4, 8]
        assert supervisor.states()[0].restarts == 4
        assert ("child-0", "ended with code 3; restarting in 1 s") in heard


def test_a_child_that_stayed_up_is_forgiven() -> None:
    clock = Clock()
    with supervised(PATIENT, clock=clock) as (supervisor, heard):
        for _ in range(3):
            supervisor.look()
            clock.time += 100
            eventually(lambda: supervisor.states()[0].pid is not None)
            subprocess.run(["kill", "-9", str(supervisor.states()[0].pid)], check=True)
            until_dead(supervisor)
            clock.time += 1
        assert [line for _, line in heard if "ended" in line] == ["ended with code -9; restarting in 1 s"] * 3


def test_what_a_child_prints_is_passed_on_under_its_name() -> None:
    with supervised("print('one'); import sys; print('two', file=sys.stderr)") as (supervisor, heard):
        supervisor.look()
        eventually(lambda: len(heard) >= 2, lambda: heard)
        assert sorted(heard) == [("child-0", "one"), ("child-0", "two")]


def test_children_end_when_asked() -> None:
    with supervised(PATIENT, PATIENT) as (supervisor, heard):
        supervisor.look()
        eventually(lambda: len([line for line in heard if line[1] == "ready"]) == 2)
        assert supervisor.stop(20)
        assert [state.pid for state in supervisor.states()] == [None, None]


def test_one_that_does_not_end_is_killed_and_said_to_have_been() -> None:
    with supervised(STUBBORN, clock=time.monotonic) as (supervisor, heard):
        supervisor.look()
        eventually(lambda: ("child-0", "ready") in heard)
        assert not supervisor.stop(0.2)
        assert supervisor.states()[0].pid is None


def test_a_child_ends_when_its_supervisor_was_killed(tmp_path: Path) -> None:
    """SIGKILL leaves a supervisor no time to stop anybody."""
    pid_file = tmp_path / "pid"
    child = (
        "import os, time, pathlib; from ingest.cli.parent import end_with_parent; end_with_parent();"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid())); time.sleep(60)"
    )
    parent = (
        "import sys, time; from ingest.cli.supervisor import Child, Supervisor;"
        f"s = Supervisor([Child('c', [sys.executable, '-c', {child!r}], {{}})], print); s.look(); time.sleep(60)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", parent])
    eventually(lambda: pid_file.exists() and pid_file.read_text())
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    pid = int(pid_file.read_text())
    eventually(lambda: not _runs(pid), "the child lives on")
    assert supervisor.returncode == -signal.SIGKILL


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_children_know_that_they_are_supervised() -> None:
    with supervised(f"import os; print(os.environ[{SUPERVISED!r}])") as (supervisor, heard):
        supervisor.look()
        eventually(lambda: heard, "the child prints nothing")
        assert heard == [("child-0", str(os.getpid()))]


def test_stopping_takes_no_longer_than_it_may() -> None:
    with supervised(STUBBORN, STUBBORN, clock=time.monotonic) as (supervisor, heard):
        supervisor.look()
        eventually(lambda: len(heard) == 2)
        began = time.monotonic()
        supervisor.stop(0.5)
        assert time.monotonic() - began < 30, (
            "a bound far above any noise: it must not wait for the children's minute"
        )
