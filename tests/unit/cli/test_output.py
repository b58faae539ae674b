"""Where the lines of child processes go. Whatever happens there, a child is never held up."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from ingest.cli.children import LogFiles, PlainLines

if TYPE_CHECKING:
    from pathlib import Path


def test_each_process_has_a_file_that_goes_on_after_a_restart(tmp_path: Path) -> None:
    for line in ("one", "two ä"):
        files = LogFiles(tmp_path / "logs")
        files("poller", line)
        files("relay", "other")
        files.close()
    assert (tmp_path / "logs" / "poller.log").read_text("utf-8") == "one\ntwo ä\n"
    assert (tmp_path / "logs" / "relay.log").read_text("utf-8") == "other\nother\n"


def test_a_file_that_has_grown_is_rotated(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, limit=10)
    for number in range(7):
        files("poller", f"line {number}")
    files.close()
    assert (tmp_path / "poller.log.1").read_text() == "line 4\nline 5\n"
    assert (tmp_path / "poller.log").read_text() == "line 6\n"


def test_lines_that_cannot_be_written_are_lost_until_they_can_be(tmp_path: Path) -> None:
    (tmp_path / "poller.log").mkdir()
    files = LogFiles(tmp_path)
    files("poller", "lost")
    (tmp_path / "poller.log").rmdir()
    files("poller", "kept")
    files.close()
    assert (tmp_path / "poller.log").read_text() == "kept\n"


def test_without_a_terminal_each_line_begins_with_its_process() -> None:
    stream = io.StringIO()
    lines = PlainLines(stream)
    lines("poller", "one")
    lines("relay", "two")
    assert stream.getvalue() == "poller: one\nrelay: two\n"


def test_lines_for_a_closed_pipe_or_stream_are_lost_without_an_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    raw = os.fdopen(writing, "wb", buffering=0)
    stream = io.TextIOWrapper(raw, write_through=True)
    lines = PlainLines(stream)
    lines("poller", "nobody reads this")
    raw.close()
    lines("poller", "nor this")
    assert raw.closed
