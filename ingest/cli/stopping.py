"""Signals that stop a command: Ctrl-C, SIGTERM, a closed terminal."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import FrameType

_LOOK = 0.05


class Stopping:
    """Handles the signals inside a `with` block; only in the main thread.

    The first signal sets `asked`: stop cleanly. From the second on `again` is true, and, while `abrupt` is set,
    `KeyboardInterrupt` is raised, for code that waits without looking at `asked`.

    The handler sets plain values only. It runs between any two steps of the main thread, so a lock that it took (that
    of an event, for example) might be held by the main thread.
    """

    def __init__(self) -> None:
        self.abrupt = True
        self._signals: list[int] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        """Whether a signal asked this command to stop."""
        return bool(self._signals)

    @property
    def again(self) -> bool:
        """Whether a second signal came."""
        return len(self._signals) > 1

    @property
    def interrupted(self) -> bool:
        """Whether the first signal was Ctrl-C."""
        return self._signals[:1] == [signal.SIGINT]

    def wait(self, seconds: float) -> None:
        """Wait until a signal comes or the time is over."""
        until = time.monotonic() + seconds
        while not self.asked and (rest := until - time.monotonic()) > 0:
            time.sleep(min(rest, _LOOK))

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)
        if self.again and self.abrupt:
            raise KeyboardInterrupt


def swallow_output_errors() -> suppress:
    """Suppress errors of last messages: a closed terminal or pipe must not keep the command from ending."""
    return suppress(OSError)
