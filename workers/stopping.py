"""How a worker learns that it is to stop: a flag that forked children share, asked between messages."""

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
        """Ask all work to end after the message that is under way."""
        self._event.set()

    def asked(self) -> bool:
        """Whether the worker is to stop."""
        return bool(self._event.is_set())

    def within(self, seconds: float) -> Stop:
        """A question for one task: is the worker to stop, or has this task had its time?"""
        ends = time.monotonic() + seconds

        def stop() -> bool:
            return self._event.is_set() or time.monotonic() >= ends

        return stop
