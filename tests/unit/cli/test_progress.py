"""The progress of a drain: what is done, what is left, how fast, and nothing that a short run would print."""

from __future__ import annotations

import io
import threading

import pytest

from ingest.admin.progress import DrainStage, DrainState
from ingest.cli import progress
from ingest.cli.progress import Pace, shown
from tests.support.waiting import PATIENCE


def fetching(done: int, total: int = 5_000) -> DrainState:
    return DrainState(DrainStage.FETCH, done, total, mailboxes=12, polled=3, fetched_bytes=56 * 2**20)


def test_line_has_the_rate_of_the_last_seconds_and_the_time_that_is_left() -> None:
    pace = Pace()
    assert pace.line(fetching(0), 0.0) == "fetching: 0 of 5,000 messages, 3 of 12 mailboxes done, 56.0 MiB"
    pace.line(fetching(10), 10.0)
    line = pace.line(fetching(1_010), 20.0)
    assert line == "fetching: 1,010 of 5,000 messages, 3 of 12 mailboxes done, 56.0 MiB, 100.0/s, 40 s left"


def test_rate_begins_anew_with_each_stage() -> None:
    pace = Pace()
    pace.line(fetching(0), 0.0)
    pace.line(fetching(5_000), 1.0)
    state = DrainState(DrainStage.DELIVER, 0, 7_200, mailboxes=12, polled=12, fetched_bytes=0)
    assert pace.line(state, 2.0) == "delivering: 0 of 7,200 events"
    state = DrainState(DrainStage.DELIVER, 2, 7_200, mailboxes=12, polled=12, fetched_bytes=0)
    assert pace.line(state, 3.0) == "delivering: 2 of 7,200 events, 2.0/s, 60 min left"


@pytest.mark.parametrize(("rate", "left"), [(100, "49 s"), (10, "8 min"), (1, "1.4 h")])
def test_time_that_is_left_is_rounded(rate: int, left: str) -> None:
    pace = Pace()
    pace.line(fetching(0), 0.0)
    assert pace.line(fetching(rate), 1.0).endswith(f", {left} left")


class Screen(io.StringIO):
    """Standard error; `written` is set once something was written."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal, self.written = terminal, threading.Event()

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        count = super().write(text)
        self.written.set()
        return count


@pytest.mark.parametrize(
    ("terminal", "begin", "end"), [(True, "\r\x1b[Kfetching: 5 ", "\r\x1b[K"), (False, "fetching: 5 ", "\n")]
)
def test_terminal_has_one_line_that_goes_away_and_a_file_has_lines(
    monkeypatch: pytest.MonkeyPatch, *, terminal: bool, begin: str, end: str
) -> None:
    monkeypatch.setattr(progress, "_TERMINAL", 0.001)
    monkeypatch.setattr(progress, "_ELSEWHERE", 0.001)
    screen = Screen(terminal=terminal)
    monkeypatch.setattr("sys.stderr", screen)
    with shown(lambda: fetching(5)):
        assert screen.written.wait(PATIENCE)
    assert screen.getvalue().startswith(begin)
    assert screen.getvalue().endswith(end)


def test_work_that_is_done_at_once_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(terminal=False)
    monkeypatch.setattr("sys.stderr", screen)
    with shown(lambda: fetching(5)):
        pass
    assert not screen.getvalue()


def test_closed_terminal_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(Screen):
        def write(self, text: str) -> int:
            self.written.set()
            raise BrokenPipeError

    monkeypatch.setattr(progress, "_ELSEWHERE", 0.001)
    screen = Closed(terminal=False)
    monkeypatch.setattr("sys.stderr", screen)
    with shown(lambda: fetching(5)):
        assert screen.written.wait(PATIENCE)
