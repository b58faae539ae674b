"""Keep child processes running, and stop them in order.

Each child has its own session, and so its own process group: Ctrl-C in the terminal reaches only the supervisor, and
processes that a child leaves behind (those of a pool) are killed with its group. Children exit when the supervisor is
gone, see `ingest.cli.parent`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.cli.parent import SUPERVISED
from ingest.domain.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Restarts of a child that keeps dying back off up to a minute; one that stayed up for a while is restarted at once.
RESTARTS = Backoff(first=1, cap=60, jitter=0)
STAYED_UP = 60.0
_LOOK = 0.02


@dataclass(frozen=True, slots=True)
class Child:
    """A process to run. Children with a lower `order` are stopped first."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    order: int = 1


@dataclass(frozen=True, slots=True)
class ChildState:
    """The state of a child: its process id while it runs, and its number of restarts."""

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
    due: float = field(default=float("-inf"))

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def state(self) -> ChildState:
        process = self.process
        return ChildState(self.child.name, process.pid if process else None, self.restarts)


class Supervisor:
    """Runs children. One thread calls `look` repeatedly, and `stop` at the end.

    Args:
        children: what to run.
        listen: called with a child's name and each line it prints, from reader threads. It must not raise: a child
            whose output nobody reads blocks.
        clock: monotonic seconds.
        pauses: delays between a child's death and its next start.
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
        """Start children that are due, and schedule the restart of those that died."""
        now = self._clock()
        for running in self._running:
            if running.process is not None and not running.alive:
                code = running.process.returncode
                self._finish(running)
                self._start_later(running, now, f"ended with code {code}")
            if running.process is None and now >= running.due:
                self._start(running, now)

    def states(self) -> list[ChildState]:
        """Return the state of each child; safe from any thread."""
        return [running.state() for running in self._running]

    def stop(self, seconds: float, hurry: Callable[[], bool] = lambda: False) -> bool:
        """Send SIGTERM to all children, in their order, and SIGKILL to those left after `seconds`.

        Children of the next order are stopped when those before have exited, or have used their share of the time.

        Args:
            seconds: total time.
            hurry: called meanwhile; True kills at once.

        Returns:
            Whether every child exited by itself.
        """
        deadline = self._clock() + seconds
        orders = sorted({running.child.order for running in self._running})
        for place, order in enumerate(orders):
            group = [running for running in self._running if running.child.order == order]
            for running in group:
                if running.process is not None and running.alive:
                    running.process.terminate()
            now = self._clock()
            self._await_end(group, now + (deadline - now) / (len(orders) - place), hurry)
        self._await_end(self._running, deadline, hurry)
        clean = not any(running.alive for running in self._running)
        self.kill()
        return clean

    def kill(self) -> None:
        """Send SIGKILL to every child and its process group."""
        for running in self._running:
            if running.process is not None:
                self._finish(running)

    def _await_end(self, group: Sequence[_Running], until: float, hurry: Callable[[], bool]) -> None:
        while any(running.alive for running in group) and self._clock() < until and not hurry():
            time.sleep(_LOOK)

    def _start(self, running: _Running, now: float) -> None:
        child = running.child
        running.started = now
        try:
            running.process = subprocess.Popen(  # noqa: S603 - our own commands
                child.arguments,
                env={**os.environ, SUPERVISED: str(os.getpid()), **child.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:  # out of memory or of process ids: may pass
            self._start_later(running, now, f"could not be started ({error.strerror})")
            return
        running.reader = threading.Thread(target=self._read, args=(running.process, child.name), daemon=True)
        running.reader.start()

    def _start_later(self, running: _Running, now: float, why: str) -> None:
        running.deaths = 1 if now - running.started >= STAYED_UP else running.deaths + 1
        running.restarts += 1
        pause = self._pauses.pause(running.deaths, 0.5)
        running.due = now + pause
        self._listen(running.child.name, f"{why}; restarting in {pause:g} s")

    def _finish(self, running: _Running) -> None:
        """Kill what is left of a child's process group, and forget the process."""
        assert running.process is not None
        assert running.reader is not None
        # A child that exited may have left processes in its group. An empty group does not exist (macOS then reports
        # EPERM); its id is not reused within this moment.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(running.process.pid, signal.SIGKILL)
        running.process.wait()
        running.reader.join(timeout=1)
        running.process = running.reader = None

    def _read(self, process: subprocess.Popen[bytes], name: str) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                text = line.decode("utf-8", "replace").rstrip()
                if text:
                    self._listen(name, text)
