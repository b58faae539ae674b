"""Output: that of child processes goes to files or one stream and never blocks a child; tables fit their terminal."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import pytest
import typer
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from ingest.cli.app import app
from ingest.cli.children import LogFiles, PlainLines
from ingest.cli.common import UNUSABLE, open_console, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_restarted_process_appends_to_its_file(tmp_path: Path) -> None:
    for line in ("one", "two ä"):
        files = LogFiles(tmp_path / "logs")
        files("poller", line)
        files("relay", "other")
        files.close()
    assert (tmp_path / "logs" / "poller.log").read_text("utf-8") == "one\ntwo ä\n"
    assert (tmp_path / "logs" / "relay.log").read_text("utf-8") == "other\nother\n"


def test_file_above_the_limit_is_rotated(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, limit=10)
    for number in range(7):
        files("poller", f"line {number}")
    files.close()
    assert (tmp_path / "poller.log.1").read_text() == "line 4\nline 5\n"
    assert (tmp_path / "poller.log").read_text() == "line 6\n"


def test_line_that_cannot_be_written_is_dropped_and_the_next_is_written(tmp_path: Path) -> None:
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


def test_line_for_a_closed_pipe_or_stream_is_dropped_without_an_error() -> None:
    reading, writing = os.pipe()
    raw = os.fdopen(writing, "wb", buffering=0)
    stream = io.TextIOWrapper(raw, write_through=True)
    lines = PlainLines(stream)
    lines("poller", "read")
    assert os.read(reading, 100) == b"poller: read\n"
    os.close(reading)
    lines("poller", "written to a closed pipe")
    raw.close()
    lines("poller", "written to a closed stream")


@pytest.mark.parametrize("columns", ["0", "12", "many", ""])
@pytest.mark.parametrize("terminal", [True, False])
def test_console_is_as_wide_as_its_terminal_whatever_a_shell_has_exported(
    monkeypatch: pytest.MonkeyPatch, columns: str, *, terminal: bool
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", "0")
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    monkeypatch.setattr("os.get_terminal_size", lambda *_: os.terminal_size((133, 33)))
    assert open_console().size == (133, 33)


def test_columns_count_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    assert open_console().width == 240


def test_tables_in_a_pipe_are_not_cut_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table = Table("name", box=None)
    table.add_row(Text("x" * 300, no_wrap=True, overflow="ellipsis"))
    print_table(table)
    assert "x" * 300 in capsys.readouterr().out


def test_paragraphs_of_help_have_no_line_breaks_of_the_source() -> None:
    def helps(command: Any) -> Iterator[str]:
        yield command.help or ""
        for inner in getattr(command, "commands", {}).values():
            yield from helps(inner)

    texts = list(helps(typer.main.get_command(app)))
    assert len(texts) > 30
    assert not [text for text in texts for paragraph in text.split("\n\n") if "\n" in paragraph]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "mailhaul.yaml:1: stroe: is not an option"),
        ({"MAILHAUL_STORE_SERVICE_HOST": "10.0.0.1"}, "mailhaul.yaml:1: stroe: is not an option"),
        ({"MAILHAUL_STORE__URL": "file:///s"}, "environment variable MAILHAUL_LEDGER: is missing"),
        ({"MAILHAUL_LEDGER": "embedded"}, "mailhaul.yaml:1: stroe: is not an option"),
        ({"MAILHAUL_STORE": "file:///s"}, "environment variable MAILHAUL_LEDGER: is missing"),
    ],
)
def test_mailhaul_yaml_here_is_the_configuration_unless_a_variable_names_the_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mailhaul.yaml").write_text("stroe: x\n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["status"])
    assert done.exit_code == UNUSABLE
    assert words in done.stderr
