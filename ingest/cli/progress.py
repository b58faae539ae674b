"""Show how far `drain` is, on standard error: one line that changes on a terminal, a line now and then elsewhere.

Without rich, whose import takes longer than many a drain.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ingest.admin.progress import DrainStage
from ingest.cli.stopping import swallow_output_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.admin.progress import DrainState

# Seconds between two looks on a terminal, and between two lines elsewhere.
_TERMINAL, _ELSEWHERE = 0.5, 10.0
# Seconds over which the rate is measured.
_RATE_OVER = 10.0
_MINUTE, _HOUR = 60, 3600


@contextmanager
def shown(state: Callable[[], DrainState]) -> Iterator[None]:
    """Show a state during a `with` block, if that takes a while."""
    ended = threading.Event()
    thread = threading.Thread(target=_show, args=(state, ended), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _show(state: Callable[[], DrainState], ended: threading.Event) -> None:
    terminal = sys.stderr.isatty()
    pace = Pace()
    with swallow_output_errors():
        while not ended.wait(_TERMINAL if terminal else _ELSEWHERE):
            line = pace.line(state(), time.monotonic())
            if terminal:
                line = "\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1]
            _write(line if terminal else line + "\n")
        if terminal:
            _write("\r\x1b[K")


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


class Pace:
    """Turns states into lines with a rate and the time that is left."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._stage: DrainStage | None = None

    def line(self, state: DrainState, now: float) -> str:
        """Return one line.

        Args:
            state: how far the work is.
            now: monotonic seconds.
        """
        if state.stage is not self._stage:
            self._stage = state.stage
            self._seen.clear()
        self._seen.append((now, state.done))
        while len(self._seen) > 1 and now - self._seen[0][0] > _RATE_OVER:
            self._seen.popleft()
        kind = "events" if state.stage is DrainStage.DELIVER else "messages"
        details = [f"{state.stage}: {state.done:,} of {state.total:,} {kind}"]
        if state.stage is DrainStage.FETCH:
            details.append(f"{state.polled:,} of {state.mailboxes:,} mailboxes done")
            details.append(f"{state.fetched_bytes / 2**20:,.1f} MiB")
        return ", ".join([*details, *self._estimate(state)])

    def _estimate(self, state: DrainState) -> list[str]:
        (began, before), (now, done) = self._seen[0], self._seen[-1]
        if now <= began or done <= before:
            return []
        rate = (done - before) / (now - began)
        return [f"{rate:,.1f}/s", f"{_duration((state.total - state.done) / rate)} left"]


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"
