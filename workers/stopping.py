"""The stop flag of a worker: shared with forked children, and asked between messages."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable

Stop = Callable[[], bool]


class StopFlag:
    """Set once, by the parent's SIGTERM; children of a prefork pool see it because they inherit the semaphore."""

    def __init__(self) -> None:
        self._event = multiprocessing.get_context("fork").Event()

    def set(self) -> None:
        """Ask all work to end after the message in progress."""
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Wait until the worker is asked to stop, at most this many seconds; return whether it was."""
        return bool(self._event.wait(seconds))

    def asked(self) -> bool:
        """Whether the worker is to stop."""
        return bool(self._event.is_set())

    def within(self, seconds: float) -> Stop:
        """Return a function that tells whether the worker is to stop, or a task has used up its time."""
        ends = time.monotonic() + seconds

        def stop() -> bool:
            return self._event.is_set() or time.monotonic() >= ends

        return stop
