"""How a command learns that it is to end: Ctrl-C, SIGTERM, or a terminal that was closed."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_LOOK = 0.05


class Stopping:
    """Takes the signals for the length of a `with` block; only for the main thread.

    The first one asks for a clean end, which `asked` tells. From the second on `again` is true, and, while `abrupt`
    is set, `KeyboardInterrupt` is raised too: for what waits without asking.

    The handler sets plain values only. It runs between any two steps of the main thread, so a lock that it took (an
    event's, say) might be one that the main thread holds.
    """

    def __init__(self) -> None:
        self.abrupt = True
        self._signals: list[int] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        """Whether this command is to end."""
        return bool(self._signals)

    @property
    def again(self) -> bool:
        """Whether somebody lost patience."""
        return len(self._signals) > 1

    @property
    def interrupted(self) -> bool:
        """Whether it was Ctrl-C that asked first."""
        return self._signals[:1] == [signal.SIGINT]

    def wait(self, seconds: float) -> None:
        """Until asked, or until the time is over."""
        until = time.monotonic() + seconds
        while not self.asked and (rest := until - time.monotonic()) > 0:
            time.sleep(min(rest, _LOOK))

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)
        if self.again and self.abrupt:
            raise KeyboardInterrupt


def swallow_output_errors() -> suppress:
    """For words nobody may be there to read any more: a closed terminal or pipe must not keep us from ending."""
    return suppress(OSError)
