"""Keeps child processes alive, and ends them in good order."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.domain.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# A child that dies again and again is started with pauses up to a minute; one that stayed up starts anew at once.
RESTARTS = Backoff(first=1, cap=60, jitter=0)
STAYED_UP = 60.0
_LOOK = 0.05
# Set in the environment of children.
SUPERVISED = "MAILHAUL_SUPERVISED"


@dataclass(frozen=True, slots=True)
class Child:
    """What to run. Those with a lower `order` are ended first."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    order: int = 1


@dataclass(frozen=True, slots=True)
class ChildState:
    """How a child is: its process id while it runs, and how often it was started again."""

    name: str
    pid: int | None
    restarts: int


@dataclass
class _Running:
    child: Child
    process: subprocess.Popen[bytes] | None = None
    reader: threading.Thread | None = None
    started: float = 0.0
    deaths: int = 0
    restarts: int = 0
    due: float = field(default=0.0)


class Supervisor:
    """Runs children, each in a session of its own, so that Ctrl-C in the terminal reaches only their parent.

    Args:
        children: what to run.
        listen: told of every line a child prints, with the child's name.
        clock: monotonic, in seconds.
        pauses: between a child's death and its next start.
    """

    def __init__(
        self,
        children: Sequence[Child],
        listen: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
        pauses: Backoff = RESTARTS,
    ) -> None:
        self._running = [_Running(child) for child in children]
        self._listen = listen
        self._clock = clock
        self._pauses = pauses

    def look(self) -> None:
        """Start what is due, and note what has died; called again and again."""
        now = self._clock()
        for running in self._running:
            if running.process is not None and running.process.poll() is not None:
                self._note_death(running, now)
            if running.process is None and now >= running.due:
                self._start(running, now)

    def states(self) -> list[ChildState]:
        """How each child is."""
        return [
            ChildState(running.child.name, running.process.pid if running.process else None, running.restarts)
            for running in self._running
        ]

    def stop(self, seconds: float) -> bool:
        """SIGTERM to all, by their order; SIGKILL to whoever is left after `seconds` in all.

        Returns:
            Whether every child ended by itself.
        """
        deadline = time.monotonic() + seconds
        for order in sorted({running.child.order for running in self._running}):
            self._signal(signal.SIGTERM, [running for running in self._running if running.child.order == order])
        while self._alive() and time.monotonic() < deadline:
            time.sleep(_LOOK)
        clean = not self._alive()
        self.kill()
        return clean

    def kill(self) -> None:
        """SIGKILL to every child and its own children."""
        for running in self._running:
            if running.process is not None:
                # Also when it ended by itself: a pool's children are in its group.
                _signal_group(running.process.pid, signal.SIGKILL)
                running.process.wait()
                self._finish(running)

    def _start(self, running: _Running, now: float) -> None:
        child = running.child
        running.process = subprocess.Popen(  # noqa: S603 - our own commands
            child.arguments,
            env={**os.environ, SUPERVISED: "1", **child.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        running.started = now
        running.reader = threading.Thread(target=self._read, args=(running.process, child.name), daemon=True)
        running.reader.start()

    def _note_death(self, running: _Running, now: float) -> None:
        assert running.process is not None
        code = running.process.returncode
        _signal_group(running.process.pid, signal.SIGKILL)
        self._finish(running)
        running.deaths = 1 if now - running.started >= STAYED_UP else running.deaths + 1
        running.restarts += 1
        pause = self._pauses.pause(running.deaths, 0.5)
        running.due = now + pause
        self._listen(running.child.name, f"ended with code {code}; started again in {pause:.0f} s")

    def _finish(self, running: _Running) -> None:
        if running.reader is not None:
            running.reader.join(timeout=1)
        if running.process is not None and running.process.stdout is not None:
            running.process.stdout.close()
        running.process = running.reader = None

    def _read(self, process: subprocess.Popen[bytes], name: str) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                self._listen(name, text)

    def _alive(self) -> list[_Running]:
        return [one for one in self._running if one.process is not None and one.process.poll() is None]

    def _signal(self, number: int, running: Sequence[_Running]) -> None:
        for one in running:
            if one.process is not None and one.process.poll() is None:
                one.process.send_signal(number)


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def end_with_parent() -> None:
    """Ask this process to end when its supervisor is gone, however it went; for children of `Supervisor`.

    A watch of the parent's id works on every system, and unlike a death signal it survives a start over by exec.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
