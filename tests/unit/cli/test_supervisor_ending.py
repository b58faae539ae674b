"""How children end: in turn, with all they started, and not later than they may."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingest.cli.parent import SUPERVISED
from ingest.cli.supervisor import Child, Supervisor
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STAY = "import signal\nprint('up', flush=True)\nwhile True: signal.pause()\n"
STALLED = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + STAY
POLITE = (
    "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit()))\n" + STAY
)
# Starts a process of its own that ignores SIGTERM, and prints its id.
PARENT = (
    "import subprocess, sys\n"
    f"left = subprocess.Popen([sys.executable, '-c', {STALLED!r}], stdout=subprocess.PIPE)\n"
    "left.stdout.readline()\nprint(left.pid, flush=True)\n"
)


def child(name: str, code: str, order: int = 1) -> Child:
    return Child(name, [sys.executable, "-c", code], {}, order)


class RunningChildren:
    """Supervised children that have started, and what they printed, by name and in order."""

    def __init__(self, *children: Child) -> None:
        self._lock = threading.Lock()
        self.heard: list[tuple[str, str]] = []
        self.time = 1000.0
        self.time_passes: Callable[[], None] = lambda: None
        self.supervisor = Supervisor(children, self._listen, self._now)

    def _now(self) -> float:
        self.time_passes()
        return self.time

    def _listen(self, name: str, line: str) -> None:
        with self._lock:
            self.heard.append((name, line))

    def lines(self, name: str) -> list[str]:
        with self._lock:
            return [line for who, line in self.heard if who == name]

    def await_death(self) -> None:
        """Look until none runs."""

        def gone() -> bool:
            self.supervisor.look()
            return all(state.pid is None for state in self.supervisor.states())

        eventually(gone, "a child still runs")

    def pid(self, name: str) -> int:
        (pid,) = [state.pid for state in self.supervisor.states() if state.name == name]
        assert pid is not None
        return pid


@contextmanager
def supervised(*children: Child) -> Iterator[RunningChildren]:
    running = RunningChildren(*children)
    try:
        running.supervisor.look()
        for each in children:
            eventually(lambda: "up" in running.lines(each.name), f"{each.name} did not come up")  # noqa: B023 - now
        yield running
    finally:
        running.supervisor.kill()


def runs(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_children_are_asked_to_end_in_turn_each_after_those_before_have_ended() -> None:
    children = [child(name, POLITE, order) for name, order in (("late", 2), ("first", 0), ("mid", 1))]
    with supervised(*children) as running:
        assert running.supervisor.stop(30)
        assert [name for name, line in running.heard if line == "bye"] == ["first", "mid", "late"]


def test_one_that_does_not_end_takes_no_more_than_its_turn() -> None:
    with supervised(child("polite", POLITE, 1), child("stalled", STALLED, 0)) as running:
        pids = [running.pid("stalled"), running.pid("polite")]
        started = running.time

        def time_passes() -> None:
            """The stalled child's half of the minute passes at once, and the rest after the other has ended."""
            polite_ended = "bye" in running.lines("polite")
            running.time = started + 100 if polite_ended else min(running.time + 20, started + 60)

        running.time_passes = time_passes
        assert not running.supervisor.stop(60)
        assert running.lines("polite") == ["up", "bye"]
        assert not any(runs(pid) for pid in pids)


def test_who_is_in_a_hurry_does_not_wait() -> None:
    with supervised(child("stalled", STALLED)) as running:
        pid, answers = running.pid("stalled"), iter([False, False, True])
        # With 600 seconds to wait, only the hurry ends this test.
        assert not running.supervisor.stop(600, hurry=lambda: next(answers, True))
        assert not runs(pid)


@pytest.mark.parametrize("way", ["stop", "death"])
def test_what_a_child_leaves_behind_is_killed_with_its_group(way: str) -> None:
    with supervised(child("a", PARENT + STAY)) as running:
        left = int(running.lines("a")[0])
        assert runs(left)
        if way == "stop":
            assert running.supervisor.stop(30)
        else:
            os.kill(running.pid("a"), signal.SIGKILL)
            running.await_death()
        eventually(lambda: not runs(left), "the child's own child still runs")


def test_a_signal_to_the_group_of_the_terminal_does_not_reach_children() -> None:
    with supervised(child("a", STAY)) as running:
        assert os.getpgid(running.pid("a")) == running.pid("a") != os.getpgrp()


def test_an_orphan_that_does_not_end_by_itself_is_killed_with_its_group() -> None:
    code = (
        f"{PARENT}import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"from ingest.cli import parent\nparent.ORPHAN_SECONDS = 0.1\nparent.end_with_parent()\n{STAY}"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Not our id: the supervisor was gone before the child looked for the first time.
        env={**os.environ, SUPERVISED: "999999999"},
    )
    assert process.stdout is not None
    left = 0
    try:
        with process.stdout as lines:
            left = int(lines.readline())
            assert process.wait(PATIENCE) == -signal.SIGKILL
        eventually(lambda: not runs(left), "the orphan's own child still runs")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if left and runs(left):
            os.kill(left, signal.SIGKILL)


def test_a_program_that_cannot_be_started_is_tried_again_with_pauses_that_grow() -> None:
    running = RunningChildren(Child("a", ["/nonexistent"], {}))
    for pause in (1, 2, 4):
        running.supervisor.look()
        assert running.lines("a")[-1] == f"could not be started (No such file or directory); restarting in {pause} s"
        running.time += pause


def test_every_line_arrives_whatever_its_bytes() -> None:
    program = "import sys\nsys.stdout.buffer.write(b'\\xff bad\\n\\n\\xc3\\xa4 without end')"
    running = RunningChildren(child("a", program))
    running.supervisor.look()
    running.await_death()
    assert running.lines("a")[:2] == ["\ufffd bad", "ä without end"]
